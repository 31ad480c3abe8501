-- Rules of payouts. core/errors.py maps the SQLSTATEs to error codes.

-- A new payout has its transfer of the same amount, currency and owner, from `payable` to `in_transit`, and its
-- statement pays out this amount.
CREATE OR REPLACE FUNCTION billing_payout_posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM billing_ledgertransfer t
          JOIN billing_ledgeraccount d ON d.id = t.debit_id JOIN billing_ledgeraccount c ON c.id = t.credit_id
          JOIN billing_statement s ON s.id = NEW.statement_id
         WHERE t.id = NEW.posting_id AND t.kind = 'payout' AND t.amount_micro = NEW.amount_micro
           AND t.currency = NEW.currency AND d.kind = 'payable' AND c.kind = 'in_transit'
           AND d.owner_id = NEW.owner_id AND c.owner_id = NEW.owner_id
           AND s.owner_id = NEW.owner_id AND s.paid_out_micro = NEW.amount_micro) THEN
        RAISE EXCEPTION 'payout % was not posted like that', NEW.id USING ERRCODE = 'DW007';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER posted BEFORE INSERT ON billing_payout FOR EACH ROW EXECUTE FUNCTION billing_payout_posted();

-- Every state of a payout has its transfer: sent out of the owner's `in_transit`, returned to the owner's `payable`, or
-- reversed at Stripe. A command to Stripe is given up (replaced, or left by a return) only if Stripe certainly did
-- nothing for it. The account is one of the owner's own, and it changes only together with the command. FOR SHARE keeps
-- the command's state until the commit.
CREATE OR REPLACE FUNCTION billing_payout_moved() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.sent_id IS DISTINCT FROM OLD.sent_id AND NOT EXISTS (
        SELECT FROM billing_ledgertransfer t
          JOIN billing_ledgeraccount d ON d.id = t.debit_id JOIN billing_ledgeraccount c ON c.id = t.credit_id
         WHERE t.id = NEW.sent_id AND t.kind = 'transfer' AND t.amount_micro = NEW.amount_micro
           AND t.currency = NEW.currency AND d.kind = 'in_transit' AND d.owner_id = NEW.owner_id
           AND c.kind = 'stripe_clearing' AND t.idempotency_key = 'payout:' || NEW.public_id || ':sent') THEN
        RAISE EXCEPTION 'payout % was not sent like that', NEW.id USING ERRCODE = 'DW007';
    END IF;
    IF NEW.returned_id IS DISTINCT FROM OLD.returned_id AND NOT EXISTS (
        SELECT FROM billing_ledgertransfer t
          JOIN billing_ledgeraccount d ON d.id = t.debit_id JOIN billing_ledgeraccount c ON c.id = t.credit_id
         WHERE t.id = NEW.returned_id AND t.kind = 'return' AND t.amount_micro = NEW.amount_micro
           AND t.currency = NEW.currency AND d.kind = 'in_transit' AND d.owner_id = NEW.owner_id
           AND c.kind = 'payable' AND c.owner_id = NEW.owner_id
           AND t.idempotency_key = 'payout:' || NEW.public_id || ':returned') THEN
        RAISE EXCEPTION 'payout % was not returned like that', NEW.id USING ERRCODE = 'DW007';
    END IF;
    IF NEW.status = 'reversed' AND OLD.status <> 'reversed' AND NOT EXISTS (
        SELECT FROM billing_ledgertransfer t
         WHERE t.idempotency_key = 'payout:' || NEW.public_id || ':reversed' AND t.amount_micro = NEW.amount_micro) THEN
        RAISE EXCEPTION 'payout % was not fetched back', NEW.id USING ERRCODE = 'DW007';
    END IF;
    IF NEW.status = 'paid' AND NEW.stripe_transfer_id IS NULL THEN
        RAISE EXCEPTION 'payout % is paid by no transfer', NEW.id USING ERRCODE = 'DW007';
    END IF;
    IF (NEW.command_id IS DISTINCT FROM OLD.command_id OR NEW.status = 'returned' AND OLD.status <> 'returned')
       AND OLD.command_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM billing_stripecommand c
         WHERE c.id = OLD.command_id AND c.status = 'dead' AND NOT c.outcome_unknown FOR SHARE) THEN
        RAISE EXCEPTION 'payout % may have been sent', NEW.id USING ERRCODE = 'DW001';
    END IF;
    IF NEW.command_id IS DISTINCT FROM OLD.command_id AND NEW.command_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM billing_stripecommand c
         WHERE c.id = NEW.command_id AND c.kind = 'create_transfer' AND c.subject_id = NEW.id) THEN
        RAISE EXCEPTION 'payout % is not what that request is about', NEW.id USING ERRCODE = 'DW007';
    END IF;
    IF NEW.account_id IS DISTINCT FROM OLD.account_id AND (
        OLD.account_id IS NOT NULL AND NEW.command_id IS NOT DISTINCT FROM OLD.command_id
        OR NEW.account_id IS NOT NULL AND NOT EXISTS (
            SELECT FROM billing_connectedaccount a
             WHERE a.id = NEW.account_id AND a.owner_id = NEW.owner_id AND a.stripe_id IS NOT NULL)) THEN
        RAISE EXCEPTION 'payout % cannot go there', NEW.id USING ERRCODE = 'DW007';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER moved BEFORE UPDATE ON billing_payout FOR EACH ROW EXECUTE FUNCTION billing_payout_moved();

