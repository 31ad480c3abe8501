-- Rules of orders of jobs. core/errors.py maps the SQLSTATEs to error codes.

-- The price and the hold of an order never change. What it has charged only grows, and a closed order never changes.
CREATE OR REPLACE FUNCTION billing_order_guard() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE may_change constant text[] := '{charged_micro,status,status_code,closed_at}';
BEGIN
    IF OLD.status = 'closed' OR NEW.charged_micro < OLD.charged_micro
       OR to_jsonb(OLD) - may_change <> to_jsonb(NEW) - may_change THEN
        RAISE EXCEPTION 'order % cannot change like that', OLD.id USING ERRCODE = 'DW002';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER order_guard BEFORE UPDATE ON billing_joborder
    FOR EACH ROW EXECUTE FUNCTION billing_order_guard();

-- Allowed changes of status; the trigger `transition` refuses any other.
DELETE FROM accounts_statetransition WHERE machine = 'billing_joborder';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'billing_joborder', move.status, unnest(move.allowed) FROM (VALUES
    ('held', ARRAY['closed'])
) AS move (status, allowed);
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_joborder
    FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON billing_joborder
    REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('billing_joborder');
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_joborder
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
