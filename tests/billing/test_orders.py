"""Estimates and orders. The market: 0.10 for a compute-hour, 70 % of it the owner's; the customer has 10.00."""

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organization, StateTransition
from billing.models import JobOrder, LedgerTransfer
from billing.services import ledger, orders, wallets
from compute.models import HardwareClass, InferenceJob, ModelArtifact, Node
from compute.services.verification import CLAMP
from marketplace.core.errors import Conflict, DomainError, Forbidden, InvalidInput, PaymentRequired
from marketplace.core.money import price_of_time
from tests.billing.helpers import (
    make_artifact,
    make_card,
    make_class,
    make_input,
    make_market,
    make_node,
    make_organization,
    order,
    sqlstate_of,
)

pytestmark = pytest.mark.django_db


@pytest.fixture
def market():
    return make_market()


def estimate(organization, *, items=3600, us_per_item=1_000_000, **fields) -> orders.Estimate:
    artifact = make_artifact(organization, us_per_item=us_per_item)
    return orders.estimate(artifact=artifact, items=items, **fields)


# Estimates


def test_an_hour_of_work_is_estimated_at_its_price_and_at_most_three_times_that(market):
    """3,600 items of a second each, in one unit: 0.10; at most 3 h and 1 ms, and a micro-unit for rounding."""
    quote = estimate(market.organization, unit_items=3600)
    assert (quote.compute_ms, quote.units, quote.currency) == (3_600_000, 1, "USD")
    assert (quote.low_micro, quote.high_micro) == (100_000, 300_001)


def test_every_unit_may_round_up(market):
    quote = estimate(market.organization, unit_items=1)
    assert quote.high_micro == 300_000 + 3600 * 1_000 // 36_000 + 3600


def test_units_are_a_minute_when_nobody_says(market):
    assert estimate(market.organization).units == 60


def test_one_cheap_item_still_has_a_price(market):
    quote = estimate(market.organization, items=1, us_per_item=0)
    assert (quote.low_micro, quote.high_micro) == (0, 1)


def test_the_range_spans_the_classes_and_the_price_is_the_dearest(market):
    """A class that is three times as slow, at twice the price: low is the fast class's time, high the slow one's."""
    slow = make_class(slowness_permille=3000)
    make_card(slow, price=200_000)
    make_node(slow)
    quote = estimate(market.organization, unit_items=3600)
    assert quote.rate_card.hardware_class == slow
    assert (quote.low_micro, quote.high_micro) == (200_000, 1_800_001)


def test_a_class_without_active_nodes_does_not_count(market):
    slow = make_class(slowness_permille=3000)
    make_card(slow, price=200_000)
    node = make_node(slow)
    Node.objects.filter(pk=node.pk).update(status="suspended")
    assert estimate(market.organization).rate_card == market.card


def test_a_class_without_a_card_gets_the_default_one():
    make_node(make_class())
    assert estimate(make_organization()).rate_card.price_micro_per_hour == 100_000


@pytest.mark.parametrize("fields", [{"items": 0}, {"items": -1}, {"unit_items": 0}])
def test_there_is_no_estimate_of_nothing(market, fields):
    with pytest.raises(InvalidInput):
        estimate(market.organization, **fields)


def test_there_is_no_price_before_the_first_vehicle():
    with pytest.raises(Conflict) as caught:
        estimate(make_organization())
    assert caught.value.code == "no_capacity"


def test_there_is_no_price_in_a_currency_without_cards(market):
    with pytest.raises(Conflict) as caught:
        estimate(make_organization(currency="EUR"))
    assert caught.value.code == "no_rate"