-- A payout has one reversal command at a time: another one may follow only if Stripe certainly did nothing for the last
-- one.
CREATE OR REPLACE FUNCTION billing_payout_reversal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.reverse_command_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM billing_stripecommand c
         WHERE c.id = OLD.reverse_command_id AND c.status = 'dead' AND NOT c.outcome_unknown FOR SHARE) THEN
        RAISE EXCEPTION 'payout % may have been fetched back', NEW.id USING ERRCODE = 'DW001';
    END IF;
    IF NOT EXISTS (
        SELECT FROM billing_stripecommand c
         WHERE c.id = NEW.reverse_command_id AND c.kind = 'reverse_transfer' AND c.subject_id = NEW.id) THEN
        RAISE EXCEPTION 'payout % is not what that request is about', NEW.id USING ERRCODE = 'DW007';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER reversal BEFORE UPDATE ON billing_payout FOR EACH ROW
    WHEN (NEW.reverse_command_id IS DISTINCT FROM OLD.reverse_command_id) EXECUTE FUNCTION billing_payout_reversal();

-- Allowed changes of status; the trigger `transition` refuses any other.
DELETE FROM accounts_statetransition WHERE machine = 'billing_payout';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'billing_payout', move.status, unnest(move.allowed) FROM (VALUES
    ('scheduled', ARRAY['sending', 'returned']),
    ('sending', ARRAY['paid', 'returned', 'scheduled']),
    ('paid', ARRAY['reversed'])
) AS move (status, allowed);
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_payout FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_payout
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON billing_payout REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('billing_payout', 'billing_payoutevent', 'payout_id');
CREATE OR REPLACE TRIGGER first_state AFTER INSERT ON billing_payout REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_first_state('billing_payout', 'billing_payoutevent', 'payout_id');
-- Only the columns listed here may change once they have a value (billing_keep in functions.sql).
CREATE OR REPLACE TRIGGER keep BEFORE UPDATE ON billing_payout FOR EACH ROW
    EXECUTE FUNCTION billing_keep('status', 'status_code', 'held_at', 'held_reason', 'bank_status', 'bank_code', 'ended_at', 'command_id', 'account_id', 'bank_payout_id', 'reverse_cause', 'reverse_command_id', 'released_at');

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_payoutevent FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_payoutevent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
