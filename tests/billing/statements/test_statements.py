"""Closing owners' statements: sums, lines, late work and payouts. Every transfer is on exactly one statement."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail as post
from django.core.management import call_command
from django.db import transaction
from django.test import override_settings
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.mails import outbox
from accounts.models import Mail, Owner
from billing.earnings import summaries
from billing.ledger import checks as ledger_checks
from billing.ledger import posting
from billing.ledger.posting import AccountName, Posting
from billing.models import (
    Approval,
    LedgerAccount,
    LedgerTransfer,
    Payout,
    RatedUsage,
    Statement,
    StatementEntry,
    StatementLine,
)
from billing.orders import voids
from billing.orders.settlement import settle_usage
from billing.payouts import payouts
from billing.periods import month_of
from billing.statements import statements
from tests import factories
from tests.billing.helpers import HOUR_MS, Market, make_market, make_usage, number, order
from tests.database import execute, unguarded
from tests.long import examples
from tests.threads import in_threads

pytestmark = pytest.mark.django_db
CENT = 10_000
# Without the check of adjustments: these tests post some without an approval, at times that no approval could choose.
CHECKED = [name for name in ledger_checks.CHECKS if name != "adjustments"]


@pytest.fixture
def market(settings: Any) -> Market:
    settings.PAYOUT_MIN_MICRO = CENT
    return make_market(top_up_micro=1_000_000_000)


def work(market: Market, *, node: int = 0, ms: int = HOUR_MS, settle: bool = True) -> Any:
    usage = make_usage(order(market.organization).job, market.nodes[node], compute_ms=ms, energy_mwh=5_000)
    if settle:
        settle_usage()
    return usage


def adjust(market: Market, micro: int, *, at: datetime | None = None) -> None:
    """Post an adjustment of the first owner as two operators would, but for any time `at`."""
    operators = [factories.make_user(), factories.make_user()]
    approval = Approval.objects.create(
        kind="adjust_owner",
        params={},
        summary="By hand",
        reason="A test of statements",
        proposed_by=operators[0],
        idempotency_key=f"test-{number()}",
    )
    Approval.objects.filter(pk=approval.pk).update(status="done", decided_by=operators[1], decided_at=timezone.now())
    owner = market.nodes[0].vehicle.owner
    places = [
        AccountName(kind="adjustment", currency="USD"),
        AccountName(kind="payable", currency="USD", owner_id=owner.pk),
    ]
    accounts = posting.accounts(places)
    debit, credit = (accounts[place] for place in (places if micro > 0 else places[::-1]))
    posting.post(
        [
            Posting(
                kind="adjustment",
                debit=debit,
                credit=credit,
                amount_micro=abs(micro),
                effective_at=at,
                idempotency_key=f"adjustment:{approval.public_id}",
                meta={"note": "By hand"},
            ),
        ]
    )


def close(until: datetime | None = None) -> int:
    return statements.close_due(until=until or timezone.now())


def owed(node: Any) -> int:
    return LedgerAccount.objects.get(kind="payable", owner=node.vehicle.owner).balance_micro


def test_a_statement_says_what_was_earned_and_pays_whole_coins(market: Market):
    usages = [work(market), work(market, ms=HOUR_MS // 7), work(market, node=1)]
    credited = owed(market.nodes[0])
    assert close() == 2
    statement = Statement.objects.get(owner=market.nodes[0].vehicle.owner)
    assert (statement.number, statement.opening_micro, statement.earned_micro, statement.attempts) == (
        1,
        0,
        credited,
        2,
    )
    assert statement.compute_ms == sum(usage.compute_ms for usage in usages[:2])
    assert statement.paid_out_micro == credited // CENT * CENT > 0
    assert statement.carried_micro == credited % CENT == owed(market.nodes[0])
    payout = statement.payout
    assert (payout.amount_micro, payout.status) == (statement.paid_out_micro, "scheduled")
    assert payout.due_at == statement.period_end_at + timedelta(days=7)
    (line,) = statement.lines.all()
    assert (line.kind, line.amount_micro, line.attempts, line.is_late) == ("work", credited, 2, False)
    assert Mail.objects.filter(kind="statement-ready").count() == 2
    assert posting.recompute() == []


def test_closing_again_makes_nothing_and_the_next_one_goes_on(market: Market):
    work(market)
    first_end = timezone.now()
    assert close(first_end) == 1
    assert close(first_end) == 0
    assert close() == 0
    work(market)
    assert close() == 1
    first, second = Statement.objects.order_by("number")
    assert (second.number, second.opening_micro, second.period_start_at) == (
        2,
        first.carried_micro,
        first.period_end_at,
    )


def test_what_comes_late_is_on_the_next_statement_and_says_so(market: Market, settings: Any):
    start = month_of(timezone.now())
    before = start - timedelta(days=5)
    adjust(market, 30_000, at=before)
    assert close(start) == 1
    adjust(market, 40_000, at=before)  # posted after the close
    assert close(start) == 0
    assert close() == 1
    (line,) = Statement.objects.get(number=2).lines.all()
    assert (line.kind, line.amount_micro, line.is_late, line.note) == ("adjustment", 40_000, True, "By hand")
    assert line.service_month == before.date().replace(day=1)


def test_work_of_the_month_that_is_not_over_waits(market: Market):
    start = month_of(timezone.now())
    work(market)
    assert close(start) == 0
    assert not StatementEntry.objects.exists()


def test_a_month_is_closed_once_its_grace_is_over(market: Market, settings: Any):
    start = month_of(timezone.now())
    adjust(market, 30_000, at=start - timedelta(days=1))
    with unguarded():
        execute("UPDATE billing_ledgeraccount SET created_at = %s", start - timedelta(days=1))
    over = start + timedelta(hours=settings.STATEMENT_GRACE_H)
    assert statements.close_month(now=over - timedelta(seconds=1)) == 0
    assert statements.close_month(now=over) == 1
    assert statements.close_month(now=over + timedelta(hours=1)) == 0
    assert Statement.objects.get().period_end_at == start


def test_who_began_after_the_grace_waits_for_the_next_closing(market: Market, settings: Any):
    start = month_of(timezone.now())
    adjust(market, 30_000, at=start - timedelta(days=1))
    over = start + timedelta(hours=settings.STATEMENT_GRACE_H)
    with unguarded():
        execute("UPDATE billing_ledgeraccount SET created_at = %s", over + timedelta(seconds=1))
    assert statements.close_month(now=over + timedelta(hours=1)) == 0
    assert close() == 1
    assert StatementLine.objects.get().service_month == (start - timedelta(days=1)).date().replace(day=1)


def test_below_the_minimum_and_below_zero_are_carried(market: Market, settings: Any):
    settings.PAYOUT_MIN_MICRO = 10**9
    work(market)
    close()
    statement = Statement.objects.get()
    assert (statement.paid_out_micro, statement.carried_micro) == (0, statement.earned_micro)
    adjust(market, -statement.carried_micro - 5)
    close()
    last = Statement.objects.get(number=2)
    assert (last.carried_micro, last.paid_out_micro, owed(market.nodes[0])) == (-5, 0, -5)
    assert not Payout.objects.exists()


def test_what_was_taken_back_is_a_line_of_its_own(market: Market):
    usage = work(market)
    close()
    voids.void(rated=RatedUsage.objects.get(usage=usage), reason="The car's clock was wrong.", actor=None)
    voids.settle_voids()
    close()
    last = Statement.objects.get(number=2)
    (line,) = last.lines.all()
    assert (line.kind, line.note, line.amount_micro) == ("correction", "Work taken back", last.corrected_micro)
    assert last.carried_micro == owed(market.nodes[0]) < 0
    assert posting.recompute() == []


def test_an_owner_who_leaves_is_paid_whatever_the_minimum(market: Market, settings: Any):
    settings.PAYOUT_MIN_MICRO = 10**12
    work(market)
    owner = market.nodes[0].vehicle.owner
    assert statements.close_owner(owner=owner, until=timezone.now()) == 1
    assert Payout.objects.get().amount_micro == Statement.objects.get().paid_out_micro > 0


def test_the_command_says_what_it_did(market: Market, capsys: pytest.CaptureFixture[str]):
    work(market)
    call_command("close_statements", "--until", "now")
    assert "1 statements closed, $" in capsys.readouterr().out


@pytest.mark.django_db(transaction=True)
def test_two_at_once_state_each_movement_once(settings: Any):
    settings.PAYOUT_MIN_MICRO = CENT
    market = make_market(top_up_micro=1_000_000_000)
    for node in (0, 1, 0):
        work(market, node=node)
    now = timezone.now()
    made = in_threads(*[lambda: close(now)] * 3)
    assert sum(made) == 2
    assert Payout.objects.count() == 2
    assert posting.recompute() == []


@pytest.mark.django_db(transaction=True)
def test_what_is_posted_meanwhile_is_on_one_statement(settings: Any):
    settings.PAYOUT_MIN_MICRO = CENT
    market = make_market(top_up_micro=1_000_000_000)
    for node in (0, 1, 0, 1):
        work(market, node=node, settle=False)
    jobs = [lambda: settle_usage(limit=1)] * 4 + [close] * 3
    assert not [result for result in in_threads(*jobs) if isinstance(result, Exception)]
    settle_usage()
    close()
    assert sum(StatementEntry.objects.filter(amount_micro__gt=0).values_list("amount_micro", flat=True)) == sum(
        LedgerTransfer.objects.filter(credit__kind="payable").values_list("amount_micro", flat=True)
    )
    assert posting.recompute() == []


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["work", "work", "late", "take", "give", "void", "close", "close", "close early", "return"]),
        st.integers(0, 6),
    ),
    max_size=14,
)


@settings(max_examples=examples(25), deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=STEPS)
def test_whatever_happens_nothing_is_lost_or_stated_twice(db: None, steps: list[tuple[str, int]]):
    with transaction.atomic(), override_settings(PAYOUT_MIN_MICRO=4 * CENT):
        market = make_market(top_up_micro=1_000_000_000)
        for step, n in steps:
            if step == "work":
                work(market, node=n % 2, ms=HOUR_MS // (n + 1) + n, settle=n % 3 > 0)
            elif step in ("take", "give"):
                adjust(market, (-1 if step == "take" else 1) * (n * 7_777 + 1))
            elif step == "late":
                adjust(market, n * 3_333 + 1, at=timezone.now() - timedelta(days=8 * n))
            elif step == "void" and (rated := RatedUsage.objects.filter(void=None).first()):
                voids.void(rated=rated, reason="A test of voids.", actor=None)
                voids.settle_voids()
            elif step == "close":
                close()
            elif step == "close early":  # transfers that count for a later time wait for the next statement
                close(timezone.now() - timedelta(days=9 * n + 1))
            elif step == "return" and (payout := Payout.objects.filter(status="scheduled").first()):
                payouts.return_to_balance(payout=payout, reason="A test of returns.", actor=None)
        settle_usage()
        close()
        for account in LedgerAccount.objects.filter(kind="payable"):
            last = Statement.objects.filter(owner=account.owner_id).order_by("number").last()
            assert (last.carried_micro if last else 0) == account.balance_micro
            assert not last or last.carried_micro < (CENT if last.paid_out_micro else 4 * CENT)
        moves = LedgerTransfer.objects.filter(debit__kind="payable") | LedgerTransfer.objects.filter(
            credit__kind="payable"
        )
        assert StatementEntry.objects.count() == moves.count()
        assert sum(StatementLine.objects.values_list("amount_micro", flat=True)) - sum(
            Payout.objects.values_list("amount_micro", flat=True)
        ) == sum(LedgerAccount.objects.filter(kind="payable").values_list("balance_micro", flat=True))
        assert posting.recompute(CHECKED) == []
        transaction.set_rollback(True)


def test_who_is_erased_is_stated_but_not_paid_and_stops_nobody(market: Market):
    work(market)
    work(market, node=1)
    erased, other = (node.vehicle.owner for node in market.nodes[:2])
    Owner.objects.filter(pk=erased.pk).update(erased_at=timezone.now())
    assert close() == 2
    assert Statement.objects.get(owner=erased).paid_out_micro == 0
    assert Payout.objects.get().owner == other


def texts() -> list[str]:
    assert outbox.send_due() == 2
    return [f"{message.subject} {message.body}".replace("\xa0", " ") for message in post.outbox]


def test_the_mail_says_what_is_paid_and_where_from(market: Market):
    work(market)
    work(market, node=1)
    Owner.objects.exclude(pk=market.nodes[0].vehicle.owner_id).update(mails_off=["earnings-summary"])
    statements.close_due(until=timezone.now())
    with_summary, other = texts()
    assert "Statement 1: $0.070000 will be paid to you" in with_summary
    assert "cannot pay you yet" in with_summary  # neither owner has an account at Stripe
    assert "Net to you: " in with_summary
    assert "Net to you: " not in other  # this owner does not want the monthly summary
    assert str(Statement.objects.first().public_id) in with_summary or "/payouts/" in with_summary


def test_the_mail_says_why_nothing_is_paid(market: Market, settings: Any):
    settings.PAYOUT_MIN_MICRO = 10_000_000
    work(market)
    close()
    adjust(market, -100_000)
    close()
    below, negative = texts()
    assert "payouts begin at $10.00. $0.070000 stays yours" in below
    assert "more was corrected than earned" in negative
    assert "you need not pay anything" in negative


def test_a_month_is_told_by_one_mail(market: Market, settings: Any, stopped_clock: datetime):
    """The monthly summary goes only to owners who want it and have no statement of the month."""
    settings.STATEMENT_GRACE_H = -24
    start = month_of(stopped_clock)
    for node in (0, 1):
        work(market, node=node)
    with unguarded():
        for table, column in (("ledgertransfer", "effective_at"), ("ratedusage", "created_at")):
            execute(f"UPDATE billing_{table} SET {column} = %s", start - timedelta(days=2))
    closed, not_closed = (node.vehicle.owner for node in market.nodes[:2])
    Owner.objects.update(mails_off=[])
    assert statements.close_owner(owner=closed, until=start) == 1
    assert summaries.summarize() == 1
    kinds = dict(Mail.objects.values_list("user_id", "kind"))
    assert (kinds[closed.user_id], kinds[not_closed.user_id]) == ("statement-ready", "earnings-summary")
