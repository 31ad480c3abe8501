-- Rules of rate cards. core/errors.py maps the SQLSTATEs to error codes.

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_ratecard
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_ratecard
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
