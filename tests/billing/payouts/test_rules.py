"""Rules of payouts and accounts in the database, attacked with raw SQL."""

import pytest
from django.db import connection

from billing.models import Payout
from billing.payouts import payouts
from tests.billing.helpers import sqlstate_of
from tests.billing.payouts.helpers import fund, make_payout, ready_owner
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db
POSTED = """
WITH t AS (INSERT INTO billing_ledgertransfer (kind, debit_id, credit_id, amount_micro, currency, idempotency_key, effective_at, meta)
 SELECT '{kind}', d.id, c.id, {amount}, 'USD', 'x', now(), '{{}}' FROM billing_ledgeraccount d, billing_ledgeraccount c, billing_payout p
  WHERE p.status = '{status}' AND d.kind = '{debit}' AND d.owner_id = p.owner_id AND c.kind = '{credit}'
    AND (c.owner_id IS NULL OR c.owner_id = p.owner_id) LIMIT 1 RETURNING id)
"""


@pytest.fixture
def books(stripe: FakeWorld) -> FakeWorld:
    """Books with payouts in every state that matters, each of another owner."""
    fund(stripe)
    for status in ("paid", "sending", "returned", "scheduled"):
        payout = make_payout(ready_owner(stripe))
        if status != "scheduled":
            payouts.send_due()
        if status == "paid":
            stripe.run()
        if status == "returned":
            payouts.return_to_balance(payout=make_payout(payout.owner), reason="x", actor=None)
    assert set(Payout.objects.values_list("status", flat=True)) == {"paid", "sending", "returned", "scheduled"}
    return stripe


def test_nothing_goes(books: FakeWorld):
    for table in ("billing_payout", "billing_payoutevent", "billing_connectedaccount"):
        assert sqlstate_of(f"DELETE FROM {table}") == "DW002", table
        assert sqlstate_of(f"TRUNCATE {table} CASCADE") == "DW002", table


REFUSED = [
    ("UPDATE billing_payout SET amount_micro = 1", "DW002"),
    ("UPDATE billing_payout SET owner_id = owner_id + 1", "DW002"),
    ("UPDATE billing_payout SET due_at = now() - interval '1 year'", "DW002"),
    ("UPDATE billing_payout SET stripe_transfer_id = 'tr_other' || id WHERE status = 'paid'", "DW002"),
    ("UPDATE billing_payout SET paid_at = now() WHERE status = 'paid'", "DW002"),
    ("UPDATE billing_payout SET status = 'scheduled', command_id = NULL WHERE status = 'paid'", "DW001"),
    ("UPDATE billing_payout SET status = 'scheduled', command_id = NULL WHERE status = 'sending'", "DW001"),
    ("UPDATE billing_payout SET status = 'sending' WHERE status = 'scheduled'", "23514"),
    ("UPDATE billing_payout SET status = 'paid' WHERE status = 'sending'", "DW007"),
    (
        "UPDATE billing_payout SET status = 'paid', paid_at = now(), stripe_transfer_id = 'tr_x',"
        " sent_id = (SELECT sent_id FROM billing_payout WHERE status = 'paid') WHERE status = 'sending'",
        "DW007",
    ),
    (
        "UPDATE billing_payout SET status = 'returned',"
        " returned_id = (SELECT returned_id FROM billing_payout WHERE status = 'returned' LIMIT 1) WHERE status = 'sending'",
        "DW007",
    ),
    ("UPDATE billing_payout SET status = 'reversed' WHERE status = 'paid'", "DW007"),
    ("UPDATE billing_payout SET status = 'sending' WHERE status = 'returned'", "23514"),
    (
        "UPDATE billing_payout p SET command_id = c.id, status = 'sending', account_id = a.id FROM billing_stripecommand c,"
        " billing_connectedaccount a WHERE p.status = 'scheduled' AND c.kind = 'create_transfer'"
        " AND a.owner_id = p.owner_id",
        "DW007",
    ),
    (
        "UPDATE billing_payout SET account_id = (SELECT max(id) FROM billing_connectedaccount) WHERE status = 'sending'",
        "DW007",
    ),
    ("UPDATE billing_connectedaccount SET stripe_id = 'acct_thief' || id", "DW002"),
    ("UPDATE billing_connectedaccount SET owner_id = owner_id + 1", "DW002"),
    ("UPDATE billing_payoutevent SET reason = 'x'", "DW002"),
    (
        "UPDATE billing_stripecommand SET params = params || '{\"destination\": \"acct_thief\"}' WHERE kind = 'create_transfer'",
        "DW002",
    ),
]


def test_what_the_database_refuses(books: FakeWorld):
    """A refused statement changes nothing, so all are tried on the same books."""
    assert [(sql, sqlstate_of(sql)) for sql, _ in REFUSED] == REFUSED


@pytest.mark.parametrize(
    ("kind", "debit", "credit", "amount", "change"),
    [
        ("transfer", "in_transit", "stripe_clearing", 25_000_000, "sent"),  # under another key
        ("return", "in_transit", "payable", 25_000_000, "returned"),
        ("transfer", "in_transit", "stripe_clearing", 1, "sent"),
    ],
)
def test_money_moved_for_another_reason_is_not_the_payouts(books: FakeWorld, kind, debit, credit, amount, change):
    insert = POSTED.format(kind=kind, debit=debit, credit=credit, amount=amount, status="sending")
    values = "paid', paid_at = now(), stripe_transfer_id = 'tr_x" if change == "sent" else "returned"
    with connection.cursor() as cursor:
        cursor.execute(insert + "SELECT id FROM t")
        (pk,) = cursor.fetchone()
    sql = f"UPDATE billing_payout SET status = '{values}', {change}_id = {pk} WHERE status = 'sending'"
    assert sqlstate_of(sql) == "DW007"


def test_a_transfer_that_nobody_waits_for_is_never_tried_again(stripe: FakeWorld):
    fund(stripe)
    payout = make_payout(ready_owner(stripe))
    payouts.send_due()
    stripe.transport.faults = ["refused"]
    stripe.run()
    payouts.return_to_balance(payout=payout, reason="x", actor=None)
    assert sqlstate_of("UPDATE billing_stripecommand SET status = 'queued' WHERE kind = 'create_transfer'") == "DW001"
