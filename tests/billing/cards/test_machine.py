"""Whatever comes, in whatever order, with a crash between any two steps: each payment is in the books exactly once.

A step here is one statement to the database or one call to Stripe; a crash is an exception that none of our code
catches, raised before any of them. DRIVEWAY_STRIPE_RUNS=10000 runs longer.
"""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing.fake_stripe import FakeStripe
from billing.fake_stripe.errors import ApiError
from billing.models import (
    BalanceTransaction,
    CardTopUp,
    LedgerTransfer,
    SavedCard,
    StripeCommand,
    StripeCustomer,
    StripeEvent,
    TopUp,
)
from billing.services import card_top_ups, ledger, sweeps, wallets
from marketplace.core.errors import DomainError
from tests.billing.cards.helpers import ask
from tests.billing.helpers import make_organization
from tests.conformance.fixture import FakeWorld
from tests.conformance.transport import to_fake

pytestmark = pytest.mark.django_db
RUNS = int(os.environ.get("DRIVEWAY_STRIPE_RUNS", "25"))
CARDS = ["4242424242424242", "4242424242424242", "4000000000000002", "4000002500003155", "000123456789"]


class Crash(BaseException):
    """A process that dies."""


class Countdown:
    """Dies before the n-th step from now; never with n = 0."""

    def __init__(self) -> None:
        self.left = 0

    def step(self) -> None:
        if self.left:
            self.left -= 1
            if not self.left:
                raise Crash

    def statement(self, execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        self.step()
        return execute(sql, params, many, context)


class Machine:
    """Customers, their bank, Stripe, the post, and our workers."""

    def __init__(self, world: FakeWorld) -> None:
        self.world, self.organizations = world, [make_organization(), make_organization()]
        self.countdown = Countdown()
        world.transport.before = world.transport.after = self.countdown.step

    @contextmanager
    def dying_after(self, steps: int) -> Iterator[None]:
        self.countdown.left = steps
        try:
            with connection.execute_wrapper(self.countdown.statement):
                yield
        except (Crash, DomainError):
            pass
        finally:
            self.countdown.left = 0

    def ask(self, which: int, crash: int) -> None:
        with self.dying_after(crash):
            amount, keeps = 5_000_000 + which * 10_000, which % 4 < 2
            card_top_ups.open_page(ask(self.organizations[which % 2], amount, key=f"k{which % 4}", saves_card=keeps))

    def pay(self, which: int, _: int) -> None:
        if sessions := self.world.sessions():
            session, card = sessions[which % len(sessions)], CARDS[which % len(CARDS)]
            try:
                if self.world.fake.payments.pay(session["id"], card) == "asks":
                    self.world.fake.payments.answer_bank(session["id"], passed=which % 2 == 0)
            except ApiError:
                pass  # the page is closed

    def end(self, which: int, _: int) -> None:
        """Time passes for one session: a debit settles or bounces, a page expires."""
        if sessions := self.world.sessions():
            session_id = sessions[which % len(sessions)]["id"]
            try:
                self.world.fake.payments.settle(session_id, paid=which % 3 > 0)
            except ApiError:
                if which % 4 == 0 and self.world.fake.store.get(session_id)["status"] == "open":
                    self.world.fake.payments.expire(session_id)

    def post(self, which: int, crash: int) -> None:
        """Some webhooks: shuffled, tripled, some forged or stale, the rest lost."""
        rng = random.Random(which)
        events = self.world.events() * 3
        for event in rng.sample(events, min(len(events), which % 7)):
            kind = rng.choice(["good", "good", "good", "forged", "stale"])
            with self.dying_after(crash):
                status = self.world.deliver(
                    event, secret="whsec_x" if kind == "forged" else "whsec_test", age_s=900 if kind == "stale" else 0
                )
                assert status == (200 if kind == "good" else 400)

    def fault(self, which: int, _: int) -> None:
        self.world.transport.faults = [["lost", "broken", "busy"][which % 3]]

    def work(self, _: int, crash: int) -> None:
        with self.dying_after(crash):
            self.world.run()

    def return_page(self, which: int, crash: int) -> None:
        if top_up := CardTopUp.objects.order_by("id")[which % 8 :].first():
            with self.dying_after(crash):
                card_top_ups.refresh(top_up)

    def sweep(self, which: int, crash: int) -> None:
        with self.dying_after(crash):
            (sweeps.sweep_events if which % 2 else sweeps.sweep_balance)()

    def check(self) -> None:
        """At any moment: nothing that Stripe did not take, and nothing twice."""
        paid = {session["client_reference_id"] for session in self.paid()}
        credited = CardTopUp.objects.filter(status="paid")
        assert {str(row.public_id) for row in credited} <= paid
        assert TopUp.objects.count() == credited.count()
        commands = [session["metadata"]["command"] for session in self.world.sessions()]
        assert len(commands) == len(set(commands))

    def finish(self) -> None:
        """When all is quiet: what Stripe took is what we have, to the cent."""
        self.world.transport.faults = []
        for _ in range(3):
            sweeps.sweep_events()
            sweeps.sweep_balance()
            self.world.run()
        self.check()
        assert ledger.recompute() == []
        assert not StripeCommand.objects.exclude(status="done").exists()
        assert not StripeEvent.objects.filter(status__in=["received", "dead"]).exists()
        for organization in self.organizations:
            customer = StripeCustomer.objects.filter(organization=organization).values_list("stripe_id", flat=True)
            taken = sum(row["amount_total"] for row in self.paid() if row["customer"] in list(customer))
            assert wallets.summary(organization).balance_micro == taken * 10_000
        kept = {row["id"] for row in self.world.fake.store.newest("payment_method") if row["customer"]}
        cards = SavedCard.objects.filter(status="active")
        assert kept == set(cards.values_list("payment_method_id", flat=True))
        numbers = list(cards.values_list("organization", "last4"))
        assert len(numbers) == len(set(numbers))
        booked = list(self.world.fake.store.newest("balance_transaction"))
        fees = sum(LedgerTransfer.objects.filter(kind="fee").values_list("amount_micro", flat=True))
        assert fees == sum(row["fee"] for row in booked) * 10_000
        assert BalanceTransaction.objects.count() == len(booked)

    def paid(self) -> list[dict[str, Any]]:
        return [session for session in self.world.sessions() if session["payment_status"] == "paid"]


names = st.sampled_from(["ask", "pay", "pay", "end", "post", "fault", "work", "work", "return_page", "sweep"])
steps = st.tuples(names, st.integers(0, 60), st.one_of(st.just(0), st.integers(1, 40)))


@pytest.mark.skipif(RUNS < 1, reason="no runs were asked for")
def test_whatever_happens_each_payment_is_in_the_books_once(stripe: FakeWorld):
    @settings(
        max_examples=RUNS, deadline=None, derandomize=RUNS <= 100, database=None,
        suppress_health_check=list(HealthCheck), phases=[Phase.generate],
    )  # fmt: skip
    @given(sequence=st.lists(steps, min_size=6, max_size=22))
    def run(sequence: list[tuple[str, int, int]]) -> None:
        block = transaction.atomic()
        block._from_testcase = True  # the outermost, as a test's own: inside it services commit and roll back as ever
        with block:
            stripe.fake = FakeStripe()
            stripe.transport.send, stripe.transport.faults = to_fake(stripe.fake), []
            machine = Machine(stripe)
            machine.ask(0, 0)
            machine.pay(0, 0)
            for name, which, crash in sequence:
                getattr(machine, name)(which, crash)
                if name in ("work", "return_page"):
                    machine.check()
            machine.finish()
            transaction.set_rollback(True)

    run()
