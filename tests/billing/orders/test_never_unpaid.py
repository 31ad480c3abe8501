"""From dispatch through verification to settlement: whatever vehicles report, the hold pays every canonical attempt."""

from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.ledger import posting
from billing.models import JobOrder, LedgerTransfer, RatedUsage
from billing.orders import orders
from billing.orders.settlement import settle_usage
from billing.rates import cards as rates
from billing.rates.estimates import estimate
from compute.dispatch import dispatch, verification
from compute.jobs import jobs
from compute.models import HardwareClass, InferenceJob, UsageRecord
from tests import factories
from tests.compute.helpers import leased, present, trust, work
from tests.long import examples

pytestmark = pytest.mark.django_db
OTHER = {"isa": "neon", "machine": "aarch64"}

claims = st.tuples(st.integers(0, 10**6), st.integers(0, 10**6))


@settings(
    max_examples=examples(10),
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    speeds=st.tuples(st.integers(300, 5_000), st.integers(300, 5_000)),
    power=st.integers(1, 500_000),
    items=st.integers(1, 9),
    cap=st.floats(0, 1),
    tier=st.sampled_from(["standard", "quorum"]),
    reported=st.lists(claims, min_size=4, max_size=4),
)
def test_nothing_is_worked_that_the_hold_does_not_pay(cast: Any, speeds, power, items, cap, tier, reported):
    """Two classes, vehicles that report any time and energy, and any cap from the smallest to above the estimate."""
    with transaction.atomic():
        cars = [*present(2), *present(2, hardware=factories.msgspec.structs.replace(factories.HARDWARE, **OTHER))]
        trust(cars)
        for slowness, hardware_class in zip(speeds, HardwareClass.objects.order_by("id"), strict=True):
            HardwareClass.objects.filter(pk=hardware_class.pk).update(slowness_permille=slowness, power_mw=power)
        factories.top_up(cast.acme, 10**12)
        rates.default_rates()
        artifact = factories.make_artifact(cast.acme, us_per_item=3 * 10**6)
        quote = estimate(artifact=artifact, items=items, unit_items=2, tier=tier)
        limit = quote.cap_min_micro + int(cap * 1.1 * (quote.high_micro - quote.cap_min_micro))
        job = orders.order_job(
            organization=cast.acme,
            artifact=artifact,
            input_file=factories.make_input(cast.acme, items=items),
            unit_items=2,
            cap_micro=limit,
            tier=tier,
        )
        jobs.plan_job(job_id=job.pk)
        for _ in range(20):
            dispatch.dispatch()
            for car, (compute_ms, energy_mwh) in zip(cars, reported, strict=True):
                work(car, compute_ms=compute_ms, energy_mwh=energy_mwh)
            verification.verify()
            if not job.units.filter(status="open").exists():
                break
        assert not job.units.exclude(status="accepted").exists()
        settle_usage()
        order = JobOrder.objects.get(job=job)
        rated = RatedUsage.objects.filter(usage__is_canonical=True)
        assert sum(row.charged_micro for row in rated) == order.charged_micro <= order.held_micro <= limit
        # Each canonical attempt is charged in full, so the hold pays its owner, and not the platform.
        assert not rated.filter(owner_transfer__kind="verification").exists()
        assert all(row.charged_micro >= row.owner_micro for row in rated)
        copies = UsageRecord.objects.filter(is_canonical=False).count()
        assert copies >= job.units.count() if tier == "quorum" else True
        assert posting.recompute() == []
        transaction.set_rollback(True)


@pytest.mark.usefixtures("unreplicated")
def test_quorum_gives_every_unit_two_owners_whoever_runs_it(cast):
    """Even with the highest trust, no vehicle runs a unit alone, and never two vehicles of the same owner."""
    cars = [*present(2, owner=cast.alice, capacity=8), *present(1, owner=cast.bob, capacity=8)]
    trust(cars)
    factories.top_up(cast.acme, 10**9)
    rates.default_rates()
    job = orders.order_job(
        organization=cast.acme,
        artifact=factories.make_artifact(cast.acme, us_per_item=10**7),
        unit_items=2,
        input_file=factories.make_input(cast.acme, items=8),
        tier="quorum",
    )
    jobs.plan_job(job_id=job.pk)
    assert (job.copies_min, set(job.units.values_list("copies_wanted", flat=True))) == (2, {2})
    dispatch.dispatch()
    for unit in job.units.all():
        assert set(unit.attempts.values_list("owner_id", flat=True)) == {cast.alice.pk, cast.bob.pk}
    # The results of one owner alone are not enough.
    for car in cars[:2]:
        work(car, compute_ms=18_000)
    assert verification.verify() == 0
    work(cars[2], compute_ms=18_000)
    assert verification.verify() == 4
    settle_usage()
    order = JobOrder.objects.get(job=job)
    # 72 s at 0.194 an hour, and 4 x 1 mWh. The customer pays once; each owner gets 70 % of 0.097 an hour.
    assert order.charged_micro == 4 * 970
    paid = LedgerTransfer.objects.filter(kind__in=["share", "verification"]).values_list(
        "kind", "credit__owner", "amount_micro"
    )
    assert {(kind, amount) for kind, _, amount in paid} <= {
        (kind, n * 339) for kind in ("share", "verification") for n in range(5)
    }
    assert sum(amount for _, owner, amount in paid if owner == cast.bob.pk) == 4 * 339
    assert sum(amount for *_, amount in paid) == 8 * 339


@pytest.mark.usefixtures("unreplicated")
def test_a_class_that_joined_later_and_is_slower_gets_no_unit_that_pays_it_too_little_time(cast):
    (quick,) = present(1)
    trust([quick])
    factories.top_up(cast.acme, 10**9)
    job = factories.make_ordered_job(cast.acme, items=2, unit_items=2)
    quick.sync(available=False)
    slow = present(1, hardware=factories.msgspec.structs.replace(factories.HARDWARE, **OTHER))
    trust(slow)
    HardwareClass.objects.filter(pk=slow[0].node.hardware_class_id).update(slowness_permille=1_001)
    assert dispatch.dispatch() == 0
    HardwareClass.objects.filter(pk=slow[0].node.hardware_class_id).update(slowness_permille=1_000)
    job.units.update(not_before_at=None)
    assert dispatch.dispatch() == 1
    # The class becomes slower while it works: it counts with the figures for which the hold was computed.
    HardwareClass.objects.filter(pk=slow[0].node.hardware_class_id).update(slowness_permille=9_000, power_mw=10**6)
    assert leased(slow[0])
    work(slow[0], compute_ms=10**6, energy_mwh=10**6)
    assert verification.verify() == 1
    usage = UsageRecord.objects.get()
    job = InferenceJob.objects.get(pk=job.pk)
    assert usage.compute_ms == 6 == 2 * job.artifact.us_per_item * job.paid_time_permille // 1_000_000
    assert usage.energy_mwh == 1
