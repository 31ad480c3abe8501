-- Rules of saved cards. core/errors.py maps the SQLSTATEs to error codes.

-- Allowed changes of status; the trigger `transition` refuses any other.
DELETE FROM accounts_statetransition WHERE machine = 'billing_savedcard';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'billing_savedcard', move.status, unnest(move.allowed) FROM (VALUES
    ('pending', ARRAY['active', 'failed']),
    ('failed', ARRAY['active']),
    ('active', ARRAY['removed'])
) AS move (status, allowed);
-- Only the columns listed here may change once they have a value (billing_keep in functions.sql).
CREATE OR REPLACE TRIGGER keep BEFORE UPDATE ON billing_savedcard FOR EACH ROW EXECUTE FUNCTION billing_keep('status', 'status_code', 'checkout_url', 'brand', 'last4', 'exp_month', 'exp_year', 'is_default', 'ended_at');
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_savedcard FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_savedcard
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON billing_savedcard REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('billing_savedcard', 'billing_savedcardevent', 'saved_card_id');
CREATE OR REPLACE TRIGGER first_state AFTER INSERT ON billing_savedcard REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_first_state('billing_savedcard', 'billing_savedcardevent', 'saved_card_id');

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_savedcardevent FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_savedcardevent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
