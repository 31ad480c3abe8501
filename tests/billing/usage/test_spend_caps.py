"""A customer's monthly spend cap, which held and charged amounts together never exceed.

A compute-hour costs 0.10 here.
"""

from datetime import timedelta

import pytest
from django.db import transaction

from accounts.models import AuditEvent
from billing.models import SpendCap, SpendDay
from billing.orders import voids
from billing.orders.closing import close_orders
from billing.orders.settlement import settle_usage
from billing.periods import month_of
from billing.usage import spend_caps
from compute.models import InferenceJob
from core.errors import InvalidInput, PaymentRequired
from tests.billing.helpers import end_job, make_market, make_usage, order

pytestmark = pytest.mark.django_db


@pytest.fixture
def market():
    return make_market()


def cap(market, monthly_micro):
    spend_caps.set_cap(organization=market.organization, monthly_micro=monthly_micro, actor=None)


def test_without_a_cap_there_is_a_month_and_no_limit(market):
    order(market.organization, cap_micro=100_000)
    assert spend_caps.month(market.organization) == spend_caps.SpendMonth(None, 0, 100_000)
    assert spend_caps.month(market.organization).left_micro is None


def test_what_is_held_and_what_was_charged_count_together(market):
    cap(market, 250_000)
    first = order(market.organization, cap_micro=150_000)
    make_usage(first.job, market.nodes[0])
    settle_usage()
    assert spend_caps.month(market.organization) == spend_caps.SpendMonth(250_000, 100_000, 50_000)
    with pytest.raises(PaymentRequired) as caught, transaction.atomic():
        order(market.organization, cap_micro=100_001)
    assert caught.value.code == "spend_cap_reached"
    assert caught.value.fields == {
        "required_micro": 100_001,
        "cap_micro": 250_000,
        "charged_micro": 100_000,
        "held_micro": 50_000,
        "left_micro": 100_000,
        "currency": "USD",
    }
    assert InferenceJob.objects.count() == 1
    end_job(first.job)
    close_orders()
    assert spend_caps.month(market.organization).left_micro == 150_000
    order(market.organization, cap_micro=150_000)
    assert spend_caps.month(market.organization).left_micro == 0


def test_another_month_does_not_count_and_a_void_gives_room_back(market, stopped_clock):
    cap(market, 200_000)
    usage = make_usage(order(market.organization, cap_micro=100_000).job, market.nodes[0])
    settle_usage()
    assert spend_caps.month(market.organization).left_micro == 100_000
    voids.void(rated=usage.rated, reason="wrong", actor=None)
    voids.settle_voids()
    assert spend_caps.month(market.organization).left_micro == 200_000
    assert SpendDay.objects.get().day == stopped_clock.date()
    SpendDay.objects.update(charged_micro=90_000, day=month_of(stopped_clock) - timedelta(days=1))
    assert spend_caps.month(market.organization).charged_micro == 0


def test_a_lowered_cap_touches_nothing_that_runs(market):
    placed = order(market.organization, cap_micro=100_000)
    cap(market, 0)
    assert spend_caps.month(market.organization).left_micro == 0
    make_usage(placed.job, market.nodes[0])
    settle_usage()
    placed.refresh_from_db()
    assert placed.charged_micro == 100_000


def test_a_cap_is_changed_and_taken_away_and_both_are_in_the_trail(market):
    for amount in (5, 7, None, None):
        cap(market, amount)
    assert not SpendCap.objects.exists()
    details = AuditEvent.objects.filter(action="spend_cap.set").order_by("id").values_list("details", flat=True)
    assert [row["monthly_micro"] for row in details] == [5, 7, None, None]
    for amount in (-1, 10**16):
        with pytest.raises(InvalidInput):
            cap(market, amount)
