"""What the database refuses about statements, payouts, invoices, refunds, disputes and approvals, whoever asks."""

from importlib import import_module

from django.db import migrations

stripe_rules = import_module("billing.migrations.0004_stripe_rules")

# Repeats TRANSITIONS of the models as they were at this migration; tests/billing/test_machines.py compares the two.
TRANSITIONS = {
    "billing_savedcard": {"pending": ["active", "failed"], "failed": ["active"], "active": ["removed"]},
    "billing_refund": {
        "requested": ["pending", "succeeded", "failed"],
        "pending": ["succeeded", "failed"],
        "succeeded": ["failed"],
    },
    "billing_carddispute": {
        "warning": ["needs_response", "under_review", "won", "lost", "closed"],
        "needs_response": ["under_review", "won", "lost", "closed"],
        "under_review": ["needs_response", "won", "lost", "closed"],
        "lost": ["won"],
    },
    "billing_connectedaccount": {
        "created": ["onboarding", "pending", "active", "restricted", "failed"],
        "failed": ["onboarding", "pending", "active", "restricted"],
        "onboarding": ["pending", "active", "restricted", "closed"],
        "pending": ["onboarding", "active", "restricted", "closed"],
        "active": ["onboarding", "pending", "restricted", "closed"],
        "restricted": ["onboarding", "pending", "active", "closed"],
    },
    "billing_payout": {
        "scheduled": ["sending", "returned"],
        "sending": ["paid", "returned"],
        "paid": ["reversed"],
    },
    "billing_dispute": {"open": ["upheld", "rejected", "withdrawn"]},
    "billing_approval": {"proposed": ["done", "rejected", "withdrawn"]},
}
# Columns that may change; every other keeps its first value that is not NULL.
MAY_CHANGE = {
    "billing_savedcard": (
        "status",
        "status_code",
        "checkout_url",
        "brand",
        "last4",
        "exp_month",
        "exp_year",
        "is_default",
        "ended_at",
    ),
    "billing_refund": ("status", "status_code", "ended_at"),
    "billing_carddispute": ("status", "status_code", "evidence_due_at", "evidence", "evidence_at", "ended_at"),
    "billing_connectedaccount": (
        "status",
        "status_code",
        "transfers_status",
        "payouts_status",
        "requirements",
        "checked_at",
        "ended_at",
    ),
    "billing_payout": (
        "status",
        "status_code",
        "held_at",
        "held_reason",
        "bank_status",
        "bank_code",
        "ended_at",
    ),
    "billing_dispute": (
        "status",
        "status_code",
        "reserved_micro",
        "granted_micro",
        "bearer",
        "decision",
        "decided_by_id",
        "decided_at",
        "reason",  # what the person wrote is emptied by an erasure
    ),
    "billing_approval": ("status", "status_code", "decided_by_id", "decided_at", "decision_note"),
    "billing_usagevoid": (),
    "billing_ledgerdifference": ("expected_micro", "actual_micro", "last_seen_id", "gone_at", "note"),
}
EVENTS = {
    "billing_savedcard": ("billing_savedcardevent", "saved_card_id"),
    "billing_refund": ("billing_refundevent", "refund_id"),
    "billing_carddispute": ("billing_carddisputeevent", "card_dispute_id"),
    "billing_connectedaccount": ("billing_connectedaccountevent", "connected_account_id"),
    "billing_payout": ("billing_payoutevent", "payout_id"),
    "billing_dispute": ("billing_disputeevent", "dispute_id"),
}
APPEND_ONLY_TABLES = [
    "billing_statement",
    "billing_statemententry",
    "billing_statementline",
    "billing_invoice",
    "billing_invoiceentry",
    "billing_invoiceline",
    "billing_promocredit",
    "billing_disputemessage",
    "billing_ledgercheck",
    "compute_meterconflict",
    *(table for table, _ in EVENTS.values()),
]

DOCUMENTS = """
-- An entry is a transfer of the statement's owner, or of the invoice's organization, with the sign that it had for them.
CREATE FUNCTION billing_statement_entry_matches() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE bad record;
BEGIN
    SELECT n.transfer_id INTO bad FROM new_rows n
      JOIN billing_statement s ON s.id = n.statement_id
      JOIN billing_ledgertransfer t ON t.id = n.transfer_id
      LEFT JOIN billing_ledgeraccount a ON a.kind = 'payable' AND a.owner_id = s.owner_id
            AND a.currency = s.currency AND a.id IN (t.debit_id, t.credit_id)
     WHERE a.id IS NULL
        OR n.amount_micro <> CASE WHEN t.credit_id = a.id THEN t.amount_micro ELSE -t.amount_micro END
     LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'transfer % is not an entry of that statement', bad.transfer_id USING ERRCODE = 'DW007';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER entry_matches AFTER INSERT ON billing_statemententry REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION billing_statement_entry_matches();

-- A payout is its posting: of its owner, in its currency, from what is owed to what is on its way.
CREATE FUNCTION billing_payout_posted() RETURNS trigger LANGUAGE plpgsql AS $$
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
CREATE TRIGGER posted BEFORE INSERT ON billing_payout FOR EACH ROW EXECUTE FUNCTION billing_payout_posted();

-- A refund is its posting: from the customer's wallet back to where the top-up came from, never more than came.
CREATE FUNCTION billing_refund_posted() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM FROM billing_topup WHERE id = NEW.top_up_id FOR UPDATE;  -- refunds of one top-up wait for each other
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
CREATE TRIGGER posted BEFORE INSERT ON billing_refund FOR EACH ROW EXECUTE FUNCTION billing_refund_posted();
"""


def write_transitions(apps, schema_editor):
    rows = apps.get_model("accounts", "StateTransition")
    rows.objects.bulk_create(
        rows(machine=name, from_status=old, to_status=new)
        for name, allowed in TRANSITIONS.items()
        for old, news in allowed.items()
        for new in news
    )


class Migration(migrations.Migration):
    dependencies = [("billing", "0005_money"), ("compute", "0006_money")]

    operations = [
        migrations.RunPython(write_transitions, migrations.RunPython.noop),
        migrations.RunSQL(DOCUMENTS, migrations.RunSQL.noop),
        *(migrations.RunSQL(stripe_rules.keep(*item), migrations.RunSQL.noop) for item in MAY_CHANGE.items()),
        *(migrations.RunSQL(stripe_rules.machine(table, EVENTS), migrations.RunSQL.noop) for table in TRANSITIONS),
        *(migrations.RunSQL(stripe_rules.append_only(table), migrations.RunSQL.noop) for table in APPEND_ONLY_TABLES),
    ]
