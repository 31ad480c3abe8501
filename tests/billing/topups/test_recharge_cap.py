"""In random sequences of events, a card is never charged more in a month than the cap, nor twice concurrently."""

import os
import threading

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from billing.ledger import posting
from billing.models import AutoRecharge, CardTopUp, StripeCommand, StripeCustomer, TopUp
from billing.topups import saved_cards
from billing.topups.recharges import recharge_low
from billing.wallet import wallets
from marketplace.local.fake_stripe import FakeStripe
from marketplace.local.fake_stripe.setups import Setups
from tests import factories
from tests.billing.helpers import number
from tests.billing.topups.helpers import recharge, recharging, save_card
from tests.billing.topups.test_recharges import charges, heard, spend
from tests.conformance.fixture import FakeWorld
from tests.conformance.transport import to_fake
from tests.long import IS_LONG
from tests.threads import at_once

RUNS = int(os.environ.get("DRIVEWAY_RECHARGE_RUNS", "25" if IS_LONG else "5"))
MONTH = 200_000_000
CARDS = ["4242424242424242", "5555555555554444", "4000008260003178", "000123456789"]


class Machine:
    """The actors: a customer who spends and changes settings, banks, Stripe with its webhooks, and our workers."""

    def __init__(self, world: FakeWorld) -> None:
        self.world, self.organization = world, factories.make_organization()
        cards = [save_card(world, self.organization, card) for card in CARDS]
        recharge(self.organization, cards[0], monthly_cap_micro=MONTH)

    def round(self, _: int) -> None:
        recharge_low()

    def work(self, _: int) -> None:
        self.world.run()

    def post(self, _: int) -> None:
        self.world.deliver_all()

    def fault(self, which: int) -> None:
        self.world.transport.faults = [["lost", "broken", "busy", "refused"][which % 4]]

    def spend(self, _: int) -> None:
        if free := wallets.summary(self.organization).available_micro:
            spend(self.organization, free)

    def settle(self, which: int) -> None:
        for intent in charges(self.world):
            if intent["status"] == "processing":
                self.world.fake.payments.settle_payment(intent["id"], paid=which % 3 > 0)

    def change(self, which: int) -> None:
        cards = saved_cards.cards_of(self.organization)
        amount = 20_000_000 * (1 + which % 4)
        recharge(
            self.organization, cards[which % len(cards)], amount_micro=amount, monthly_cap_micro=MONTH, resume=True
        )

    def check(self) -> None:
        taken = sum(row["amount"] for row in charges(self.world) if row["status"] in ("succeeded", "processing"))
        assert taken * 10_000 <= MONTH
        assert CardTopUp.objects.filter(status__in=["created", "open", "processing"]).count() <= 1

    def finish(self) -> None:
        """Process everything that is open, then check that what Stripe took is what was credited."""
        self.world.transport.faults = []
        for _ in range(2):
            heard(self.world)
        self.check()
        taken = sum(row["amount"] for row in charges(self.world) if row["status"] == "succeeded")
        assert sum(TopUp.objects.values_list("amount_micro", flat=True)) == taken * 10_000
        # `spend` posts holds without an order, so that this check may fail.
        assert {difference.check for difference in posting.recompute()} <= {"holds"}


names = st.sampled_from(["round", "round", "work", "work", "spend", "spend", "fault", "settle", "change", "post"])


@pytest.mark.django_db
@pytest.mark.usefixtures("stopped_clock")  # if the month ended meanwhile, more could be charged
def test_whatever_happens_the_cap_of_the_month_holds(stripe: FakeWorld):
    @settings(
        max_examples=max(1, RUNS // 5),
        deadline=None,
        derandomize=RUNS <= 100,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(sequence=st.lists(st.tuples(names, st.integers(0, 11)), min_size=12, max_size=30))
    def run(sequence: list[tuple[str, int]]) -> None:
        block = transaction.atomic()
        block._from_testcase = True  # like a test's own transaction: inside it, services' transactions are savepoints
        with block:
            stripe.fake = FakeStripe()
            stripe.transport.send, stripe.transport.faults = to_fake(stripe.fake), []
            machine = Machine(stripe)
            for name, which in sequence:
                getattr(machine, name)(which)
                machine.check()
            machine.finish()
            transaction.set_rollback(True)

    run()


@pytest.mark.django_db(transaction=True)
def test_eight_workers_at_once_begin_one_recharge_for_each_customer(stripe: FakeWorld, sent_tasks):
    auto_recharges = [recharging(stripe) for _ in range(5)]
    assert sum(at_once(8, lambda _: recharge_low())) == 5
    assert CardTopUp.objects.count() == StripeCommand.objects.filter(kind="charge_saved_card").count() == 5
    assert {row.organization_id for row in CardTopUp.objects.all()} == {row.organization_id for row in auto_recharges}
    assert "billing.send_stripe_commands" in sent_tasks


@pytest.mark.django_db(transaction=True)
def test_two_that_save_the_same_card_at_once_leave_one_default(stripe: FakeWorld):
    """Two pages are finished at the same moment, and several workers process them concurrently."""
    organization = recharging(stripe).organization
    cards = []
    for _ in range(2):
        card = saved_cards.start(
            organization=organization, idempotency_key=f"k{number()}", site_url="http://testserver", actor=None
        )
        saved_cards.open_page(card)
        card.refresh_from_db()
        cards.append(card)
    for card in cards:
        Setups(stripe.fake.payments).save(card.session_id, "5555555555554444")
    lock = threading.Lock()
    send = stripe.transport.send

    def one_at_a_time(*request):
        with lock:
            return send(*request)

    stripe.transport.send = one_at_a_time
    results = at_once(6, lambda index: saved_cards.refresh(cards[index % 2]).status)
    connection.close()
    assert set(results) <= {"active", "removed"}
    saved = saved_cards.cards_of(organization)
    assert [(card.last4, card.is_default) for card in saved] == [("4242", True), ("4444", False)]
    assert AutoRecharge.objects.get().card in saved
    assert StripeCustomer.objects.count() == 1
