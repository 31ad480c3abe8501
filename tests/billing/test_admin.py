import re

import pytest
from django.urls import reverse

from accounts.models import AuditEvent, User
from billing.models import JobOrder, LedgerAccount, LedgerTransfer, RateCard, RatedUsage, TopUp
from billing.services import ledger, wallets
from billing.services.settlement import settle_usage
from tests.billing.helpers import make_market, make_usage, order

pytestmark = pytest.mark.django_db

MODELS = [JobOrder, LedgerAccount, LedgerTransfer, RateCard, RatedUsage, TopUp]


@pytest.fixture
def market():
    market = make_market()
    make_usage(order(market.organization).job, market.nodes[0])
    settle_usage()
    return market


@pytest.fixture
def opal() -> User:
    """An operator who may do everything; without a password, since hashing one takes most of a second."""
    return User.objects.create(email="opal@example.com", is_staff=True, is_superuser=True)


@pytest.fixture
def desk(opal, client_of):
    client = client_of(opal)
    client.post(reverse("access_reason"), {"category": "Payment", "words": "a test of the back office"})
    return client


def url(model, page: str, *args: object) -> str:
    return reverse(f"admin:billing_{model._meta.model_name}_{page}", args=args)


@pytest.mark.parametrize("model", MODELS)
def test_money_can_be_read_and_not_edited(market, desk, model):
    row = model.objects.first()
    assert desk.get(url(model, "changelist"), {"q": "x"}).status_code == 200
    assert desk.get(url(model, "change", row.pk)).status_code == 200
    assert desk.post(url(model, "change", row.pk), {}).status_code == 403
    assert desk.post(url(model, "delete", row.pk), {"post": "yes"}).status_code == 403
    if model not in (TopUp, RateCard):
        assert desk.get(url(model, "add")).status_code == 403
    assert ledger.recompute() == []


def test_an_operator_tops_up_a_wallet_once(market, desk, opal):
    page = desk.get(url(TopUp, "add")).content.decode()
    key = re.search(r'name="idempotency_key" value="(admin:[^"]+)"', page)
    form = {
        "organization": market.organization.pk,
        "amount": "12.34",
        "reference": "wire 17",
        "idempotency_key": key.group(1),
    }
    assert desk.post(url(TopUp, "add"), form).status_code == 302
    again = desk.post(url(TopUp, "add"), form)
    assert again.status_code in (200, 302)
    assert wallets.summary(market.organization).balance_micro == 10_000_000 - 100_000 + 12_340_000
    created = TopUp.objects.latest("id")
    assert (created.method, created.reference) == ("manual", "wire 17")
    assert AuditEvent.objects.filter(action="wallet.top_up", actor=opal).count() == 1


def test_a_new_price_is_a_new_card(market, desk):
    form = {
        "hardware_class": market.hardware_class.pk, "currency": "USD", "valid_from_at_0": "2030-01-01",
        "valid_from_at_1": "00:00", "price_micro_per_hour": 90_000, "price_micro_per_kwh": 0, "mode": "batch", "tier": "standard", "owner_share_permille": 750,
        "min_owner_micro_per_hour": 20_000,
    }  # fmt: skip
    assert desk.post(url(RateCard, "add"), form).status_code == 302
    assert desk.post(url(RateCard, "add"), {**form, "owner_share_permille": 100}).status_code == 200
    assert RateCard.objects.count() == 2
