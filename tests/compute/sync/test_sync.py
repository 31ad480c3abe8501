import pytest

from compute.dispatch import dispatch, verification
from compute.jobs import jobs
from compute.models import Attempt, UsageRecord
from tests import factories

pytestmark = pytest.mark.django_db


def test_a_unit_goes_all_the_way() -> None:
    cars = [factories.make_car(), factories.make_car()]
    job = factories.make_job(items=4, unit_items=4)
    for car in cars:
        assert car.sync().error == ""
    assert dispatch.dispatch() == 2
    for car in cars:
        (lease,) = car.sync().leases
        (ack,) = car.sync(reports=(car.report(lease),)).acks
        assert (ack.status, ack.code) == ("accepted", "")
    assert verification.verify() == 1
    assert set(Attempt.objects.values_list("status", flat=True)) == {"valid"}
    assert UsageRecord.objects.filter(is_canonical=True).count() == 1
    jobs.finish_jobs()
    assert jobs.assemble_job(job_id=job.pk)
