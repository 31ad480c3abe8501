"""The checks of the ledger find what the database's rules should make impossible: the tests switch the rules off."""

from io import StringIO

import pytest
from django.core.management import call_command
from django.db import transaction

from accounts.models import AuditEvent
from billing.ledger import check_runs
from billing.ledger.checks import CHECKS, HOURLY
from billing.ledger.posting import recompute
from billing.models import LedgerCheck, LedgerDifference
from billing.tasks import check_ledger, check_whole_ledger, close_jobs
from billing.tasks import settle_usage as settle_usage_task
from tests.billing.books import make_books
from tests.billing.helpers import end_job, make_market, make_usage, order
from tests.database import execute, unguarded

pytestmark = pytest.mark.django_db


@pytest.fixture
def books():
    """Books in which money has moved in every way there is, and everything adds up."""
    return make_books()


def tamper(sql: str) -> None:
    with unguarded():
        execute(sql)


NEW = "(kind, debit_id, credit_id, amount_micro, currency, idempotency_key) SELECT"


LONG_AGO = "now() - interval '2 days'"
# Tampering -> the checks that must find it (others may find it too).
TAMPERING = {
    "UPDATE billing_ledgeraccount SET balance_micro = balance_micro + 1 WHERE kind = 'wallet'": "balances",
    "UPDATE billing_ledgeraccount SET version = version + 1 WHERE kind = 'payable'": "balances",
    "UPDATE billing_ledgertransfer SET amount_micro = amount_micro + 1 WHERE kind = 'share'": "shares statement_entries invoice_entries",
    "UPDATE billing_ledgertransfer SET amount_micro = amount_micro + 1 WHERE kind = 'verification'": "payables",
    "UPDATE billing_ledgertransfer SET amount_micro = amount_micro + 1 WHERE kind = 'revenue'": "revenue",
    "UPDATE billing_ledgertransfer SET amount_micro = amount_micro + 1 WHERE kind = 'top_up'": "top_ups",
    "UPDATE billing_ledgertransfer SET amount_micro = amount_micro + 1 WHERE kind = 'hold'": "orders_held",
    "UPDATE billing_ledgertransfer SET amount_micro = amount_micro - 1 WHERE kind = 'release'": "orders_released",
    "DELETE FROM billing_ledgertransfer WHERE kind = 'release'": "orders_released",
    "UPDATE billing_joborder SET held_promo_micro = held_promo_micro - 1 WHERE held_promo_micro > 0": "orders_held promo_wallets",
    "DELETE FROM billing_topup": "top_ups_missing",
    "UPDATE billing_topup SET amount_micro = 1": "top_ups refunded",
    "UPDATE billing_joborder SET charged_micro = charged_micro + 1": "orders_charged",
    "UPDATE billing_joborder SET charged_micro = charged_micro + 1 WHERE status = 'held'": "holds",
    "DELETE FROM billing_ratedusage": "usage_settled earnings_days spend_days",
    "UPDATE billing_ratedusage SET owner_micro = owner_micro + 1, platform_micro = platform_micro - 1": "payables voids",
    "UPDATE compute_usagerecord SET owner_id = (SELECT max(owner_id) FROM compute_usagerecord)": "shares",
    "DELETE FROM billing_joborder WHERE status = 'closed'": "usage_ordered",
    "UPDATE billing_ledgeraccount SET currency = 'EUR' WHERE kind = 'bank_clearing'": "sums",
    "INSERT INTO billing_ledgertransfer (kind, debit_id, credit_id, amount_micro, currency, idempotency_key)"
    " SELECT 'share', debit_id, credit_id, 5, 'USD', 'extra' FROM billing_ledgertransfer WHERE kind = 'share' LIMIT 1": "shares",
    "INSERT INTO billing_ledgertransfer (kind, debit_id, credit_id, amount_micro, currency, idempotency_key, reverses_id)"
    " SELECT 'reversal', credit_id, debit_id, 5, 'USD', 'r', id FROM billing_ledgertransfer WHERE kind = 'promo'": "reversals",
    "ALTER TABLE billing_ledgeraccount DROP CONSTRAINT ledger_account_floor;"
    " UPDATE billing_ledgeraccount SET balance_micro = -1 WHERE kind = 'hold'": "floors",
    # Promotional credit, voids and days
    "UPDATE billing_promocredit SET amount_micro = amount_micro + 1": "promo_credits promo_wallets",
    "DELETE FROM billing_promocredit": "promo_credits promo_wallets",
    "UPDATE billing_usagevoid SET settled_at = NULL": "voids",
    "UPDATE billing_usagevoid SET promo_micro = promo_micro - 1 WHERE promo_micro > 0": "voids",
    "DELETE FROM billing_usagevoid": "corrections earnings_days spend_days",
    "UPDATE billing_earningsday SET gross_micro = gross_micro + 1": "earnings_days",
    "DELETE FROM billing_spendday": "spend_days",
    # Refunds, chargebacks, disputes, adjustments
    "UPDATE billing_refund SET amount_micro = amount_micro + 1": "refunds",
    "DELETE FROM billing_refund": "refunds",
    "UPDATE billing_refund SET returned_id = transfer_id WHERE status = 'failed'": "refunds",
    "UPDATE billing_carddispute SET withdrawn_at = NULL WHERE reinstated_at IS NULL": "card_disputes",
    "UPDATE billing_carddispute SET reinstated_at = NULL": "card_disputes",
    "UPDATE billing_carddispute SET written_off_at = now()": "card_disputes",
    "DELETE FROM billing_carddispute": "disputed",
    "UPDATE billing_dispute SET status = 'withdrawn' WHERE status = 'open'": "reserved",
    "UPDATE billing_dispute SET granted_micro = granted_micro + 1 WHERE order_id IS NOT NULL": "granted",
    "UPDATE billing_dispute SET granted_micro = granted_micro + 1 WHERE statement_id IS NOT NULL": "granted",
    "UPDATE billing_dispute SET granted_promo_micro = granted_promo_micro + 1 WHERE status = 'upheld'": "granted",
    "UPDATE billing_dispute SET bearer = 'platform'": "granted",
    "UPDATE billing_ledgertransfer SET amount_micro = 2 * amount_micro WHERE kind = 'correction'": "given_back voids granted",
    # A second void of the same usage: each document is right by itself, but the order gives back more than it charged.
    "INSERT INTO billing_usagevoid (public_id, created_at, rated_id, reason, promo_micro, settled_at)"
    " SELECT gen_random_uuid(), now(), r.id, 'again', 0, now() FROM billing_ratedusage r JOIN billing_dispute d"
    " ON d.order_id = r.order_id AND d.status = 'upheld';"
    f" INSERT INTO billing_ledgertransfer {NEW} 'correction', (SELECT id FROM billing_ledgeraccount WHERE kind = 'revenue'),"
    " w.id, r.charged_micro, 'USD', 'void:' || v.public_id || ':wallet' FROM billing_usagevoid v"
    " JOIN billing_ratedusage r ON r.id = v.rated_id AND v.reason = 'again'"
    " JOIN billing_ledgeraccount w ON w.kind = 'wallet'": "given_back",
    "DELETE FROM billing_dispute": "reserved corrections",
    "UPDATE billing_approval SET status = 'rejected'": "adjustments",
    "DELETE FROM billing_ledgertransfer WHERE kind = 'adjustment'": "adjustments",
    # Statements and payouts
    "UPDATE billing_statement SET earned_micro = earned_micro + 1, carried_micro = carried_micro + 1": "statement_columns statement_lines statement_chain payables_stated",
    "UPDATE billing_statement SET opening_micro = opening_micro + 1, carried_micro = carried_micro + 1": "statement_chain",
    "UPDATE billing_statement SET period_end_at = period_end_at - interval '1 ms'": "statement_chain",
    "UPDATE billing_statementline SET amount_micro = amount_micro + 1": "statement_lines",
    "UPDATE billing_statemententry SET amount_micro = -amount_micro": "statement_entries statement_columns",
    "DELETE FROM billing_statemententry WHERE id = (SELECT min(id) FROM billing_statemententry)": "statement_columns payables_stated",
    "DELETE FROM billing_statemententry WHERE id = (SELECT min(id) FROM billing_statemententry);"
    " UPDATE billing_statement SET created_at = now() + interval '1 hour'": "statements_whole",
    "UPDATE billing_payout SET amount_micro = amount_micro + 1": "payouts in_transit",
    "UPDATE billing_payout SET posting_id = (SELECT min(id) FROM billing_ledgertransfer) WHERE status = 'scheduled'": "payouts_missing",
    "DELETE FROM billing_payout WHERE status = 'scheduled'": "payouts payouts_missing in_transit",
    # Invoices
    "UPDATE billing_invoice SET charged_micro = charged_micro + 1, total_micro = total_micro + 1": "invoice_columns",
    "UPDATE billing_invoiceline SET amount_micro = amount_micro + 1": "invoice_columns",
    "UPDATE billing_invoiceentry SET amount_micro = -amount_micro": "invoice_entries",
    "UPDATE billing_invoice SET organization_id = (SELECT max(id) + 1 FROM accounts_organization)": "invoice_entries",
    "DELETE FROM billing_invoiceentry; UPDATE billing_invoice SET created_at = now() + interval '1 hour'": "invoices_whole",
    "INSERT INTO billing_invoice (organization_id, number, currency, period_start_at, period_end_at, charged_micro, corrected_micro,"
    " total_micro, promo_micro, customer_name, public_id, created_at) SELECT organization_id, 2, currency,"
    " period_start_at + interval '1 day', period_end_at, 0, 0, 0, 0, '', gen_random_uuid(), now() FROM billing_invoice": "invoice_periods",
    # Stripe
    "UPDATE billing_balancetransaction SET amount_micro = amount_micro - 1, fee_micro = fee_micro - 1": "stripe_booked stripe_fees",
    "UPDATE billing_balancetransaction SET source_id = 'other', payment_intent_id = 'other'": "stripe_booked",
    "DELETE FROM billing_balancetransaction WHERE type = 'stripe_fee'": "stripe_clearing",
    "UPDATE billing_ledgertransfer SET kind = 'promo' WHERE kind = 'transfer'": "stripe_clearing stripe_payouts",
    "UPDATE billing_ledgertransfer SET amount_micro = amount_micro + 1 WHERE idempotency_key LIKE 'stripe_payout:%'": "stripe_payouts",
    "UPDATE billing_ledgertransfer SET debit_id = credit_id, credit_id = debit_id WHERE idempotency_key LIKE 'stripe_payout:%'": "stripe_payouts",
    "DELETE FROM billing_balancetransaction WHERE type = 'payout'": "payouts_missing",
    f"DELETE FROM billing_balancetransaction WHERE type = 'charge'; UPDATE billing_topup SET created_at = {LONG_AGO}": "stripe_unbooked",
    f"DELETE FROM billing_balancetransaction WHERE type = 'refund'; UPDATE billing_refund SET created_at = {LONG_AGO}": "stripe_unbooked",
    "DELETE FROM billing_balancetransaction WHERE type = 'refund_failure';"
    f" UPDATE billing_refund SET ended_at = {LONG_AGO}": "stripe_unbooked",
    "DELETE FROM billing_balancetransaction WHERE type = 'adjustment';"
    f" UPDATE billing_carddispute SET withdrawn_at = {LONG_AGO}": "stripe_unbooked",
    "DELETE FROM billing_balancetransaction WHERE type = 'transfer';"
    f" UPDATE billing_payout SET paid_at = {LONG_AGO}": "stripe_unbooked",
    "DELETE FROM billing_balancetransaction WHERE type = 'transfer_refund';"
    f" UPDATE billing_payout SET ended_at = {LONG_AGO}": "stripe_unbooked",
}


