-- Orders: what the database refuses, whoever asks. SQLSTATEs are named in core/errors.py.

-- The price and the hold of an order are bound; what it has cost only grows, and only until it is closed.
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
