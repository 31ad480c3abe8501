"""Rules about customers, who pay, save cards, request refunds, order and dispute jobs, and about Stripe's pages."""

from contextlib import suppress

from hypothesis.stateful import rule

from billing.disputes import disputes
from billing.models import CardTopUp, Dispute, JobOrder
from billing.orders.orders import order_job
from billing.refunds import refunds
from billing.topups import recharge_settings, saved_cards, top_ups
from marketplace.local.fake_stripe.errors import ApiError
from marketplace.local.fake_stripe.refunds import Refunds
from tests.billing.machine.base import Base, choose, crashes, picks
from tests.billing.machine.scene import HOURLY_MICRO, Customer

# In this order: pays, pays, is declined, needs the bank's confirmation, is a debit that takes days, is disputed at
# once, gets an inquiry, has refunds that stay pending, has refunds that fail.
CARDS = [
    "4242424242424242",
    "5555555555554444",
    "4000000000000002",
    "4000002500003155",
    "000123456789",
    "4000000000000259",
    "4000000000001976",
    "4000000000007726",
    "4000000000005126",
]


class Customers(Base):
    """Acts of customers."""

    def customer(self, pick: int) -> Customer:
        return self.scene.customers[pick % 2]

    @rule(pick=picks, crash=crashes)
    def top_up(self, pick: int, crash: int) -> None:
        """Start a top-up and open its page. There are few keys, so that many are repeated, some with another amount."""
        with self.dying_after(crash):
            top_ups.open_page(
                top_ups.start(
                    organization=self.customer(pick).organization,
                    amount_micro=20_000_000 + pick % 3 * 10_010_000,
                    idempotency_key=f"k{pick % 7}",
                    site_url="http://testserver",
                    actor=None,
                    saves_card=pick % 4 == 0,
                )
            )

    @rule(pick=picks)
    def pay(self, pick: int) -> None:
        """Pay with some card on an open page, and answer the bank if it asks."""
        opened = [
            row for row in self.at_stripe("checkout.session") if row["status"] == "open" and row["mode"] == "payment"
        ]
        session = choose(opened, pick)
        if session and self.world.fake.payments.pay(session["id"], CARDS[pick % len(CARDS)]) == "asks":
            self.world.fake.payments.answer_bank(session["id"], passed=pick % 4 > 0)

    @rule(pick=picks, crash=crashes)
    def come_back(self, pick: int, crash: int) -> None:
        """Open the page to which Stripe redirects after paying."""
        if top_up := choose(list(CardTopUp.objects.order_by("id")), pick):
            with self.dying_after(crash):
                top_ups.refresh(top_up)

    @rule(pick=picks)
    def time_at_the_bank(self, pick: int) -> None:
        """Let time pass: a debit settles or is returned, or a page expires."""
        if session := choose(self.at_stripe("checkout.session"), pick):
            with suppress(ApiError):  # the session has ended already
                if session["status"] == "open" and pick % 4 == 0:
                    self.world.fake.payments.expire(session["id"])
                else:
                    self.world.fake.payments.settle(session["id"], paid=pick % 3 > 0)
        # Payments on pages end with their session, above.
        on_pages = {session["payment_intent"] for session in self.at_stripe("checkout.session")}
        for intent in self.at_stripe("payment_intent"):
            if intent["status"] == "processing" and intent["id"] not in on_pages and pick % 2:
                self.world.fake.payments.settle_payment(intent["id"], paid=pick % 3 > 0)

    @rule(pick=picks, crash=crashes)
    def recharge_automatically(self, pick: int, crash: int) -> None:
        customer = self.customer(pick)
        if card := choose(saved_cards.cards_of(customer.organization), pick):
            with self.dying_after(crash):
                recharge_settings.change(
                    organization=customer.organization,
                    card_id=card.public_id,
                    actor=None,
                    is_on=pick % 5 > 0,
                    resume=True,
                    threshold_micro=25_000_000,
                    amount_micro=20_000_000 + pick % 2 * 10_000_000,
                    monthly_cap_micro=100_000_000,
                )

    @rule(pick=picks, crash=crashes)
    def want_money_back(self, pick: int, crash: int) -> None:
        customer = self.customer(pick)
        with self.dying_after(crash):
            left = sum(micro for _, micro in refunds.refundable(customer.organization))
            wanted = left if pick % 3 == 0 else left // 20_000 * 10_000 or 10_000
            key = (customer.organization.pk, f"r{pick % 5}")
            self.asked_back[key] = max(wanted, self.asked_back.get(key, 0))
            for _ in range(1 + pick % 2):  # or two clicks on the button
                requested = refunds.request(
                    organization=customer.organization,
                    amount_micro=wanted,
                    idempotency_key=key[1],
                    reason="unused",
                    actor=customer.user,
                )
            refunds.send(requested)

    @rule(pick=picks)
    def bank_answers_refund(self, pick: int) -> None:
        if refund := choose(self.at_stripe("refund"), pick):
            desk = self.section(Refunds)
            with suppress(ApiError):
                desk.succeed(refund["id"]) if pick % 3 else desk.fail(refund["id"])

    @rule(pick=picks, crash=crashes)
    def order(self, pick: int, crash: int) -> None:
        customer = self.customer(pick)
        with self.dying_after(crash):
            order_job(
                organization=customer.organization,
                artifact=customer.artifact,
                input_file=customer.input_file,
                unit_items=customer.input_file.items,
                cap_micro=HOURLY_MICRO * 3 // 4 if pick % 4 == 0 else None,
                tier="quorum" if pick % 11 == 0 else "standard",
            )

    @rule(pick=picks, crash=crashes)
    def dispute_job(self, pick: int, crash: int) -> None:
        charged = list(JobOrder.objects.filter(status="closed", charged_micro__gt=0).order_by("id"))
        if order := choose(charged, pick):
            customer = next(row for row in self.scene.customers if row.organization.pk == order.organization_id)
            claimed = order.charged_micro if pick % 3 else order.charged_micro // 3
            with self.dying_after(crash):
                disputes.open_order(
                    organization=customer.organization,
                    order=order,
                    reason="The results are wrong.",
                    claimed_micro=claimed,
                    idempotency_key=f"d{order.pk}:{pick % 4}",
                    actor=customer.user,
                )

    @rule(pick=picks, crash=crashes)
    def withdraw_dispute(self, pick: int, crash: int) -> None:
        if dispute := choose(list(Dispute.objects.filter(status="open").order_by("id")), pick):
            with self.dying_after(crash):
                disputes.withdraw(dispute=dispute, actor=dispute.opened_by)
