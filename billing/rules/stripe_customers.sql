-- Rules of Customer objects at Stripe. core/errors.py maps the SQLSTATEs to error codes.

-- A column never changes once it has a value (billing_keep in functions.sql).
CREATE OR REPLACE TRIGGER keep BEFORE UPDATE ON billing_stripecustomer FOR EACH ROW EXECUTE FUNCTION billing_keep();
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_stripecustomer FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_stripecustomer
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
