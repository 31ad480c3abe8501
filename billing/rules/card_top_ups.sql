-- Rules of top-ups by card, and of automatic charges among them. core/errors.py maps the SQLSTATEs to error codes.

-- A top-up by card is credited by a TopUp through Stripe of the same organization, amount, currency and payment.
CREATE OR REPLACE FUNCTION billing_card_top_up_paid() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.top_up_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM billing_topup t
         WHERE t.id = NEW.top_up_id AND t.method = 'stripe' AND t.organization_id = NEW.organization_id
           AND t.amount_micro = NEW.amount_micro AND t.currency = NEW.currency
           AND t.reference = NEW.payment_intent_id) THEN
        RAISE EXCEPTION 'top-up % was not paid by that', NEW.id USING ERRCODE = 'DW007';
    END IF;
    RETURN NEW;
END $$;
CREATE OR REPLACE TRIGGER paid BEFORE INSERT OR UPDATE ON billing_cardtopup
    FOR EACH ROW EXECUTE FUNCTION billing_card_top_up_paid();

-- An automatic charge needs an active recharge of its organization with the same card and amount, and must fit in the
-- month's cap (UTC). A failed charge whose outcome at Stripe is unknown counts as made; billing/topups/recharges.py
-- counts in the same way.
CREATE OR REPLACE FUNCTION billing_auto_recharge_allowed() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bad record;
BEGIN
    SELECT n.id INTO bad FROM new_rows n
      LEFT JOIN billing_autorecharge r ON r.organization_id = n.organization_id AND r.is_on AND r.paused_code = ''
            AND r.card_id = n.saved_card_id AND r.amount_micro = n.amount_micro
     WHERE n.origin = 'auto' AND (
        r.id IS NULL
        OR NOT EXISTS (SELECT FROM billing_savedcard c WHERE c.id = n.saved_card_id AND c.status = 'active'
              AND c.organization_id = n.organization_id AND c.customer_id = n.customer_id)
        OR r.monthly_cap_micro < (
            SELECT sum(t.amount_micro) FROM billing_cardtopup t LEFT JOIN billing_stripecommand c ON c.id = t.command_id
             WHERE t.organization_id = n.organization_id AND t.origin = 'auto'
               AND t.created_at >= date_trunc('month', n.created_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'
               AND (t.status <> 'failed' OR t.payment_intent_id IS NULL AND c.outcome_unknown)))
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'recharge % is not one that its customer allowed', bad.id USING ERRCODE = 'DW007';
    END IF;
    RETURN NULL;
END $$;
CREATE OR REPLACE TRIGGER recharge_allowed AFTER INSERT ON billing_cardtopup REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_auto_recharge_allowed();

-- Allowed changes of status; the trigger `transition` refuses any other.
DELETE FROM accounts_statetransition WHERE machine = 'billing_cardtopup';
INSERT INTO accounts_statetransition (machine, from_status, to_status)
SELECT 'billing_cardtopup', move.status, unnest(move.allowed) FROM (VALUES
    ('created', ARRAY['open', 'processing', 'paid', 'failed', 'expired']),
    ('open', ARRAY['processing', 'paid', 'failed', 'expired']),
    ('processing', ARRAY['paid', 'failed']),
    ('failed', ARRAY['open', 'processing', 'paid']),
    ('expired', ARRAY['paid'])
) AS move (status, allowed);
-- Only the columns listed here may change once they have a value (billing_keep in functions.sql).
CREATE OR REPLACE TRIGGER keep BEFORE UPDATE ON billing_cardtopup FOR EACH ROW EXECUTE FUNCTION billing_keep('status', 'status_code', 'checkout_url', 'declined_code', 'ended_at');
CREATE OR REPLACE TRIGGER append_only BEFORE DELETE ON billing_cardtopup FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_cardtopup
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER transition AFTER UPDATE ON billing_cardtopup REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition('billing_cardtopup', 'billing_cardtopupevent', 'card_top_up_id');
CREATE OR REPLACE TRIGGER first_state AFTER INSERT ON billing_cardtopup REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_first_state('billing_cardtopup', 'billing_cardtopupevent', 'card_top_up_id');

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE ON billing_cardtopupevent FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE OR REPLACE TRIGGER append_only_truncate BEFORE TRUNCATE ON billing_cardtopupevent
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
