"""The check finds what the rules should have made impossible: here they are switched off by the database's owner."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import connection

from billing.services.closing import close_orders
from billing.services.ledger import recompute
from billing.services.ledger_checks import CHECKS
from billing.services.settlement import settle_usage
from billing.tasks import check_ledger, close_jobs
from billing.tasks import settle_usage as settle_usage_task
from tests.billing.helpers import end_job, make_market, make_usage, order
from tests.database import execute, unguarded

pytestmark = pytest.mark.django_db


@pytest.fixture
def books():
    """One closed order with a copy, one open order, all in balance."""
    market = make_market()
    closed = order(market.organization)
    first = make_usage(closed.job, market.nodes[0])
    make_usage(closed.job, market.nodes[1], copy_of=first)
    settle_usage()
    end_job(closed.job)
    close_orders()
    order(market.organization)
    return market


def tamper(sql: str) -> None:
    with unguarded():
        execute(sql)


NEW = "(kind, debit_id, credit_id, amount_micro, currency, idempotency_key) SELECT"


@pytest.mark.parametrize(
    ("sql", "check"),
    [
        ("UPDATE billing_ledgeraccount SET balance_micro = balance_micro + 1 WHERE kind = 'wallet'", "balances"),
        ("UPDATE billing_ledgeraccount SET version = version + 1 WHERE kind = 'payable'", "balances"),
        ("UPDATE billing_ledgertransfer SET amount_micro = amount_micro + 1 WHERE kind = 'share'", "shares"),
        ("UPDATE billing_ledgertransfer SET amount_micro = amount_micro + 1 WHERE kind = 'verification'", "payables"),
        ("UPDATE billing_ledgertransfer SET amount_micro = amount_micro + 1 WHERE kind = 'revenue'", "revenue"),
        ("UPDATE billing_ledgertransfer SET amount_micro = amount_micro + 1 WHERE kind = 'top_up'", "top_ups"),
        ("UPDATE billing_ledgertransfer SET amount_micro = amount_micro + 1 WHERE kind = 'hold'", "orders_held"),
        ("UPDATE billing_ledgertransfer SET amount_micro = amount_micro - 1 WHERE kind = 'release'", "orders_released"),
        ("DELETE FROM billing_ledgertransfer WHERE kind = 'release'", "orders_released"),
        ("DELETE FROM billing_topup", "top_ups_missing"),
        ("UPDATE billing_topup SET amount_micro = 1", "top_ups"),
        ("UPDATE billing_joborder SET charged_micro = charged_micro + 1", "orders_charged"),
        ("UPDATE billing_joborder SET charged_micro = charged_micro + 1 WHERE status = 'held'", "holds"),
        ("DELETE FROM billing_ratedusage", "usage_settled"),
        ("UPDATE billing_ratedusage SET owner_micro = owner_micro + 1, platform_micro = platform_micro - 1", "payables"),
        ("UPDATE compute_usagerecord SET owner_id = (SELECT max(owner_id) FROM compute_usagerecord)", "shares"),
        ("DELETE FROM billing_joborder WHERE status = 'closed'", "usage_ordered"),
        ("UPDATE billing_ledgeraccount SET currency = 'EUR' WHERE kind = 'bank_clearing'", "sums"),
        (f"INSERT INTO billing_ledgertransfer {NEW} 'share', debit_id, credit_id, 5, 'USD', 'extra'"
         " FROM billing_ledgertransfer WHERE kind = 'share'", "shares"),
        (f"INSERT INTO billing_ledgertransfer {NEW[:-8]}, reverses_id) SELECT 'reversal', credit_id, debit_id, 5, 'USD', 'r',"
         " id FROM billing_ledgertransfer WHERE kind = 'top_up'", "reversals"),
        ("ALTER TABLE billing_ledgeraccount DROP CONSTRAINT ledger_account_floor;"
         " UPDATE billing_ledgeraccount SET balance_micro = -1 WHERE kind = 'hold'", "floors"),
    ],
)  # fmt: skip
def test_every_tampering_is_found(books, sql, check):
    assert recompute() == []
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    tamper(sql)
    assert check in {difference.check for difference in recompute()}


def test_the_command_says_what_it_checked(books):
    out = StringIO()
    call_command("check_ledger", stdout=out)
    assert out.getvalue().count(" ok\n") == len(CHECKS)


def test_the_command_fails_on_a_difference_and_names_it(books):
    tamper("UPDATE billing_ledgeraccount SET balance_micro = balance_micro + 7 WHERE kind = 'hold'")
    out = StringIO()
    with pytest.raises(SystemExit) as caught:
        call_command("check_ledger", stdout=out)
    assert caught.value.code == 1
    assert "holds: organization:" in out.getvalue()


def test_the_tasks_are_thin_and_may_run_twice(books, caplog):
    placed = order(books.organization)
    make_usage(placed.job, books.nodes[0])
    end_job(placed.job)
    for _ in range(2):
        settle_usage_task()
        close_jobs()
        check_ledger()
    placed.refresh_from_db()
    assert (placed.status, placed.charged_micro) == ("closed", 100_000)
    assert "does not add up" not in caplog.text
    tamper("UPDATE billing_topup SET amount_micro = 1")
    check_ledger()
    assert "does not add up: top_ups" in caplog.text
