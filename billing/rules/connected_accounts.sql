-- Rules of owners' accounts at Stripe. core/errors.py maps the SQLSTATEs to error codes.

-- Allowed changes of status; the trigger `transition` refuses any other.
DELETE FROM accounts_statetransition WHERE machine = 'billing_connectedaccount';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'billing_connectedaccount', move.status, unnest(move.allowed) FROM (VALUES
    ('created', ARRAY['onboarding', 'pending', 'active', 'restricted', 'failed']),
    ('failed', ARRAY['onboarding', 'pending', 'active', 'restricted', 'closed']),
    ('onboarding', ARRAY['pending', 'active', 'restricted', 'closed']),
    ('pending', ARRAY['onboarding', 'active', 'restricted', 'closed']),
    ('active', ARRAY['onboarding', 'pending', 'restricted', 'closed']),
    ('restricted', ARRAY['onboarding', 'pending', 'active', 'closed'])
) AS move (status, allowed);
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_connectedaccount FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_connectedaccount
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON billing_connectedaccount REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('billing_connectedaccount', 'billing_connectedaccountevent', 'connected_account_id');
CREATE OR REPLACE TRIGGER first_state AFTER INSERT ON billing_connectedaccount REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_first_state('billing_connectedaccount', 'billing_connectedaccountevent', 'connected_account_id');
-- Only the columns listed here may change once they have a value (billing_keep in functions.sql).
CREATE OR REPLACE TRIGGER keep BEFORE UPDATE ON billing_connectedaccount FOR EACH ROW EXECUTE FUNCTION billing_keep('status', 'status_code', 'transfers_status', 'payouts_status', 'requirements', 'checked_at', 'ended_at', 'deadline_at');

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_connectedaccountevent FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_connectedaccountevent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
