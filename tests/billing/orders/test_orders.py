"""Estimates and orders. The market: 0.10 for a compute-hour, of which 70 % are the owner's; the customer has 10.00."""

import pytest
from django.db import transaction
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from accounts.models import Organization, StateTransition
from billing.ledger import posting
from billing.models import JobOrder, LedgerTransfer, RateCard
from billing.orders import orders
from billing.rates import formula as rating
from billing.rates.estimates import Slices
from billing.wallet import wallets
from compute.models import InferenceJob, ModelArtifact, Node
from core.errors import Conflict, DomainError, Forbidden, InvalidInput, PaymentRequired
from tests.billing.helpers import (
    balance,
    give_credit,
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
from tests.long import examples

pytestmark = pytest.mark.django_db


@pytest.fixture
def market():
    return make_market()


def estimate(organization, *, items=3600, us_per_item=1_000_000, **fields) -> orders.Estimate:
    artifact = make_artifact(organization, us_per_item=us_per_item)
    return orders.estimate(artifact=artifact, items=items, **fields)


# --- Estimates


def test_an_hour_of_work_is_estimated_at_its_price_and_at_most_three_times_that(market):
    """3,600 items of a second each, in one unit, cost 0.10; at most three hours can be charged."""
    quote = estimate(market.organization, unit_items=3600)
    assert (quote.compute_ms, quote.units, quote.currency) == (3_600_000, 1, "USD")
    assert (quote.low_micro, quote.cap_min_micro, quote.high_micro) == (100_000, 100_000, 300_000)


def test_energy_is_a_part_of_the_range(market):
    """15 W for an hour at 0.20 a kWh cost 0.003; at most one and a half times that draw counts, for three hours."""
    make_card(market.hardware_class, price=97_000, price_micro_per_kwh=200_000, valid_from_at=timezone.now())
    quote = estimate(market.organization, unit_items=3600)
    assert (quote.low_micro, quote.cap_min_micro, quote.high_micro) == (100_000, 101_500, 304_500)


def test_every_unit_is_rounded_on_its_own(market):
    """A second at 0.10 an hour is 27.8 micro-units: 28; three of them are 83.3: 83."""
    quote = estimate(market.organization, unit_items=1)
    assert (quote.low_micro, quote.high_micro) == (3600 * 28, 3600 * 83)


def test_units_are_a_minute_when_nobody_says(market):
    assert estimate(market.organization).units == 60


def test_one_cheap_item_still_has_a_price(market):
    quote = estimate(market.organization, items=1, us_per_item=0)
    assert (quote.low_micro, quote.high_micro) == (0, 1)


def test_the_range_spans_the_classes_and_the_price_is_the_dearest(market):
    """With a class three times as slow, at twice the price: `low` is the fast class's time, `high` the slow one's."""
    slow = make_class(slowness_permille=3000)
    make_card(slow, price=200_000)
    make_node(slow)
    quote = estimate(market.organization, unit_items=3600)
    assert quote.rate_card.hardware_class == slow
    assert (quote.low_micro, quote.high_micro) == (200_000, 1_800_000)


def test_a_class_without_active_nodes_does_not_count(market):
    slow = make_class(slowness_permille=3000)
    make_card(slow, price=200_000)
    node = make_node(slow)
    Node.objects.filter(pk=node.pk).update(status="suspended")
    assert estimate(market.organization).rate_card == market.card


def test_a_class_without_a_card_gets_the_default_one():
    make_node(make_class())
    assert estimate(make_organization()).rate_card.price_micro_per_hour == 97_000


def test_there_is_no_estimate_in_a_tier_that_is_none(market):
    with pytest.raises(InvalidInput) as caught:
        estimate(market.organization, tier="gold")
    assert caught.value.code == "tier_unknown"


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


classes = st.lists(st.tuples(st.integers(1, 9_000), st.integers(0, 400_000)), min_size=1, max_size=3)


@settings(
    max_examples=examples(60),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    items=st.integers(1, 3_000),
    unit_items=st.integers(1, 400),
    us_per_item=st.integers(0, 10**7),
    fleet=classes,
    hour=st.integers(1, 10**8),
    kwh=st.integers(0, 10**8),
    cap=st.floats(0, 1),
    dice=st.randoms(use_true_random=False),
)
def test_whatever_cars_report_a_hold_pays_it(market, **drawn):
    """For any mix of classes, any times and energies that verification counts, and any cap that is accepted."""
    items, step, us, fleet = drawn["items"], drawn["unit_items"], drawn["us_per_item"], drawn["fleet"]
    bounds = {"slowness_permille": max(c[0] for c in fleet), "power_mw": max(c[1] for c in fleet)}
    card = RateCard(price_micro_per_hour=drawn["hour"], price_micro_per_kwh=drawn["kwh"], owner_share_permille=1000)
    slices = Slices(items=items, unit_items=min(items, step), us_per_item=us, **bounds)
    least, most = slices.most_micro(card, 1_000), slices.most_micro(card, 3_000)
    held = least + int(drawn["cap"] * (most - least))
    quote = orders.Estimate(
        items=items,
        units=1,
        compute_ms=0,
        low_micro=0,
        high_micro=most,
        cap_min_micro=least,
        rate_card=card,
        slices=slices,
    )
    permille = quote.paid_time_permille(held)
    assert 1_000 <= permille <= 3_000
    assert (permille == 3_000) == (held >= most)
    charged = 0
    for first in range(0, items, step):
        slowness, power = drawn["dice"].choice(fleet)
        ms = rating.paid_time_ms(
            items=min(step, items - first), us_per_item=us, slowness_permille=slowness, paid_time_permille=permille
        )
        reported = drawn["dice"].choice([ms, ms // 2, 0])
        charged += rating.full_micro(
            compute_ms=reported,
            energy_mwh=rating.energy_mwh(compute_ms=reported, power_mw=power),
            price_micro_per_hour=card.price_micro_per_hour,
            price_micro_per_kwh=card.price_micro_per_kwh,
        )
    assert charged <= held


# --- Orders


def test_an_order_holds_the_highest_estimate_and_binds_the_price(market):
    placed = order(market.organization)
    job = placed.job
    assert placed.held_micro == placed.estimate_high_micro
    assert (placed.price_micro_per_hour, placed.owner_share_permille) == (100_000, 700)
    assert (job.status, job.pay_micro_per_hour) == ("queued", 70_000)
    assert wallets.summary(market.organization).held_micro == placed.held_micro
    assert LedgerTransfer.objects.get(kind="hold").amount_micro == placed.held_micro
    assert posting.recompute() == []


def test_a_later_price_does_not_touch_an_order(market):
    placed = order(market.organization)
    make_card(market.hardware_class, price=900_000, valid_from_at=placed.created_at)
    placed.refresh_from_db()
    assert placed.price_micro_per_hour == 100_000
    assert order(market.organization).price_micro_per_hour == 900_000


def test_a_cap_is_all_that_is_held(market):
    assert order(market.organization, cap_micro=100_000).held_micro == 100_000


def test_a_cap_lowers_the_time_that_counts(market):
    """A cap of 0.15 pays for one and a half times the trial's time; the job stores the figures of the class as well."""
    job = order(market.organization, cap_micro=150_000).job
    assert job.paid_time_permille == 1_500
    assert (job.slowness_max_permille, job.power_max_mw, job.copies_min) == (1_000, 15_000, 1)
    assert order(market.organization).job.paid_time_permille == 3_000


def test_a_hold_takes_promotional_credit_first(market):
    give_credit(market.organization, 120_000)
    summary = wallets.summary(market.organization)
    assert (summary.promo_micro, summary.available_micro, summary.balance_micro) == (120_000, 10_120_000, 10_120_000)
    first, second = order(market.organization, cap_micro=100_000), order(market.organization, cap_micro=100_000)
    assert (first.held_promo_micro, second.held_promo_micro) == (100_000, 20_000)
    assert sorted(LedgerTransfer.objects.filter(kind="hold").values_list("idempotency_key", "amount_micro")) == [
        (f"hold:{first.job_id}:promo", 100_000),
        (f"hold:{second.job_id}", 80_000),
        (f"hold:{second.job_id}:promo", 20_000),
    ]
    assert (balance(market.organization, "promo_wallet"), balance(market.organization, "wallet")) == (0, 9_920_000)
    assert posting.recompute() == []


def test_credit_alone_may_pay_a_job_and_what_is_missing_counts_both_pockets():
    market = make_market(top_up_micro=10_000)
    give_credit(market.organization, 80_000)
    error = refused(market, cap_micro=100_000)
    assert (error.code, error.fields["available_micro"]) == ("insufficient_funds", 90_000)
    give_credit(market.organization, 20_000)
    assert order(market.organization, cap_micro=100_000).held_promo_micro == 100_000


def test_a_cap_above_the_estimate_holds_no_more_than_the_estimate(market):
    placed = order(market.organization, cap_micro=9_000_000)
    assert placed.held_micro == placed.estimate_high_micro < 9_000_000


def refused(market, **fields) -> DomainError:
    with pytest.raises(DomainError) as caught, transaction.atomic():
        order(market.organization, **fields)
    assert InferenceJob.objects.count() == JobOrder.objects.count() == 0
    assert posting.recompute() == []
    return caught.value


def test_a_cap_that_would_not_pay_the_slowest_class_for_the_trials_time_is_refused(market):
    """On a class half as slow again the trial's time costs 0.15, although a fast vehicle might do it for 0.10."""
    slow = make_class(slowness_permille=1_500)
    make_card(slow)
    make_node(slow)
    error = refused(market, cap_micro=149_999)
    assert (error.code, error.fields["cap_min_micro"]) == ("cap_too_low", 150_000)
    assert order(market.organization, cap_micro=150_000).job.paid_time_permille == 1_000


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


# --- Raw SQL, past the service


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


def test_an_order_wakes_the_recharges_and_a_refused_one_does_not(
    market, django_capture_on_commit_callbacks, sent_tasks
):
    with django_capture_on_commit_callbacks(execute=True):
        order(market.organization)
    assert "billing.recharge_low" in sent_tasks
    sent_tasks.clear()
    with django_capture_on_commit_callbacks(execute=True), pytest.raises(PaymentRequired), transaction.atomic():
        order(market.organization, items=10**6)
    assert "billing.recharge_low" not in sent_tasks
