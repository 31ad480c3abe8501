"""The database's rules about money at Stripe, attacked with raw SQL."""

import pytest
from django.db import connection

from billing.models import CardTopUp, StripeCommand, StripeEvent
from billing.stripe import sweeps
from tests.billing.helpers import make_organization, sqlstate_of, top_up
from tests.billing.topups.helpers import start
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db
MACHINES = {"billing_stripecommand": StripeCommand, "billing_stripeevent": StripeEvent, "billing_cardtopup": CardTopUp}
TABLES = [
    *MACHINES,
    "billing_stripecustomer",
    "billing_balancetransaction",
    "billing_stripesweep",
    "billing_cardtopupevent",
]


@pytest.fixture
def books(stripe: FakeWorld) -> FakeWorld:
    """Make one paid and one open top-up, with all events processed."""
    organization = make_organization()
    top_up(organization, 50_000_000)
    stripe.pay(start(organization))
    start(organization)
    stripe.deliver_all()
    stripe.run()
    sweeps.sweep_events()
    return stripe


@pytest.mark.parametrize("table", MACHINES)
def test_the_database_knows_the_same_transitions(table: str):
    with connection.cursor() as cursor:
        cursor.execute("SELECT from_status, to_status FROM accounts_statetransition WHERE machine = %s", [table])
        assert set(cursor) == {(old, new) for old, news in MACHINES[table].TRANSITIONS.items() for new in news}


def test_nothing_goes(books: FakeWorld):
    for table in TABLES:
        assert sqlstate_of(f"DELETE FROM {table}") == "DW002", table
        assert sqlstate_of(f"TRUNCATE {table} CASCADE") == "DW002", table


REFUSED = [
    ("UPDATE billing_cardtopup SET amount_micro = 1", "DW002"),
    ("UPDATE billing_cardtopup SET organization_id = organization_id + 1", "DW002"),
    ("UPDATE billing_cardtopup SET session_id = 'cs_other' || id", "DW002"),
    ("UPDATE billing_cardtopup SET payment_intent_id = 'pi_other' WHERE status = 'paid'", "DW002"),
    ("UPDATE billing_cardtopup SET top_up_id = NULL, status = 'open' WHERE status = 'paid'", "DW002"),
    ("UPDATE billing_cardtopup SET status = 'open' WHERE status = 'paid'", "23514"),
    ("UPDATE billing_cardtopup SET status = 'created' WHERE status = 'open'", "DW001"),
    ("UPDATE billing_cardtopup SET status = 'paid' WHERE status = 'open'", "23514"),
    (
        "UPDATE billing_cardtopup SET status = 'paid',"
        " top_up_id = (SELECT id FROM billing_topup WHERE method = 'manual') WHERE status = 'open'",
        "DW007",
    ),
    ("UPDATE billing_stripecommand SET idempotency_key = 'x' || id", "DW002"),
    ("UPDATE billing_stripecommand SET params = '{}'", "DW002"),
    ("UPDATE billing_stripecommand SET status = 'queued', done_at = NULL", "DW001"),
    ("UPDATE billing_stripeevent SET type = 'x'", "DW002"),
    ("UPDATE billing_stripeevent SET status = 'received' WHERE status = 'processed'", "DW001"),
    ("UPDATE billing_stripecustomer SET stripe_id = 'cus_other'", "DW002"),
    ("UPDATE billing_balancetransaction SET fee_micro = 0, net_micro = amount_micro", "DW002"),
    ("UPDATE billing_stripesweep SET missing = 0", "DW002"),
    ("UPDATE billing_cardtopupevent SET reason = 'x'", "DW002"),
    (
        "INSERT INTO billing_ledgeraccount"
        " (created_at, key, kind, currency, side, floor_zero, tracked, balance_micro, version)"
        " VALUES (now(), 'x', 'processing_fee', 'USD', -1, false, false, 0, 0)",
        "23514",
    ),
]


def test_what_the_database_refuses(books: FakeWorld):
    """A refused statement changes nothing, so that all are tried on the same rows."""
    assert [(sql, sqlstate_of(sql)) for sql, _ in REFUSED] == REFUSED
