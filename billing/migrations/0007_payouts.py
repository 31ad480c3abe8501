"""What the database refuses about payouts on their way: money moves as their state says, and none is sent twice."""

from importlib import import_module

from django.db import migrations, models

money_rules = import_module("billing.migrations.0006_money_rules")

NEW_TRANSITIONS = [("billing_payout", "sending", "scheduled"), ("billing_connectedaccount", "failed", "closed")]
MAY_CHANGE = {
    "billing_payout": (*money_rules.MAY_CHANGE["billing_payout"], "command_id", "account_id", "bank_payout_id"),
    "billing_connectedaccount": (*money_rules.MAY_CHANGE["billing_connectedaccount"], "deadline_at"),
}

MOVED = """
-- Where the money of a payout is follows from its state: sent by a transfer of its amount out of its owner's in_transit,
-- returned into the owner's payable, or fetched back from Stripe. A request to Stripe is let go only when nothing was done.
CREATE FUNCTION billing_payout_moved() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER moved BEFORE UPDATE ON billing_payout FOR EACH ROW EXECUTE FUNCTION billing_payout_moved();

-- A transfer that was given up can be tried again only while its payout still waits for it.
CREATE FUNCTION billing_transfer_wanted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NOT EXISTS (SELECT FROM billing_payout p WHERE p.command_id = NEW.id AND p.status = 'sending' FOR SHARE) THEN
        RAISE EXCEPTION 'the payout of request % no longer waits for it', NEW.id USING ERRCODE = 'DW001';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER transfer_wanted BEFORE UPDATE ON billing_stripecommand FOR EACH ROW
    WHEN (OLD.status = 'dead' AND NEW.status = 'queued' AND NEW.kind = 'create_transfer')
    EXECUTE FUNCTION billing_transfer_wanted();
"""


def write_transitions(apps, schema_editor):
    rows = apps.get_model("accounts", "StateTransition")
    rows.objects.bulk_create(
        rows(machine=machine, from_status=old, to_status=new) for machine, old, new in NEW_TRANSITIONS
    )


def keep_anew(table):
    """More columns may change than the trigger was made with."""
    words = ", ".join(f"'{column}'" for column in MAY_CHANGE[table])
    return f"""
DROP TRIGGER keep ON {table};
CREATE TRIGGER keep BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION billing_keep({words});
"""


class Migration(migrations.Migration):
    dependencies = [("billing", "0006_money_rules")]

    operations = [
        migrations.AddField("payout", "bank_payout_id", models.CharField(blank=True, db_default="", max_length=255)),
        migrations.AddField(
            "connectedaccount",
            "deadline_at",
            models.DateTimeField(help_text="When the first requirement becomes past due.", null=True),
        ),
        migrations.RunPython(write_transitions, migrations.RunPython.noop),
        *(migrations.RunSQL(keep_anew(table), migrations.RunSQL.noop) for table in MAY_CHANGE),
        migrations.RunSQL(MOVED, migrations.RunSQL.noop),
    ]
