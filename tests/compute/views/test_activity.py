"""The activity page: every attempt, in a fixed number of queries, without the customer's name."""

import csv
import io
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import ConsentRecord
from billing.orders import settlement
from compute.jobs import activity
from compute.models import Attempt
from tests import factories
from tests.database import as_owner, unguarded
from tests.marketplace.views.test_pages import text_of

pytestmark = pytest.mark.django_db


def done(customer="secretive@example.com"):
    """Return (vehicle, job): a car that has done one paid job for a customer."""
    organization = factories.make_organization(customer, wallet_micro=10**7)
    type(organization).objects.filter(pk=organization.pk).update(category="Life sciences")
    job = factories.complete(factories.make_ordered_job(organization, items=4), compute_ms=4)
    settlement.settle_usage()
    type(job.artifact).objects.filter(pk=job.artifact_id).update(name="Project Nightingale")
    return ConsentRecord.objects.latest("id").vehicle, job


def history(vehicle, count, *, status="cancelled", every=timedelta(hours=1)):
    """Insert ended attempts, one for each past hour, with triggers off: without the rules for leasing."""
    attempt = factories.lease_to(factories.make_car(vehicle.owner)) if not Attempt.objects.exists() else None
    model = attempt or Attempt.objects.first()
    first = Attempt.objects.count() + 10_000
    with unguarded(), connection.cursor() as cursor:
        cursor.execute(
            """INSERT INTO compute_attempt (unit_id, job_id, node_id, vehicle_id, owner_id, consent_record_id, fence, status,
                                            leased_at, expires_at)
               SELECT %s, %s, %s, %s, %s, %s, %s + n, %s, now() - %s * n, now() FROM generate_series(%s, 1, -1) AS n""",
            [
                model.unit_id,
                model.job_id,
                model.node_id,
                vehicle.pk,
                vehicle.owner_id,
                model.consent_record_id,
                first,
                status,
                every,
                count,
            ],
        )


@pytest.fixture
def car(client_of):
    vehicle = factories.make_vehicle()
    return vehicle, client_of(vehicle.owner.user), f"/vehicles/{vehicle.public_id}/activity"


def test_a_paid_piece_of_work_with_all_that_its_owner_may_know(client_of):
    vehicle, job = done()
    page = client_of(vehicle.owner.user).get(f"/vehicles/{vehicle.public_id}/activity")
    (row,) = page.context["attempts"]
    assert (row["outcome"], row["items"], row["compute_ms"], row["energy_mwh"]) == ("valid", 4, 4, 1)
    assert (row["model_sha256"], row["customer_category"]) == (job.artifact.sha256, "Life sciences")
    assert row["energy_method"] == "model"
    assert row["net_micro"] == row["gross_micro"] - row["energy_cost_micro"] - row["wear_micro"]
    assert row["why_unpaid"] == ""
    text = text_of(page)
    for said in ("Life sciences", job.artifact.sha256, "0.001 Wh", "estimated", "Valid, paid"):
        assert said in text
    assert job.organization.name not in page.content.decode()
    assert "Nightingale" not in text


@pytest.mark.parametrize(
    ("status", "code", "says"),
    [
        ("cancelled", "consent_withdrawn", "Your consent ended"),
        ("expired", "lease_expired", "did not report in time"),
        ("failed", "crashed", "could not be computed"),
        ("cancelled", "job_cancelled", "before its result arrived"),
    ],
)
def test_what_was_not_paid_says_why(client_of, status, code, says):
    attempt = factories.lease_to(factories.make_car())
    Attempt.objects.filter(pk=attempt.pk).update(status=status, status_code=code, ended_at=timezone.now())
    text = text_of(client_of(attempt.owner.user).get(f"/vehicles/{attempt.vehicle.public_id}/activity"))
    assert says in text
    assert code in text


def test_pages_follow_one_another_without_a_gap_or_a_repetition(car):
    vehicle, client, path = car
    history(vehicle, 60)
    seen, query = [], ""
    for _ in range(3):
        page = client.get(path + query)
        seen += [row["leased_at"] for row in page.context["attempts"]]
        query = f"?{page.context['older_query']}"
    assert len(seen) == len(set(seen)) == 60
    assert seen == sorted(seen, reverse=True)
    assert query == "?None"
    assert "Nothing more matches" in text_of(client.get(f"{path}?before=1"))


def test_a_day_is_a_day_of_the_owners_calendar(car):
    vehicle, client, path = car
    type(vehicle.owner).objects.update(time_zone="Pacific/Auckland")
    history(vehicle, 80)
    with timezone.override("Pacific/Auckland"):
        day = timezone.localdate() - timedelta(days=1)
        page = client.get(f"{path}?day={day}")
        shown = [timezone.localtime(row["leased_at"]).date() for row in page.context["attempts"]]
    assert set(shown) == {day}
    assert 23 <= len(shown) <= 25
    assert not client.get(f"{path}?day=2020-01-01").context["attempts"]
    assert not client.get(f"{path}?day=2120-01-01").context["attempts"]


