-- Rules of commands to Stripe (the outbox). core/errors.py maps the SQLSTATEs to error codes.

-- The command of a transfer that was given up may be tried again only while its payout still waits for it.
CREATE OR REPLACE FUNCTION billing_transfer_wanted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM billing_payout p WHERE p.command_id = NEW.id AND p.status = 'sending' FOR SHARE) THEN
        RAISE EXCEPTION 'the payout of request % no longer waits for it', NEW.id USING ERRCODE = 'DW001';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER transfer_wanted BEFORE UPDATE ON billing_stripecommand FOR EACH ROW
    WHEN (OLD.status = 'dead' AND NEW.status = 'queued' AND NEW.kind = 'create_transfer')
    EXECUTE FUNCTION billing_transfer_wanted();

-- The command of a refund that failed must not be tried again: its money is back in the wallet.
CREATE OR REPLACE FUNCTION billing_refund_not_sent_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_refund WHERE command_id = NEW.id AND status = 'failed') THEN
        RAISE EXCEPTION 'the money of command % was given back', NEW.id USING ERRCODE = 'DW001';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER refund_not_sent_again BEFORE UPDATE OF status ON billing_stripecommand
    FOR EACH ROW WHEN (NEW.kind = 'create_refund' AND OLD.status = 'dead' AND NEW.status = 'queued')
    EXECUTE FUNCTION billing_refund_not_sent_again();

-- Allowed changes of status; the trigger `transition` refuses any other.
DELETE FROM accounts_statetransition WHERE machine = 'billing_stripecommand';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'billing_stripecommand', move.status, unnest(move.allowed) FROM (VALUES
    ('queued', ARRAY['done', 'dead']),
    ('dead', ARRAY['queued'])
) AS move (status, allowed);
-- Only the columns listed here may change once they have a value (billing_keep in functions.sql).
CREATE OR REPLACE TRIGGER keep BEFORE UPDATE ON billing_stripecommand FOR EACH ROW EXECUTE FUNCTION billing_keep('status', 'status_code', 'message', 'object_id', 'outcome_unknown', 'attempts', 'due_at', 'done_at');
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_stripecommand FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_stripecommand
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON billing_stripecommand REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('billing_stripecommand');
