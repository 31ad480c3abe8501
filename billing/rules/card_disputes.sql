-- Rules of chargebacks (card disputes). core/errors.py maps the SQLSTATEs to error codes.

-- A chargeback belongs to a card payment of the same organization and currency. Each time at which it states that money
-- moved has its transfer in the ledger.
CREATE OR REPLACE FUNCTION billing_card_dispute_posted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bad text;
BEGIN
    IF NOT EXISTS (
        SELECT FROM billing_topup u
         WHERE u.id = NEW.top_up_id AND u.method = 'stripe' AND u.organization_id = NEW.organization_id
           AND u.currency = NEW.currency) THEN
        RAISE EXCEPTION 'card dispute % is not of that payment', NEW.stripe_id USING ERRCODE = 'DW007';
    END IF;
    SELECT said.part INTO bad
      FROM (VALUES ('withdrawn', NEW.withdrawn_at, 'dispute', 'disputed', 'stripe_clearing'),
                   ('reinstated', NEW.reinstated_at, 'dispute', 'stripe_clearing', 'disputed'),
                   ('write_off', NEW.written_off_at, 'write_off', 'dispute_loss', 'disputed')
           ) AS said (part, at, kind, debit, credit)
     WHERE said.at IS NOT NULL AND NOT EXISTS (
           SELECT FROM billing_ledgertransfer t
             JOIN billing_ledgeraccount d ON d.id = t.debit_id JOIN billing_ledgeraccount c ON c.id = t.credit_id
            WHERE t.idempotency_key = 'card_dispute:' || NEW.stripe_id || ':' || said.part AND t.kind = said.kind
              AND d.kind = said.debit AND c.kind = said.credit
              AND NEW.organization_id IN (d.organization_id, c.organization_id))
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'card dispute %: % was not posted', NEW.stripe_id, bad USING ERRCODE = 'DW007';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER posted BEFORE INSERT OR UPDATE ON billing_carddispute
    FOR EACH ROW EXECUTE FUNCTION billing_card_dispute_posted();

-- Allowed changes of status; the trigger `transition` refuses any other.
DELETE FROM accounts_statetransition WHERE machine = 'billing_carddispute';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'billing_carddispute', move.status, unnest(move.allowed) FROM (VALUES
    ('warning', ARRAY['needs_response', 'under_review', 'won', 'lost', 'closed']),
    ('needs_response', ARRAY['under_review', 'won', 'lost', 'closed']),
    ('under_review', ARRAY['needs_response', 'won', 'lost', 'closed']),
    ('lost', ARRAY['won'])
) AS move (status, allowed);
-- Only the columns listed here may change once they have a value (billing_keep in functions.sql).
CREATE OR REPLACE TRIGGER keep BEFORE UPDATE ON billing_carddispute FOR EACH ROW EXECUTE FUNCTION billing_keep('status', 'status_code', 'evidence_due_at', 'evidence', 'evidence_at', 'ended_at');
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_carddispute FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_carddispute
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON billing_carddispute REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('billing_carddispute', 'billing_carddisputeevent', 'card_dispute_id');
CREATE OR REPLACE TRIGGER first_state AFTER INSERT ON billing_carddispute REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_first_state('billing_carddispute', 'billing_carddisputeevent', 'card_dispute_id');

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_carddisputeevent FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_carddisputeevent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
