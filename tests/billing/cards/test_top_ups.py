"""From the wish to the money in the wallet, every way that Stripe's page can end."""

import pytest

from billing.models import BalanceTransaction, CardTopUp, LedgerTransfer
from billing.services import card_top_ups, inbox, ledger, wallets
from tests.billing.cards.conftest import FakeWorld
from tests.billing.helpers import make_organization

pytestmark = pytest.mark.django_db


def start(organization, amount_micro=50_000_000, key="k") -> CardTopUp:
    top_up = card_top_ups.start(
        organization=organization,
        amount_micro=amount_micro,
        idempotency_key=key,
        site_url="http://testserver",
        actor=None,
    )
    card_top_ups.open_page(top_up)
    top_up.refresh_from_db()
    return top_up


def test_a_card_payment_ends_in_the_wallet_and_its_fee_in_our_expenses(stripe: FakeWorld):
    organization = make_organization()
    top_up = start(organization)
    assert (top_up.status, bool(top_up.page_url)) == ("open", True)
    assert wallets.summary(organization).balance_micro == 0
    assert stripe.pay(top_up) == "paid"
    stripe.deliver_all()
    inbox.process_due()
    top_up.refresh_from_db()
    assert top_up.status == "paid"
    assert wallets.summary(organization).available_micro == 50_000_000
    fee = LedgerTransfer.objects.get(kind="fee")
    assert (fee.amount_micro, fee.debit.kind, fee.credit.kind) == (1_750_000, "processing_fee", "stripe_clearing")
    assert BalanceTransaction.objects.get().net_micro == 48_250_000
    assert ledger.recompute() == []
    assert [event.to_status for event in top_up.events.all()] == ["created", "open", "paid"]
