"""What the database refuses about automatic recharges, whoever asks: one that nobody wants, and one beyond the month's cap."""

from django.db import migrations

RECHARGES = """
-- A charge that we lost sight of counts as made: `billing/topups/recharges.py` counts alike.
CREATE FUNCTION billing_auto_recharge_allowed() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER recharge_allowed AFTER INSERT ON billing_cardtopup REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_auto_recharge_allowed();

-- One card charged for another customer would be theirs to pay.
CREATE FUNCTION billing_auto_recharge_card() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM billing_savedcard c WHERE c.id = NEW.card_id AND c.organization_id = NEW.organization_id) THEN
        RAISE EXCEPTION 'card % is not of organization %', NEW.card_id, NEW.organization_id USING ERRCODE = 'DW007';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER own_card BEFORE INSERT OR UPDATE ON billing_autorecharge
    FOR EACH ROW EXECUTE FUNCTION billing_auto_recharge_card();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0007_payouts")]

    operations = [migrations.RunSQL(RECHARGES, migrations.RunSQL.noop)]
