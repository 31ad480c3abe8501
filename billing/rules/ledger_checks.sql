-- Rules of the ledger's checks and the differences they find. core/errors.py maps the SQLSTATEs to error codes.

-- Only the columns listed here may change once they have a value (billing_keep in functions.sql).
CREATE OR REPLACE TRIGGER keep BEFORE UPDATE ON billing_ledgerdifference FOR EACH ROW EXECUTE FUNCTION billing_keep('expected_micro', 'actual_micro', 'last_seen_id', 'gone_at', 'note');
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_ledgerdifference FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_ledgerdifference
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_ledgercheck FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_ledgercheck
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