def test_a_model_is_priced_once_it_is_admitted(market):
    artifact = make_artifact(market.organization)
    ModelArtifact.objects.filter(pk=artifact.pk).update(status="refused")
    artifact.refresh_from_db()
    with pytest.raises(Conflict) as caught:
        orders.estimate(artifact=artifact, items=1)
    assert caught.value.code == "model_not_admitted"


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    items=st.integers(1, 3_000), unit_items=st.integers(1, 400), us_per_item=st.integers(0, 10**7),
    slowness=st.integers(1, 9_000), price=st.integers(1, 10**8),
)  # fmt: skip
def test_what_verification_can_count_never_costs_more_than_the_estimate(market, **drawn):
    """Every unit measured at the clamp of compute.services.verification, and rated on its own."""
    items, step, us, slowness = drawn["items"], drawn["unit_items"], drawn["us_per_item"], drawn["slowness"]
    HardwareClass.objects.filter(pk=market.hardware_class.pk).update(slowness_permille=slowness)
    card = make_card(market.hardware_class, price=drawn["price"], valid_from_at=timezone.now())
    artifact = ModelArtifact(organization=market.organization, status="admitted", us_per_item=us)
    quote = orders.estimate(artifact=artifact, items=items, unit_items=step)
    charged = 0
    for first in range(0, items, step):
        clamped_ms = -(-min(step, items - first) * us * slowness * CLAMP // 10**6)
        charged += price_of_time(clamped_ms, card.price_micro_per_hour)
    assert quote.rate_card == card
    assert charged <= quote.high_micro
    assert quote.low_micro <= quote.high_micro


# Orders


def test_an_order_holds_the_highest_estimate_and_binds_the_price(market):
    placed = order(market.organization)
    job = placed.job
    assert placed.held_micro == placed.estimate_high_micro
    assert (placed.price_micro_per_hour, placed.owner_share_permille) == (100_000, 700)
    assert (job.status, job.pay_micro_per_hour) == ("queued", 70_000)
    assert wallets.summary(market.organization).held_micro == placed.held_micro
    assert LedgerTransfer.objects.get(kind="hold").amount_micro == placed.held_micro
    assert ledger.recompute() == []


def test_a_later_price_does_not_touch_an_order(market):
    placed = order(market.organization)
    make_card(market.hardware_class, price=900_000, valid_from_at=placed.created_at)
    placed.refresh_from_db()
    assert placed.price_micro_per_hour == 100_000
    assert order(market.organization).price_micro_per_hour == 900_000


def test_a_cap_is_all_that_is_held(market):
    assert order(market.organization, cap_micro=100_000).held_micro == 100_000


def test_a_cap_above_the_estimate_holds_no_more_than_the_estimate(market):
    placed = order(market.organization, cap_micro=9_000_000)
    assert placed.held_micro == placed.estimate_high_micro < 9_000_000


def refused(market, **fields) -> DomainError:
    with pytest.raises(DomainError) as caught, transaction.atomic():
        order(market.organization, **fields)
    assert InferenceJob.objects.count() == JobOrder.objects.count() == 0
    assert ledger.recompute() == []
    return caught.value


def test_a_cap_below_the_lowest_estimate_is_refused(market):
    error = refused(market, cap_micro=99_999)
    assert (error.code, error.fields["estimate_low_micro"]) == ("cap_too_low", 100_000)


def test_a_wallet_that_does_not_cover_the_hold_is_refused(market):
    """10.00 in the wallet; 400,000 seconds of work might cost 33.34."""
    error = refused(market, items=400_000)
    assert isinstance(error, PaymentRequired)
    assert error.fields["available_micro"] == 10_000_000 < error.fields["required_micro"]


def test_a_suspended_organization_orders_nothing(market):
    Organization.objects.filter(pk=market.organization.pk).update(status="suspended")
    error = refused(market)
    assert isinstance(error, Forbidden)
    assert error.code == "organization_suspended"


def test_a_file_that_does_not_fit_the_model_leaves_nothing_behind(market):
    artifact, input_file = make_artifact(market.organization), make_input(market.organization)
    input_file.tensors = {"": {"dtype": "int64", "shape": [3600, 4]}}
    with pytest.raises(InvalidInput) as caught:
        orders.order_job(organization=market.organization, artifact=artifact, input_file=input_file)
    assert caught.value.code == "input_mismatch"
    assert wallets.summary(market.organization).held_micro == 0


# Against the service


@pytest.mark.parametrize(
    ("sql", "sqlstate"),
    [
        ("UPDATE billing_joborder SET price_micro_per_hour = 1", "DW002"),
        ("UPDATE billing_joborder SET held_micro = held_micro + 1", "DW002"),
        ("UPDATE billing_joborder SET organization_id = organization_id + 1", "DW002"),
        ("UPDATE billing_joborder SET charged_micro = charged_micro - 1", "DW002"),
        ("UPDATE billing_joborder SET charged_micro = held_micro + 1", "23514"),
        ("UPDATE billing_joborder SET status = 'lost'", "23514"),
        ("UPDATE billing_joborder SET status = 'closed'", "23514"),
        ("DELETE FROM billing_joborder", "DW002"),
        ("TRUNCATE billing_joborder CASCADE", "DW002"),
    ],
)
def test_orders_cannot_be_edited(market, sql, sqlstate):
    order(market.organization)
    assert sqlstate_of(sql) == sqlstate


@pytest.mark.parametrize(
    "change", ["status = 'held', closed_at = NULL", "charged_micro = held_micro", "status_code = 'x'"]
)
def test_a_closed_order_never_changes(market, change):
    placed = order(market.organization)
    JobOrder.objects.filter(pk=placed.pk).update(status="closed", closed_at=placed.created_at)
    assert sqlstate_of(f"UPDATE billing_joborder SET {change}") == "DW002"


def test_the_database_knows_the_same_transitions_as_the_model():
    rows = StateTransition.objects.filter(machine="billing_joborder").values_list("from_status", "to_status")
    assert set(rows) == {(old, new) for old, news in JobOrder.TRANSITIONS.items() for new in news}
