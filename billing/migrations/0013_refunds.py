"""What the database refuses about refunds, chargebacks and promotional credit, whoever asks."""

from django.db import migrations, models

REFUNDS = """
-- What a failed refund gave back is the reverse of what it took.
CREATE FUNCTION billing_refund_returned() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.returned_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM billing_ledgertransfer t WHERE t.id = NEW.returned_id AND t.reverses_id = NEW.transfer_id) THEN
        RAISE EXCEPTION 'refund % was not given back by that', NEW.id USING ERRCODE = 'DW007';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER returned BEFORE INSERT OR UPDATE ON billing_refund
    FOR EACH ROW EXECUTE FUNCTION billing_refund_returned();

-- Money that is back in the wallet is not sent as well.
CREATE FUNCTION billing_refund_not_sent_again() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (SELECT FROM billing_refund WHERE command_id = NEW.id AND status = 'failed') THEN
        RAISE EXCEPTION 'the money of command % was given back', NEW.id USING ERRCODE = 'DW001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER refund_not_sent_again BEFORE UPDATE OF status ON billing_stripecommand
    FOR EACH ROW WHEN (NEW.kind = 'create_refund' AND OLD.status = 'dead' AND NEW.status = 'queued')
    EXECUTE FUNCTION billing_refund_not_sent_again();
"""

CARD_DISPUTES = """
-- A chargeback is of a payment of that organization; what it says was done with money was posted.
CREATE FUNCTION billing_card_dispute_posted() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER posted BEFORE INSERT OR UPDATE ON billing_carddispute
    FOR EACH ROW EXECUTE FUNCTION billing_card_dispute_posted();
"""

PROMO_CREDITS = """
-- Promotional credit is its posting: the platform's expense, to that organization.
CREATE FUNCTION billing_promo_credit_posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM billing_ledgertransfer t
          JOIN billing_ledgeraccount d ON d.id = t.debit_id JOIN billing_ledgeraccount c ON c.id = t.credit_id
         WHERE t.id = NEW.transfer_id AND t.kind = 'promo' AND t.amount_micro = NEW.amount_micro
           AND t.currency = NEW.currency AND d.kind = 'promotion' AND c.kind = 'promo_wallet'
           AND c.organization_id = NEW.organization_id) THEN
        RAISE EXCEPTION 'promotional credit % was not posted like that', NEW.id USING ERRCODE = 'DW007';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER posted BEFORE INSERT ON billing_promocredit
    FOR EACH ROW EXECUTE FUNCTION billing_promo_credit_posted();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0012_definers")]

    operations = [
        migrations.AddField("carddispute", "suspended_at", models.DateTimeField(null=True)),
        migrations.AddField("carddispute", "lifted_at", models.DateTimeField(null=True)),
        migrations.AddConstraint(
            "carddispute",
            models.CheckConstraint(
                condition=models.Q(lifted_at=None) | models.Q(suspended_at__isnull=False), name="card_dispute_lifted"
            ),
        ),
        migrations.AddIndex(
            "balancetransaction", models.Index(fields=["source_id"], name="balance_transaction_source")
        ),
        migrations.AddIndex(
            "balancetransaction",
            models.Index(
                fields=["occurred_at"],
                condition=models.Q(type__in=["adjustment", "refund_failure", "payment_failure_refund"]),
                name="balance_transaction_late",
            ),
        ),
        migrations.AddIndex(
            "refund",
            models.Index(fields=["created_at"], condition=models.Q(status="pending"), name="refund_pending"),
        ),
        migrations.AddIndex(
            "carddispute",
            models.Index(
                fields=["organization"],
                condition=models.Q(withdrawn_at__isnull=False, reinstated_at=None, written_off_at=None),
                name="card_dispute_taken",
            ),
        ),
        migrations.RunSQL(REFUNDS, migrations.RunSQL.noop),
        migrations.RunSQL(CARD_DISPUTES, migrations.RunSQL.noop),
        migrations.RunSQL(PROMO_CREDITS, migrations.RunSQL.noop),
    ]
