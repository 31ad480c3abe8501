import pytest

from accounts.models import AuditEvent, User
from billing.ledger import posting
from billing.models import LedgerTransfer, TopUp
from billing.wallet import wallets
from core.errors import Conflict, InvalidInput
from tests.billing.helpers import make_market, make_organization, order, sqlstate_of

pytestmark = pytest.mark.django_db


def top_up(organization, **changes) -> TopUp:
    fields = {
        "organization": organization,
        "amount_micro": 25_000_000,
        "method": "manual",
        "reference": "wire 17",
        "idempotency_key": "k",
        "actor": None,
    }
    return wallets.top_up(**{**fields, **changes})


def test_a_new_wallet_is_empty_and_makes_no_rows():
    organization = make_organization(currency="EUR")
    summary = wallets.summary(organization)
    assert (summary.currency, summary.balance_micro, summary.available_micro) == ("EUR", 0, 0)
    assert LedgerTransfer.objects.count() == 0


def test_a_top_up_can_be_spent_at_once_and_is_in_the_trail():
    organization, actor = make_organization(), User.objects.create(email="opal@example.com")
    created = top_up(organization, actor=actor)
    assert wallets.summary(organization).available_micro == 25_000_000
    assert created.transfer.debit == posting.platform("bank_clearing", "USD")
    assert AuditEvent.objects.get(action="wallet.top_up").actor == actor
    assert posting.recompute() == []


def test_a_card_payment_waits_at_stripe():
    assert top_up(make_organization(), method="stripe").transfer.debit.kind == "stripe_clearing"


def test_the_same_key_tops_up_once():
    organization = make_organization()
    assert top_up(organization) == top_up(organization)
    assert wallets.summary(organization).balance_micro == 25_000_000
    assert AuditEvent.objects.filter(action="wallet.top_up").count() == 1


@pytest.mark.parametrize("change", [{"amount_micro": 1}, {"method": "stripe"}, {"reference": "wire 18"}])
def test_the_same_key_with_other_values_is_refused(change):
    organization = make_organization()
    top_up(organization)
    with pytest.raises(Conflict) as caught:
        top_up(organization, **change)
    assert caught.value.code == "idempotency_conflict"
    assert wallets.summary(organization).balance_micro == 25_000_000


@pytest.mark.parametrize("reference", ["wire 17", " WIRE  17 ", "Wire 17"])
def test_one_bank_transfer_is_credited_once_whatever_the_key_and_the_customer(reference):
    first, other = make_organization(), make_organization()
    top_up(first)
    for organization in (first, other):
        with pytest.raises(Conflict) as caught:
            top_up(organization, reference=reference, idempotency_key="other")
        assert caught.value.code == "reference_used"
    assert (wallets.summary(first).balance_micro, wallets.summary(other).balance_micro) == (25_000_000, 0)
    assert posting.recompute() == []


def test_the_database_credits_a_bank_transfer_once():
    top_up(make_organization())
    copy = """INSERT INTO billing_topup (public_id, created_at, organization_id, amount_micro, currency,
                                         method, reference, idempotency_key, transfer_id)
              SELECT gen_random_uuid(), now(), organization_id, 1, currency, %s, ' Wire 17', 'other', %s
                FROM billing_topup"""
    lot = top_up(make_organization(), method="stripe", reference="pi_1").transfer_id
    assert sqlstate_of(copy % ("'manual'", lot)) == "23505"


def test_two_customers_may_use_one_key():
    for organization in (make_organization(), make_organization()):
        top_up(organization, reference=f"wire of {organization.pk}")
        assert wallets.summary(organization).balance_micro == 25_000_000


@pytest.mark.parametrize(
    "change",
    [{"amount_micro": 0}, {"amount_micro": -5}, {"method": "gift"}, {"idempotency_key": ""}, {"reference": " "}],
)
def test_what_is_no_top_up(change):
    with pytest.raises(InvalidInput):
        top_up(make_organization(), **change)


def test_what_is_held_is_not_available_but_still_theirs():
    market = make_market(top_up_micro=10_000_000)
    placed = order(market.organization, cap_micro=150_000)
    summary = wallets.summary(market.organization)
    assert (summary.balance_micro, summary.held_micro, summary.available_micro) == (10_000_000, 150_000, 9_850_000)
    assert placed.left_micro == 150_000


@pytest.mark.parametrize(
    "sql",
    ["UPDATE billing_topup SET amount_micro = 1", "DELETE FROM billing_topup", "TRUNCATE billing_topup CASCADE"],
)
def test_a_top_up_stays_as_it_was(sql):
    top_up(make_organization())
    assert sqlstate_of(sql) == "DW002"
