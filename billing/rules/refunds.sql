-- Rules of refunds. core/errors.py maps the SQLSTATEs to error codes.

-- A refund has its transfer, from the organization's wallet to `stripe_clearing`. All refunds of a top-up that did not
-- fail are together no more than the top-up.
CREATE OR REPLACE FUNCTION billing_refund_posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Refunds of one top-up wait for each other, so that the sum below is complete.
    PERFORM FROM billing_topup WHERE id = NEW.top_up_id FOR UPDATE;
    IF NOT EXISTS (
        SELECT FROM billing_ledgertransfer t
          JOIN billing_ledgeraccount w ON w.id = t.debit_id JOIN billing_ledgeraccount c ON c.id = t.credit_id
          JOIN billing_topup u ON u.id = NEW.top_up_id
         WHERE t.id = NEW.transfer_id AND t.kind = 'refund' AND t.amount_micro = NEW.amount_micro
           AND t.currency = NEW.currency AND u.organization_id = NEW.organization_id AND u.method = 'stripe'
           AND w.kind = 'wallet' AND w.organization_id = NEW.organization_id AND c.kind = 'stripe_clearing'
           AND u.amount_micro >= NEW.amount_micro + COALESCE((
                SELECT sum(r.amount_micro) FROM billing_refund r
                 WHERE r.top_up_id = NEW.top_up_id AND r.status <> 'failed'), 0)) THEN
        RAISE EXCEPTION 'refund % was not posted like that', NEW.id USING ERRCODE = 'DW007';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER posted BEFORE INSERT ON billing_refund FOR EACH ROW EXECUTE FUNCTION billing_refund_posted();

-- The transfer that returns a failed refund is the reversal of the refund's transfer.
CREATE OR REPLACE FUNCTION billing_refund_returned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.returned_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM billing_ledgertransfer t WHERE t.id = NEW.returned_id AND t.reverses_id = NEW.transfer_id) THEN
        RAISE EXCEPTION 'refund % was not given back by that', NEW.id USING ERRCODE = 'DW007';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER returned BEFORE INSERT OR UPDATE ON billing_refund
    FOR EACH ROW EXECUTE FUNCTION billing_refund_returned();

-- Allowed changes of status; the trigger `transition` refuses any other.
DELETE FROM accounts_statetransition WHERE machine = 'billing_refund';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'billing_refund', move.status, unnest(move.allowed) FROM (VALUES
    ('requested', ARRAY['pending', 'succeeded', 'failed']),
    ('pending', ARRAY['succeeded', 'failed']),
    ('succeeded', ARRAY['failed'])
) AS move (status, allowed);
-- Only the columns listed here may change once they have a value (billing_keep in functions.sql).
CREATE OR REPLACE TRIGGER keep BEFORE UPDATE ON billing_refund FOR EACH ROW EXECUTE FUNCTION billing_keep('status', 'status_code', 'ended_at');
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_refund FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_refund
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON billing_refund REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('billing_refund', 'billing_refundevent', 'refund_id');
CREATE OR REPLACE TRIGGER first_state AFTER INSERT ON billing_refund REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_first_state('billing_refund', 'billing_refundevent', 'refund_id');

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_refundevent FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_refundevent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
