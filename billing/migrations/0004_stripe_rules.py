"""What the database refuses about money at Stripe, whoever asks: outbox, inbox, and top-ups by card."""

from django.db import migrations

# Repeats TRANSITIONS of the models as they were at this migration; tests/billing/stripe/test_rules.py compares the two.
TRANSITIONS = {
    "billing_stripecommand": {"queued": ["done", "dead"], "dead": ["queued"]},
    "billing_stripeevent": {
        "received": ["processed", "skipped", "dead"],
        "dead": ["received"],
        "skipped": ["received"],
    },
    "billing_cardtopup": {
        "created": ["open", "processing", "paid", "failed", "expired"],
        "open": ["processing", "paid", "failed", "expired"],
        "processing": ["paid", "failed"],
        "failed": ["open", "processing", "paid"],
        "expired": ["paid"],
    },
}

KEEP = """
-- Arguments: columns that may change. Every other column keeps its first value that is not NULL.
CREATE FUNCTION billing_keep() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE may_change text[] := COALESCE(TG_ARGV, '{}');
BEGIN
    IF EXISTS (SELECT FROM jsonb_each(to_jsonb(OLD) - may_change) AS was
                WHERE was.value <> 'null' AND to_jsonb(NEW) -> was.key <> was.value) THEN
        RAISE EXCEPTION '% % cannot change like that', TG_TABLE_NAME, OLD.id USING ERRCODE = 'DW002';
    END IF;
    RETURN NEW;
END $$;
"""

PAID = """
-- A top-up by card is paid by a top-up of the same organization, amount and currency, which came through Stripe.
CREATE FUNCTION billing_card_top_up_paid() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER paid BEFORE INSERT OR UPDATE ON billing_cardtopup
    FOR EACH ROW EXECUTE FUNCTION billing_card_top_up_paid();
"""

MAY_CHANGE = {
    "billing_stripecommand": (
        "status",
        "status_code",
        "message",
        "object_id",
        "outcome_unknown",
        "attempts",
        "due_at",
        "done_at",
    ),
    "billing_stripeevent": ("status", "status_code", "message", "attempts", "due_at"),
    "billing_stripecustomer": (),
    "billing_cardtopup": ("status", "status_code", "checkout_url", "declined_code", "ended_at"),
}
EVENTS = {"billing_cardtopup": ("billing_cardtopupevent", "card_top_up_id")}
APPEND_ONLY_TABLES = ["billing_balancetransaction", "billing_stripesweep", "billing_cardtopupevent"]


def keep(table, columns):
    words = ", ".join(f"'{column}'" for column in columns)
    return f"""
CREATE TRIGGER keep BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION billing_keep({words});
CREATE TRIGGER append_only BEFORE DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
"""


def append_only(table):
    return f"""
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE ON {table} FOR EACH ROW EXECUTE FUNCTION driveway_append_only();
CREATE TRIGGER append_only_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_append_only();
"""


def machine(table, events):
    arguments = ", ".join(f"'{word}'" for word in (table, *events.get(table, ())))
    sql = f"""
CREATE TRIGGER transition AFTER UPDATE ON {table} REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_transition({arguments});
"""
    if table in events:
        sql += f"""
CREATE TRIGGER first_state AFTER INSERT ON {table} REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION driveway_first_state({arguments});
"""
    return sql


def write_transitions(apps, schema_editor):
    rows = apps.get_model("accounts", "StateTransition")
    rows.objects.bulk_create(
        rows(machine=name, from_status=old, to_status=new)
        for name, allowed in TRANSITIONS.items()
        for old, news in allowed.items()
        for new in news
    )


class Migration(migrations.Migration):
    dependencies = [("billing", "0003_stripe")]

    operations = [
        migrations.RunPython(write_transitions, migrations.RunPython.noop),
        migrations.RunSQL(KEEP, migrations.RunSQL.noop),
        migrations.RunSQL(PAID, migrations.RunSQL.noop),
        *(migrations.RunSQL(keep(*item), migrations.RunSQL.noop) for item in MAY_CHANGE.items()),
        *(migrations.RunSQL(machine(table, EVENTS), migrations.RunSQL.noop) for table in TRANSITIONS),
        *(migrations.RunSQL(append_only(table), migrations.RunSQL.noop) for table in APPEND_ONLY_TABLES),
    ]
