"""Money that Stripe booked in another currency than it was paid in: it is never converted silently."""

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
    """Make Stripe book dollars as euros, as for an account without a balance in dollars."""

    def patch(name: str, field: str) -> None:
        real: Any = getattr(gateway, name)

        def call(*args: Any, **options: Any) -> Any:
            answer = real(*args, **options)
            parts = getattr(answer, field)
            if isinstance(parts, tuple):
                return replace(answer, **{field: tuple(in_euro(part) for part in parts)})
            return replace(answer, **{field: in_euro(parts)}) if parts else answer

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
    assert sweep_money() >= 0  # the sweep logs the error and continues


def test_a_top_up_is_not_credited(stripe: FakeWorld, converted: None):
    card_top_up = start(customer())
    stripe.pay(card_top_up)
    stripe.run()
    stripe.deliver_all()
    inbox.process_due()
    event = StripeEvent.objects.get(type="checkout.session.completed")
    assert (event.status, event.status_code) == ("dead", "currency_differs")
    card_top_up.refresh_from_db()
    assert (card_top_up.status, balance(card_top_up.organization)) == ("open", 0)
