"""Money that Stripe booked in another currency than it was paid in: nobody converts it on the quiet."""

from dataclasses import replace
from typing import Any

import pytest

from billing.models import CardDispute, LedgerTransfer, StripeEvent
from billing.stripe import gateway, inbox
from billing.stripe.gateway import BalanceMovement
from tests.billing.helpers import sweep_money
from tests.billing.refunds.helpers import balance, charge_of, customer, dispute_desk, pay
from tests.billing.topups.helpers import start
from tests.conformance.fixture import FakeWorld

pytestmark = pytest.mark.django_db


def in_euro(part: BalanceMovement) -> BalanceMovement:
    return replace(
        part,
        id=f"{part.id}_eur",
        currency="EUR",
        amount_minor=part.amount_minor * 2,
        net_minor=part.amount_minor * 2 - part.fee_minor,
    )


@pytest.fixture
def converted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Our account at Stripe has no balance in dollars."""

    def patch(name: str, field: str) -> None:
        real: Any = getattr(gateway, name)

        def call(*args: Any, **options: Any) -> Any:
            found = real(*args, **options)
            parts = getattr(found, field)
            if isinstance(parts, tuple):
                return replace(found, **{field: tuple(in_euro(part) for part in parts)})
            return replace(found, **{field: in_euro(parts)}) if parts else found

        monkeypatch.setattr(gateway, name, call)

    patch("retrieve_dispute", "movements")
    patch("retrieve_checkout_session", "balance")


def test_a_chargeback_is_known_and_its_money_waits_for_operators(stripe: FakeWorld, request: pytest.FixtureRequest):
    organization = customer()
    lot = pay(stripe, organization)
    request.getfixturevalue("converted")
    dispute_desk(stripe).open(charge_of(stripe, lot))
    stripe.deliver_all()
    inbox.process_due()
    dead = StripeEvent.objects.filter(type__startswith="charge.dispute")
    assert set(dead.values_list("status", "status_code")) == {("dead", "currency_differs")}
    dispute = CardDispute.objects.get()
    assert (dispute.status, dispute.withdrawn_at, balance(organization)) == ("needs_response", None, 50_000_000)
    assert not LedgerTransfer.objects.filter(kind="dispute").exists()
    assert sweep_money() >= 0  # goes on


def test_a_top_up_is_not_credited(stripe: FakeWorld, converted: None):
    wish = start(customer())
    stripe.pay(wish)
    stripe.run()
    stripe.deliver_all()
    inbox.process_due()
    event = StripeEvent.objects.get(type="checkout.session.completed")
    assert (event.status, event.status_code) == ("dead", "currency_differs")
    wish.refresh_from_db()
    assert (wish.status, balance(wish.organization)) == ("open", 0)
