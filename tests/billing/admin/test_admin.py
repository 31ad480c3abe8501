import pytest
from django.urls import reverse

from accounts.models import AuditEvent, User
from billing.disputes import disputes
from billing.ledger import posting
from billing.models import Dispute, JobOrder, LedgerAccount, LedgerTransfer, RateCard, RatedUsage, Statement, TopUp
from billing.orders.settlement import settle_usage
from tests import factories
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
    """Return an operator who may do everything, without a password, since hashing one takes most of a second."""
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
    if model is not RateCard:
        assert desk.get(url(model, "add")).status_code == 403
    assert posting.recompute() == []


def test_no_operator_tops_up_a_wallet_alone(market, desk):
    assert desk.get(url(TopUp, "add")).status_code == 403
    form = {
        "organization": market.organization.pk,
        "amount": "12.34",
        "reference": "wire 17",
        "idempotency_key": "admin:1",
    }
    assert desk.post(url(TopUp, "add"), form).status_code == 403
    assert TopUp.objects.count() == 1
    page = desk.get(url(TopUp, "changelist")).content.decode()
    assert "/operations/billing/approval/add/?kind=bank_top_up" in page


PRICE = {
    "currency": "USD",
    "valid_from_at_0": "2100-01-01",
    "valid_from_at_1": "00:00",
    "price_micro_per_hour": 90_000,
    "price_micro_per_kwh": 1_000,
    "mode": "batch",
    "tier": "standard",
    "owner_share_permille": 750,
    "min_owner_micro_per_hour": 20_000,
}


def test_a_new_price_is_a_new_card(market, desk, opal):
    form = {**PRICE, "hardware_class": market.hardware_class.pk}
    assert desk.post(url(RateCard, "add"), form).status_code == 302
    assert RateCard.objects.count() == 2
    details = AuditEvent.objects.get(action="rate_card.add", actor=opal).details
    assert (details["price_micro_per_hour"], details["tier"]) == (90_000, "standard")
    assert "2100" in desk.get(url(RateCard, "changelist")).content.decode()
    twin = desk.post(url(RateCard, "add"), form)
    assert "There is a price for this class, mode and tier from that moment already." in twin.content.decode()
    assert desk.post(url(RateCard, "add"), {**form, "tier": "quorum"}).status_code == 302
    assert RateCard.objects.count() == 3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"owner_share_permille": 100}, "This price and share pay an owner 9000 an hour: less than this floor."),
        ({"owner_share_permille": 1001}, "The owner&#x27;s share is 0 to 1000 thousandths."),
        ({"price_micro_per_hour": 0}, "An hour costs more than nothing."),
        ({"price_micro_per_kwh": -1}, "A kilowatt-hour costs nothing or more."),
        ({"valid_from_at_0": "2020-01-01"}, "A price holds from now on, or from a moment in the future."),
        ({"valid_from_at_0": "soon"}, "Enter a valid date."),
        ({"mode": "gold"}, "Select a valid choice."),
    ],
)
def test_a_price_that_cannot_be_says_why(market, desk, change, words):
    answer = desk.post(url(RateCard, "add"), {**PRICE, "hardware_class": market.hardware_class.pk, **change})
    assert answer.status_code == 200
    assert words in answer.content.decode()
    assert RateCard.objects.count() == 1


def test_a_dispute_leads_to_the_statement_or_the_order_that_it_is_about(desk):
    owner, organization = factories.make_owner(), factories.make_organization(wallet_micro=10_000_000)
    statement = factories.make_statement(owner)
    disputes.open_statement(
        owner=owner,
        statement=statement,
        reason="Two hours of work are missing on it.",
        claimed_micro=1_000_000,
        idempotency_key="about:1",
        actor=owner.user,
    )
    of_order = factories.make_dispute(organization)
    abouts = [url(Statement, "change", statement.pk), url(JobOrder, "change", of_order.order_id)]
    for dispute, about in zip(Dispute.objects.order_by("id"), abouts, strict=True):
        page = desk.get(url(Dispute, "change", dispute.pk))
        assert page.status_code == 200
        assert f'href="{about}"' in page.content.decode()
        assert desk.get(about).status_code == 200
