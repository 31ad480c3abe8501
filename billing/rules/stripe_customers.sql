-- Stripe customers: what the database refuses, whoever asks. SQLSTATEs are named in core/errors.py.

CREATE OR REPLACE TRIGGER keep BEFORE UPDATE ON billing_stripecustomer FOR EACH ROW EXECUTE FUNCTION billing_keep();
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_stripecustomer FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_stripecustomer
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
