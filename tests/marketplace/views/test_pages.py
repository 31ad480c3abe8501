"""What the public pages, an owner's vehicle pages and a customer's job pages show in each state."""

import re
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.models import ConsentNotice
from billing.orders import closing
from compute.jobs import jobs
from compute.models import NodePresence
from tests import factories

pytestmark = pytest.mark.django_db
REPOSITORY = Path(__file__).resolve().parents[3]
DEAD_REDIS = "redis://127.0.0.1:1/0"


def text_of(page):
    """Return what a person reads on the page, in one line."""
    html = re.sub(r"<(script|style|template|svg).*?</\1>", " ", page.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


# --- public pages -----------------------------------------------------------------------------------------------------


def test_the_home_page_says_what_this_is_and_where_to_begin():
    page = Client().get("/")
    assert page.status_code == 200
    assert "A parked car has a computer with nothing to do." in text_of(page)
    assert 'href="/accounts/signup/"' in page.content.decode()


def test_the_home_page_of_somebody_signed_in_offers_no_second_account(cast, client_of):
    html = client_of(cast.alice.user).get("/").content.decode()
    assert 'href="/accounts/signup/"' not in html
    assert 'href="/vehicles/"' in html


def test_healthz():
    assert Client().get("/healthz").json() == {"database": "ok", "redis": "ok", "nats": "on"}


def test_healthz_without_redis_says_so_and_is_well(settings):
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": DEAD_REDIS}}
    page = Client(raise_request_exception=False).get("/healthz")
    assert (page.status_code, page.json()["redis"]) == (200, "away")


def test_healthz_without_nats(settings):
    settings.NATS_URL = ""
    assert Client().get("/healthz").json()["nats"] == "off"


@pytest.mark.parametrize("purpose", ["run_jobs", "availability", "reliability", "experiments"])
def test_anybody_may_read_a_consent_notice(purpose):
    assert "Consent notice, version 1" in text_of(Client().get(f"/notices/{purpose}/1"))
    assert Client().get(f"/notices/{purpose}/2").status_code == 404


def test_the_dashboard_leads_everybody_home(cast, client_of):
    members = {cast.alice.user: "/vehicles/", cast.acme.memberships.get().user: "/jobs/", cast.opal: "/operations/"}
    for user, home in members.items():
        assert client_of(user).get("/dashboard/")["Location"] == home
    assert client_of(factories.make_user()).get("/dashboard/")["Location"] == "/"


def test_the_api_pages_list_every_operation():
    text = text_of(Client().get("/api/docs"))
    for operation in (
        "POST /api/v1/models",
        "POST /api/v1/jobs",
        "GET /api/v1/jobs/{public_id}/result",
        "GET /api/v1/wallet",
    ):
        assert operation in text
    assert "Idempotency-Key" in text


# --- an owner's vehicles ----------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _present_for_long(monkeypatch):
    """Keep cars present for half an hour, so that they do not become "away" while a slow machine renders the pages."""
    monkeypatch.setattr("compute.models.nodes.AWAY_AFTER", timedelta(minutes=30))


def presence(*, heard_ago=timedelta(0), **fields):
    """Return a function that gives the presence's values.

    It is called late: STATES is built long before its tests run.
    """
    return lambda: {
        "available": True,
        "reason": "",
        "last_sync_at": None if heard_ago is None else timezone.now() - heard_ago,
        **fields,
    }


STATES = {
    # Name -> (consent, presence or None for no agent, label, sentence).
    "no agent": ("given", None, "No agent", "No agent is enrolled yet."),
    "undecided": ("", presence(), "Not working", "You have not decided yet whether this car may run customers' jobs."),
    "refused": ("refused", presence(), "Not working", "You refused to run customers' jobs on this car."),
    "withdrawn": ("withdrawn", presence(), "Not working", "You withdrew your consent to run customers' jobs."),
    "available": ("given", presence(), "Available", ""),
    "paused": ("given", presence(available=False, reason="not_plugged_in"), "Paused", "The car is not plugged in"),
    "unknown reason": ("given", presence(available=False, reason="flat_tyre"), "Paused", "Not available: flat_tyre."),
    "away": ("given", presence(heard_ago=timedelta(hours=1)), "Away", "has not contacted us"),
    "never heard of": ("given", presence(available=False, heard_ago=None), "Away", "has not contacted us"),
}


@pytest.mark.parametrize("state", STATES)
def test_a_vehicle_says_what_it_does_and_why_not(client_of, state):
    consent, seen, label, sentence = STATES[state]
    first = "given" if consent == "withdrawn" else consent
    vehicle = factories.make_vehicle(consent=first) if seen is None else factories.make_car(consent=first).node.vehicle
    if consent == "withdrawn":
        factories.decide(vehicle, "withdrawn")
    if seen:
        NodePresence.objects.update(**seen())
    page = client_of(vehicle.owner.user).get("/vehicles/")
    (shown,) = page.context["vehicles"]
    assert (shown["state"].is_available, shown["state"].label) == (state == "available", label)
    detail = client_of(vehicle.owner.user).get(f"/vehicles/{vehicle.public_id}")
    fragment = client_of(vehicle.owner.user).get(f"/vehicles/{vehicle.public_id}?fragment=state")
    for answer in (page, detail, fragment):
        text = text_of(answer)
        assert label in text
        assert sentence.replace("'", "&#x27;") in text
        assert "no-store" in answer["Cache-Control"]
    assert "<html" not in fragment.content.decode()
    assert fragment.content.decode().strip() in detail.content.decode()


def test_the_setting_that_stops_a_car_is_named(client_of):
    vehicle = factories.make_car().node.vehicle
    NodePresence.objects.update(available=False, reason="charge_low", last_sync_at=timezone.now())
    for path in ("/vehicles/", f"/vehicles/{vehicle.public_id}"):
        assert "Change the setting “Charge to keep”" in text_of(client_of(vehicle.owner.user).get(path))


def test_two_buttons_alike_and_none_pressed_before_the_owner_does(client_of):
    vehicle = factories.make_vehicle(consent="")
    html = client_of(vehicle.owner.user).get("/vehicles/").content.decode()
    assert html.count('aria-pressed="false"') == 2
    assert not re.search(r"<input[^>]*\schecked", html)
    assert 'aria-pressed="true"' not in html


def test_a_consent_past_its_end_is_shown_as_ended(client_of):
    from tests.accounts.consents.test_rules import lapse

    car = factories.make_car(consent="")
    lapse(car.node.vehicle)
    page = client_of(car.node.vehicle.owner.user).get("/vehicles/")
    assert page.context["vehicles"][0]["consent"]["state"] == "expired"
    assert "has ended" in text_of(page)


def test_consent_to_an_old_text_is_shown_as_no_longer_counting(client_of):
    vehicle = factories.make_car().node.vehicle
    values = {"purpose": "run_jobs", "title": "T", "summary": "S", "body": "B", "sha256": "0" * 64}
    ConsentNotice.objects.create(version=2, effective_at=timezone.now() + timedelta(days=1), **values)
    client = client_of(vehicle.owner.user)
    state = client.get("/vehicles/").context["vehicles"][0]["state"]
    assert state.reason.code == "away"  # the new text is not in force yet
    ConsentNotice.objects.create(version=3, **values)
    page = client.get("/vehicles/")
    assert page.context["vehicles"][0]["state"].reason.code == "consent_outdated"
    assert 'name="notice_version" value="3"' in page.content.decode()


def test_an_owner_without_vehicles(cast, client_of):
    text = text_of(client_of(cast.alice.user).get("/vehicles/"))
    assert "No vehicle yet" in text
    assert "Stop all my cars" not in text


def test_what_an_owner_typed_is_escaped(cast, client_of):
    vehicle = factories.make_vehicle(cast.alice)
    type(vehicle).objects.update(label='<script>alert("x")</script>')
    html = client_of(cast.alice.user).get("/vehicles/").content.decode()
    assert "<script>alert" not in html


# --- a customer's jobs ------------------------------------------------------------------------------------------------


@pytest.fixture
def acme():
    return factories.make_organization("acme@example.com", wallet_micro=10_000_000)


@pytest.fixture
def customer(acme, client_of):
    return client_of(acme.memberships.get().user)


def test_the_jobs_page_before_and_after_the_first_job(acme, customer):
    assert "No job yet" in text_of(customer.get("/jobs/"))
    job = factories.make_ordered_job(acme)
    page = customer.get("/jobs/")
    assert str(job.public_id) in page.content.decode()
    assert "$10.00" in text_of(page)
    assert "Running" in text_of(page)


def test_the_job_page_refreshes_its_progress_until_the_end(acme, customer):
    job = factories.make_ordered_job(acme, items=8, unit_items=4)
    page, fragment = (customer.get(f"/jobs/{job.public_id}{query}") for query in ("", "?fragment=progress"))
    assert 'data-refresh-url="?fragment=progress"' in page.content.decode()
    assert "<html" not in fragment.content.decode()
    assert fragment.content.decode().strip() in page.content.decode()
    assert "0 of 2 units done" in fragment.content.decode()
    assert "data-refresh-final" not in fragment.content.decode()
    factories.complete(job)
    closing.close_orders()
    fragment = customer.get(f"/jobs/{job.public_id}?fragment=progress").content.decode()
    assert "2 of 2 units done" in fragment
    assert "data-refresh-final" in fragment
    assert "data-refresh-url" not in customer.get(f"/jobs/{job.public_id}").content.decode()
    assert all("no-store" in answer["Cache-Control"] for answer in (page, customer.get("/jobs/")))


@pytest.mark.parametrize("end", ["cancelled", "failed", "queued"])
def test_the_job_page_in_other_states(acme, customer, end):
    job = factories.make_ordered_job(acme)
    if end == "cancelled":
        jobs.cancel_job(job=job)
    elif end == "failed":
        jobs.fail_job(job=job, code="too_many_failures", message="Unit 3 could not be computed.")
    page = customer.get(f"/jobs/{job.public_id}")
    text = text_of(page)
    assert {"cancelled": "Cancelled", "failed": "Failed", "queued": "Running"}[end] in text
    assert ("Unit 3 could not be computed." in text) == (end == "failed")
    assert customer.get(f"/jobs/{job.public_id}/result").status_code == 404


def test_a_person_downloads_the_result(acme, customer):
    job = factories.complete(factories.make_ordered_job(acme, items=4))
    assert f"/jobs/{job.public_id}/result" in customer.get(f"/jobs/{job.public_id}").content.decode()
    answer = customer.get(f"/jobs/{job.public_id}/result")
    assert len(factories.body_of(answer)) == job.result_bytes
    assert "attachment" in answer["Content-Disposition"]


def test_the_vehicle_page_takes_as_many_queries_for_ten_cars_as_for_two(client_of):
    owner = factories.make_owner()
    client = client_of(owner.user)

    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/vehicles/").status_code == 200
        return len(captured)

    for _ in range(2):
        factories.lease_to(factories.make_car(owner))
    few = queries()
    for _ in range(8):
        factories.lease_to(factories.make_car(owner))
    assert queries() == few