def test_every_tampering_is_found(books):
    """All use the same books: each tampering is undone before the next."""
    assert recompute() == []
    execute("SET CONSTRAINTS ALL IMMEDIATE")
    missed, found_by = {}, set()
    for sql, wanted in TAMPERING.items():
        sid = transaction.savepoint()
        tamper(sql)
        found = {difference.check for difference in recompute()}
        found_by |= set(wanted.split()) & found
        if set(wanted.split()) - found:
            missed[sql] = set(wanted.split()) - found
        transaction.savepoint_rollback(sid)
    assert missed == {}
    assert recompute() == []
    assert set(CHECKS) - found_by == {"card_top_ups"}  # tested in tests/billing/topups


def test_what_is_young_may_be_on_one_side_only(books):
    with unguarded():
        # Stripe has not booked our refunds yet.
        execute("DELETE FROM billing_balancetransaction WHERE type = 'refund'")
        # Stripe has booked a transfer whose event has not reached us yet.
        execute(
            "UPDATE billing_balancetransaction SET amount_micro = 7, net_micro = 7 - fee_micro, occurred_at = now()"
            " WHERE type = 'transfer'"
        )
    assert recompute() == []


def test_a_difference_is_a_row_from_its_first_sight_to_its_end(books, cast):
    hold = "UPDATE billing_ledgeraccount SET balance_micro = balance_micro {} WHERE kind = 'hold'"
    assert check_runs.run() == []
    tamper(hold.format("+ 7"))
    first = check_runs.run()
    assert {difference.check for difference in first} == {"balances", "holds"}
    row = LedgerDifference.objects.get(check_name="holds")
    assert (row.actual_micro - row.expected_micro, row.gone_at) == (7, None)
    check_runs.note(difference=row, text=" A hand in the till. ", actor=cast.opal)
    tamper(hold.format("+ 1"))
    check_runs.run(names=HOURLY)
    row.refresh_from_db()
    assert (row.actual_micro - row.expected_micro, row.note, row.gone_at) == (8, "A hand in the till.", None)
    assert row.last_seen_id > row.first_seen_id
    tamper(hold.format("- 8"))
    check_runs.run()
    assert not LedgerDifference.objects.filter(gone_at=None).exists()
    tamper(hold.format("+ 7"))
    check_runs.run()
    assert LedgerDifference.objects.filter(check_name="holds").count() == 2
    runs = list(LedgerCheck.objects.order_by("id").values_list("checks", "differences"))
    assert runs == [(len(CHECKS), 0), (len(CHECKS), 2), (len(HOURLY), 2), (len(CHECKS), 0), (len(CHECKS), 2)]
    assert AuditEvent.objects.get(action="ledger_difference.note").actor == cast.opal


def test_what_only_the_night_checks_stays_open_by_day(books):
    tamper("UPDATE billing_earningsday SET gross_micro = gross_micro + 1")
    check_whole_ledger()
    check_ledger()
    assert set(LedgerDifference.objects.filter(gone_at=None).values_list("check_name", flat=True)) == {"earnings_days"}


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


def test_the_tasks_are_thin_and_may_run_twice(caplog):
    market = make_market()
    placed = order(market.organization)
    make_usage(placed.job, market.nodes[0])
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
