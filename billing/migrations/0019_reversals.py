"""Money that comes back from owners' accounts at Stripe: which transfer it was, why, and what is held for it."""

from importlib import import_module

from django.db import migrations, models

payouts = import_module("billing.migrations.0007_payouts")

MAY_CHANGE = (*payouts.MAY_CHANGE["billing_payout"], "reverse_cause", "reverse_command_id", "released_at")
KEEP = f"""
DROP TRIGGER keep ON billing_payout;
CREATE TRIGGER keep BEFORE UPDATE ON billing_payout FOR EACH ROW
    EXECUTE FUNCTION billing_keep({", ".join(f"'{column}'" for column in MAY_CHANGE)});
"""
REVERSED = """
-- A payout is fetched back by one request at a time: another follows only on one that surely did nothing.
CREATE FUNCTION billing_payout_reversal() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER reversal BEFORE UPDATE ON billing_payout FOR EACH ROW
    WHEN (NEW.reverse_command_id IS DISTINCT FROM OLD.reverse_command_id) EXECUTE FUNCTION billing_payout_reversal();
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0018_bank_top_ups")]

    operations = [
        migrations.AddField(
            "balancetransaction",
            "transfer_id",
            models.CharField(
                blank=True,
                db_default="",
                max_length=255,
                help_text="Of money that came back from an owner's account: which transfer.",
            ),
        ),
        migrations.AddIndex(
            "balancetransaction",
            models.Index(
                fields=["transfer_id"], condition=models.Q(type="transfer_refund"), name="balance_transaction_transfer"
            ),
        ),
        migrations.AddField(
            "payout",
            "released_at",
            models.DateTimeField(help_text="When operators last let it go: no rule of ours holds it again.", null=True),
        ),
        migrations.AddField(
            "payout",
            "reverse_cause",
            models.CharField(
                blank=True,
                db_default="",
                max_length=16,
                choices=[
                    ("fraud", "Fraud"),
                    ("wrong_payee", "Wrong payee"),
                    ("unknown", "Taken back in Stripe's dashboard"),
                ],
            ),
        ),
        migrations.AddIndex(
            "payout",
            models.Index(
                fields=["owner"], condition=models.Q(reverse_cause__in=["fraud", "unknown"]), name="payout_suspicious"
            ),
        ),
        migrations.RunSQL(KEEP, migrations.RunSQL.noop),
        migrations.RunSQL(REVERSED, migrations.RunSQL.noop),
    ]
