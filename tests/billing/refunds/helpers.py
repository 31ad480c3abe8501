"""Helpers for tests of refunds: a customer who topped up by card at the fake Stripe, and checks of its balance."""

from typing import Any

from accounts.models import Membership, Organization, User
from billing.ledger import posting
from billing.models import LedgerAccount, Refund, StripeCommand, TopUp
from billing.refunds import refunds
from billing.stripe import sweeps
from marketplace.local.fake_stripe.disputes import Disputes
from marketplace.local.fake_stripe.refunds import Refunds
from tests.billing.helpers import make_organization, number
from tests.billing.topups.helpers import start
from tests.conformance.fixture import FakeWorld

HELD = ("balances", "floors", "sums", "reversals", "top_ups", "top_ups_missing", "card_top_ups", "stripe_fees", "holds")


def customer() -> Organization:
    """Make a customer with a member of finance, and a developer, who must not get mails about money."""
    organization = make_organization()
    for role in ("finance", "developer"):
        user = User.objects.create(email=f"{role}{number()}@example.com")
        Membership.objects.create(organization=organization, user=user, role=role)
    return organization


def pay(
    stripe: FakeWorld, organization: Organization, amount_micro: int = 50_000_000, card: str = "4242424242424242"
) -> TopUp:
    """Top up by card, and return the top-up once the money is in the wallet."""
    card_top_up = start(organization, amount_micro)
    stripe.pay(card_top_up, card)
    settle(stripe)
    card_top_up.refresh_from_db()
    assert card_top_up.top_up
    return card_top_up.top_up


def settle(stripe: FakeWorld) -> None:
    """Deliver every webhook, run every worker, and check the ledger."""
    stripe.run()
    stripe.deliver_all()
    stripe.run()
    check()


def check() -> None:
    """Run the ledger's checks that refunds must never break. `books` compares the postings with Stripe's balance."""
    assert [found for found in posting.recompute() if found.check in HELD] == []


def books(stripe: FakeWorld) -> None:
    """Check that our ledger's account of money at Stripe equals the balance of the fake."""
    sweeps.sweep_balance()
    at_stripe = sum(row["net"] for row in stripe.fake.store.newest("balance_transaction")) * 10_000
    assert clearing() == at_stripe
    check()


def clearing() -> int:
    from billing.models import LedgerTransfer

    rows = LedgerTransfer.objects.values_list("amount_micro", "debit__kind", "credit__kind")
    return sum(micro * ((debit == "stripe_clearing") - (credit == "stripe_clearing")) for micro, debit, credit in rows)


def balance(organization: Organization, kind: str = "wallet") -> int:
    return sum(
        LedgerAccount.objects.filter(organization=organization, kind=kind).values_list("balance_micro", flat=True)
    )


def ask(organization: Organization, amount_micro: int, key: str = "") -> Any:
    return refunds.request(
        organization=organization,
        amount_micro=amount_micro,
        idempotency_key=key or f"r{number()}",
        reason="unused",
        actor=None,
    )


def part(stripe: FakeWorld, kind: type[Any]) -> Any:
    return next(section for section in stripe.fake.sections if isinstance(section, kind))


def refund_desk(stripe: FakeWorld) -> Refunds:
    return part(stripe, Refunds)


def dispute_desk(stripe: FakeWorld) -> Disputes:
    return part(stripe, Disputes)


def charge_of(stripe: FakeWorld, top_up: TopUp) -> str:
    return stripe.fake.store.get(top_up.reference)["latest_charge"]


def given_up(stripe: FakeWorld, *, was_done: bool) -> Refund:
    """Return a refund of 50.00 whose command was given up with an unknown outcome. `was_done`: Stripe did send it."""
    organization = customer()
    pay(stripe, organization)
    (refund,) = ask(organization, 50_000_000)
    if was_done:
        stripe.transport.faults = ["lost"]
        refunds.send([refund])
    command = StripeCommand.objects.filter(pk=refund.command_id)
    command.update(attempts=14, outcome_unknown=True)
    command.filter(params=None).update(params={"payment_intent": refund.top_up.reference})
    stripe.run()
    refund.refresh_from_db()
    return refund
