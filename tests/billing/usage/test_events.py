"""Usage events for customers: the envelope, its id, pages and voids."""

from datetime import datetime
from uuid import UUID, uuid5

import pytest
from django.db import connection

from billing.models import JobOrder, RatedUsage
from compute.models import MeterRecord
from tests import factories
from tests.billing.records.helpers import void, work

pytestmark = pytest.mark.django_db
URL = "/api/v1/usage/events"


@pytest.fixture
def cars():
    return [factories.make_car(), factories.make_car()]


@pytest.fixture
def acme(cars):
    """Return a customer with three paid work units."""
    work(cars)
    return JobOrder.objects.latest("id").organization


@pytest.fixture
def ask(client, acme):
    _, key = factories.make_key(acme, scopes=["jobs:read"])
    return lambda path=URL, **headers: client.get(path, headers={"Authorization": f"Bearer {key}", **headers})


def test_a_settled_record_is_a_cloud_event(ask, acme):
    answer = ask()
    assert (answer.status_code, answer["Content-Type"]) == (200, "application/cloudevents-batch+json")
    events = answer.json()
    assert len(events) == 3  # copies that checked the work are not the customer's usage
    event, rated = events[0], RatedUsage.objects.filter(usage__is_canonical=True).latest("id")
    usage, node = rated.usage, rated.usage.node
    job = usage.job.public_id
    record = MeterRecord.objects.get(pk=usage.meter_record_id)
    assert event == {
        "specversion": "1.0",
        "id": str(uuid5(node.public_id, str(record.seq))),
        "source": f"/nodes/{uuid5(node.public_id, f'job:{job}')}",
        "type": "driveway.usage.recorded.v1",
        "time": event["time"],
        "subject": str(job),
        "datacontenttype": "application/json",
        "data": {
            "compute_ms": usage.compute_ms,
            "energy_mwh": usage.energy_mwh,
            "items": 4,
            "attempt": usage.attempt_id,
            "prices": {
                "currency": "USD",
                "micro_per_hour": rated.order.price_micro_per_hour,
                "micro_per_kwh": rated.order.price_micro_per_kwh,
            },
            "amounts": {"charged_micro": rated.charged_micro},
        },
    }
    assert datetime.fromisoformat(event["time"]) == rated.created_at
    assert ask().json() == events  # the same usage has the same ids, however often it is read
    text = answer.content.decode()
    assert str(node.public_id) not in text  # customers must not be able to follow a car from job to job
    assert sum(e["data"]["amounts"]["charged_micro"] for e in events) == JobOrder.objects.get().charged_micro


def test_a_void_is_an_event_of_its_own_and_both_stay(ask, acme):
    rated = RatedUsage.objects.filter(usage__is_canonical=True).earliest("id")
    row = void(rated)
    taken_back, *events = ask().json()
    original = next(e for e in events if e["data"]["attempt"] == rated.usage.attempt_id)
    assert (taken_back["type"], taken_back["id"]) == ("driveway.usage.voided.v1", str(row.public_id))
    assert (taken_back["data"]["voids"], taken_back["source"]) == (original["id"], original["source"])
    assert taken_back["data"]["amounts"]["charged_micro"] == -original["data"]["amounts"]["charged_micro"]
    assert len(events) == 3
    assert [e["id"] for e in ask(f"{URL}?type=driveway.usage.voided.v1").json()] == [str(row.public_id)]
    assert len(ask(f"{URL}?type=driveway.usage.recorded.v1").json()) == 3


def test_pages_hold_every_event_once(ask, acme, cars):
    void(RatedUsage.objects.filter(usage__is_canonical=True).latest("id"))
    whole, seen, path = ask().json(), [], f"{URL}?limit=1"
    while path:
        answer = ask(path)
        seen += answer.json()
        link = answer.headers.get("Link", "")
        assert link == "" or link.endswith('; rel="next"')
        path = link.partition(">")[0].removeprefix("<http://testserver")
    assert seen == whole
    assert len({e["id"] for e in whole}) == 4


def test_of_one_job_or_of_another_customer(ask, acme, cars, client):
    work(cars)
    job = JobOrder.objects.get(organization=acme).job.public_id
    assert {e["subject"] for e in ask(f"{URL}?job={job}").json()} == {str(job)}
    assert ask(f"{URL}?job={UUID(int=5)}").json() == []
    other = JobOrder.objects.latest("id").organization
    _, key = factories.make_key(other, scopes=["jobs:read"])
    events = client.get(URL, headers={"Authorization": f"Bearer {key}"}).json()
    assert {e["subject"] for e in events} == {str(JobOrder.objects.latest("id").job.public_id)}


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("cursor=x", 404),
        ("cursor=OTktMi05OQ", 404),
        ("limit=0", 400),
        ("limit=1001", 400),
        ("job=x", 400),
        ("type=x", 400),
    ],
)
def test_bad_questions_get_the_shape_of_every_refusal(ask, query, status):
    answer = ask(f"{URL}?{query}", Accept="application/cloudevents-batch+json")
    assert (answer.status_code, answer["Content-Type"]) == (status, "application/json")
    assert "code" in answer.json()["error"]


def test_a_page_reads_its_own_index(acme):
    with connection.cursor() as cursor:
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE tablename = 'billing_ratedusage'")
        indexes = [row[0] for row in cursor.fetchall()]
    assert sum(text.endswith("(order_id, id)") for text in indexes) == 1
    assert not any(text.endswith("(order_id)") for text in indexes)