def test_the_last_attempt_by_a_moment_is_found_wherever_it_is(car):
    vehicle, *_ = car
    history(vehicle, 30)
    rows = list(Attempt.objects.filter(vehicle=vehicle).order_by("id").values_list("id", "leased_at"))
    for number, (pk, at) in enumerate(rows):
        assert activity._last_by(vehicle, at + timedelta(seconds=1)) == pk
        assert (number == 0) == (activity._last_by(vehicle, at) < rows[0][0])
    assert activity._last_by(factories.make_vehicle(), timezone.now()) == 0


def test_a_rare_outcome_is_found_over_several_pages(car, monkeypatch):
    monkeypatch.setattr(activity, "WINDOW", 20)
    vehicle, client, path = car
    history(vehicle, 3, status="invalid", every=timedelta(days=50))
    history(vehicle, 45)
    page, pages = client.get(f"{path}?outcome=invalid"), 1
    while not page.context["attempts"]:
        assert "have not been looked at yet" in text_of(page)
        page, pages = client.get(f"{path}?{page.context['older_query']}"), pages + 1
    assert (len(page.context["attempts"]), pages) == (3, 3)
    assert all(row["outcome"] == "invalid" for row in page.context["attempts"])


@pytest.mark.parametrize(
    "query", ["day=yesterday", "day=2026-02-30", "outcome=paid", "before=x", "before=0", f"before={2**64}"]
)
def test_a_bad_filter_is_said_and_shows_nothing(car, query):
    _, client, path = car
    page = client.get(f"{path}?{query}")
    assert page.status_code == 400
    assert "errorlist" in page.content.decode()


def test_the_file_holds_all_that_matches_in_plain_numbers(client_of):
    vehicle, job = done()
    type(job.organization).objects.update(category="=cmd|' /C calc'!A0")
    history(vehicle, 30)
    client, path = client_of(vehicle.owner.user), f"/vehicles/{vehicle.public_id}/activity"
    answer = client.get(f"{path}?format=csv")
    rows = list(csv.DictReader(io.StringIO(factories.body_of(answer).decode())))
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert "attachment" in answer["Content-Disposition"]
    assert len(rows) == 31
    (paid,) = (row for row in rows if row["outcome"] == "valid")
    assert (paid["compute_ms"], paid["energy_mwh"], paid["energy_method"]) == ("4", "1", "model")
    assert paid["customer_category"].startswith("'=")
    assert datetime.fromisoformat(paid["leased_at"]).tzinfo == UTC
    assert int(paid["net_micro"]) == int(paid["gross_micro"]) - int(paid["energy_cost_micro"]) - int(paid["wear_micro"])
    only = factories.body_of(client.get(f"{path}?format=csv&outcome=valid")).decode()
    assert len(only.splitlines()) == 2


def test_as_many_queries_for_a_long_history_as_for_a_short_one(car):
    vehicle, client, path = car

    def queries(query):
        with CaptureQueriesContext(connection) as captured:
            assert client.get(path + query).status_code == 200
        return len(captured)

    history(vehicle, 2)
    # In the first hour of a day, work of an hour ago belongs to yesterday.
    newest = Attempt.objects.filter(vehicle=vehicle, status="cancelled").latest("leased_at")
    day = f"?day={timezone.localdate(newest.leased_at)}&outcome=cancelled"
    few = queries(""), queries(day)
    history(vehicle, 200, every=timedelta(minutes=1))
    assert (queries(""), queries(day)) == few


def test_a_page_and_a_day_are_read_by_the_index(car):
    vehicle, *_ = car
    history(vehicle, 5)
    history(factories.make_vehicle(), 3000)  # enough rows of other cars for the planner to prefer an index
    values = {
        "vehicle": vehicle.pk,
        "before": 10**9,
        "after": 0,
        "since": None,
        "until": None,
        "status": "",
        "each": 25,
        "window": activity.WINDOW,
        "at": timezone.now(),
    }
    with as_owner(), connection.cursor() as cursor:
        cursor.execute("ANALYZE compute_attempt; SET LOCAL enable_seqscan = off")
        for sql in (activity.PAGE, activity.LAST_BY):
            cursor.execute("EXPLAIN " + sql, values)
            plan = "\n".join(row[0] for row in cursor.fetchall())
            assert "attempt_by_vehicle" in plan
            assert "Seq Scan on compute_attempt" not in plan
