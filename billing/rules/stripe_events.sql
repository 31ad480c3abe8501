-- Rules of Stripe's events (the inbox) and of sweeps. core/errors.py maps the SQLSTATEs to error codes.

-- Allowed changes of status; the trigger `transition` refuses any other.
DELETE FROM accounts_statetransition WHERE machine = 'billing_stripeevent';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'billing_stripeevent', move.status, unnest(move.allowed) FROM (VALUES
    ('received', ARRAY['processed', 'skipped', 'dead']),
    ('dead', ARRAY['received']),
    ('skipped', ARRAY['received'])
) AS move (status, allowed);
-- Only the columns listed here may change once they have a value (billing_keep in functions.sql).
CREATE OR REPLACE TRIGGER keep BEFORE UPDATE ON billing_stripeevent FOR EACH ROW EXECUTE FUNCTION billing_keep('status', 'status_code', 'message', 'attempts', 'due_at');
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_stripeevent FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_stripeevent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON billing_stripeevent REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('billing_stripeevent');

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_stripesweep FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_stripesweep
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
