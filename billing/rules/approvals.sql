-- Rules of approvals. core/errors.py maps the SQLSTATEs to error codes.

-- Allowed changes of status; the trigger `transition` refuses any other.
DELETE FROM accounts_statetransition WHERE machine = 'billing_approval';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'billing_approval', move.status, unnest(move.allowed) FROM (VALUES
    ('proposed', ARRAY['done', 'rejected', 'withdrawn'])
) AS move (status, allowed);
-- Only the columns listed here may change once they have a value (billing_keep in functions.sql).
CREATE OR REPLACE TRIGGER keep BEFORE UPDATE ON billing_approval FOR EACH ROW EXECUTE FUNCTION billing_keep('status', 'status_code', 'decided_by_id', 'decided_at', 'decision_note');
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_approval FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_approval
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON billing_approval REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('billing_approval');
