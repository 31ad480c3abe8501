"""The pages: what each says in each state, that none needs what the content security policy forbids, and production's rules."""

import json
import os
import re
import subprocess
import sys
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from accounts.models import ConsentRecord
from billing.services import closing
from compute.models import InferenceJob, NodePresence
from compute.services import jobs
from marketplace.views import public
from tests import factories

pytestmark = pytest.mark.django_db
REPOSITORY = Path(__file__).resolve().parents[2]
DEAD_REDIS = "redis://127.0.0.1:1/0"


def text_of(page):
    """What a person reads, in one line."""
    html = re.sub(r"<(script|style|template|svg).*?</\1>", " ", page.content.decode(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


# --- public pages -------------------------------------------------------------------------------------------------------


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


# --- an owner's vehicles ------------------------------------------------------------------------------------------------


def presence(**fields):
    return {"available": True, "reason": "", "last_sync_at": timezone.now(), **fields}


STATES = {
    # name: (consent, presence or None for no agent, label, sentence)
    "no agent": ("given", None, "No agent", "No agent is enrolled yet."),
    "undecided": ("", presence(), "Not working", "You have not decided yet whether this car may run customers' jobs."),
    "refused": ("refused", presence(), "Not working", "You said no to running customers' jobs on this car."),
    "withdrawn": ("withdrawn", presence(), "Not working", "You withdrew your consent to run customers' jobs."),
    "available": ("given", presence(), "Available", ""),
    "paused": ("given", presence(available=False, reason="not_plugged_in"), "Paused", "The car is not plugged in"),
    "unknown reason": ("given", presence(available=False, reason="flat_tyre"), "Paused", "Not available: flat_tyre."),
    "away": ("given", presence(last_sync_at=timezone.now() - timedelta(hours=1)), "Away", "has not been heard of"),
    "never heard of": ("given", presence(available=False, last_sync_at=None), "Away", "has not been heard of"),
}


@pytest.mark.parametrize("state", STATES)
def test_a_vehicle_says_what_it_does_and_why_not(client_of, state):
    consent, seen, label, sentence = STATES[state]
    given = "given" if consent == "withdrawn" else consent
    vehicle = factories.make_vehicle(consent=given) if seen is None else factories.make_car(consent=given).node.vehicle
    if consent == "withdrawn":
        factories.decide(vehicle, "withdrawn")
    if seen:
        NodePresence.objects.update(**seen)
    page = client_of(vehicle.owner.user).get("/vehicles/")
    (shown,) = page.context["vehicles"]
    assert (shown["is_available"], shown["status_label"]) == (state == "available", label)
    assert sentence in shown["reason_sentence"]
    text = text_of(page)
    assert label in text
    assert sentence.replace("'", "&#x27;") in text
    assert "no-store" in page["Cache-Control"]


def test_two_buttons_alike_and_none_pressed_before_the_owner_does(client_of):
    vehicle = factories.make_vehicle(consent="")
    html = client_of(vehicle.owner.user).get("/vehicles/").content.decode()
    assert html.count('aria-pressed="false"') == 2 * 4
    assert "checked" not in html
    assert 'aria-pressed="true"' not in html


def test_a_consent_past_its_end_is_shown_as_ended(client_of):
    from tests.accounts.test_consent_rules import lapse

    car = factories.make_car(consent="")
    lapse(car.node.vehicle)
    page = client_of(car.node.vehicle.owner.user).get("/vehicles/")
    assert page.context["vehicles"][0]["consents"][0]["state"] == "expired"
    assert "has ended" in text_of(page)


def test_an_owner_without_vehicles(cast, client_of):
    text = text_of(client_of(cast.alice.user).get("/vehicles/"))
    assert "No vehicle yet" in text
    assert "Stop all my cars" not in text


def test_the_page_of_many_vehicles_costs_few_queries(cast, client_of, django_assert_max_num_queries):
    for _ in range(8):
        factories.make_car(cast.alice)
    client = client_of(cast.alice.user)
    with django_assert_max_num_queries(40):
        client.get("/vehicles/")


def test_what_an_owner_typed_is_escaped(cast, client_of):
    vehicle = factories.make_vehicle(cast.alice)
    type(vehicle).objects.update(label='<script>alert("x")</script>')
    html = client_of(cast.alice.user).get("/vehicles/").content.decode()
    assert "<script>alert" not in html


def test_work_that_was_done_is_listed_without_the_customers_name(client_of):
    organization = factories.make_organization("secretive@example.com", wallet_micro=10**7)
    factories.complete(factories.make_ordered_job(organization, items=4))
    owner = ConsentRecord.objects.latest("id").owner
    page = client_of(owner.user).get("/vehicles/")
    (attempt,) = page.context["vehicles"][0]["attempts_recent"]
    assert (attempt["outcome"], attempt["items"], attempt["customer"]) == ("valid", 4, "Research")
    assert organization.name not in page.content.decode()


# --- a customer's jobs --------------------------------------------------------------------------------------------------


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


# --- the content security policy ----------------------------------------------------------------------------------------


class Scanner(HTMLParser):
    """Finds what a strict policy would block: inline code and styles, and anything from elsewhere."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        inline = tag == "script" and "src" not in values and values.get("type") != "application/json"
        if inline or tag == "style":
            self.found.append(self.get_starttag_text())
        for name, value in attrs:
            address = name in ("src", "href", "action", "formaction") and re.sub(r"\s", "", value or "").lower()
            elsewhere = name in ("src", "srcset", "data") or (name == "href" and tag in ("link", "use", "image"))
            foreign = elsewhere and re.match(r"(https?:)?//", value or "")
            if name.startswith("on") or name == "style" or foreign or str(address).startswith("javascript:"):
                self.found.append(self.get_starttag_text())


def forbidden(page):
    scanner = Scanner()
    scanner.feed(page.content.decode())
    return scanner.found


def test_the_scanner_finds_what_it_should():
    bad = '<p style="x"><a href=" java\nscript:x"><b onclick=x><script>x</script><style></style><img src="//x/y">'
    page = type("Page", (), {"content": bad.encode()})
    assert len(forbidden(page)) == 6


def check_page(page, status=200):
    """A page as every page must be."""
    assert page.status_code == status
    assert page["Content-Type"].startswith("text/html")
    assert forbidden(page) == []
    policy = dict(part.strip().split(" ", 1) for part in page["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'self'", "img-src": "'self' data:", "object-src": "'none'", "base-uri": "'none'",
        "form-action": "'self'", "frame-ancestors": "'none'",
    }  # fmt: skip
    assert page["X-Content-Type-Options"] == "nosniff"
    assert page["X-Frame-Options"] == "DENY"
    assert page["Referrer-Policy"] == "same-origin"
    assert page["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "</html>" in page.content.decode()


PUBLIC = (
    "home consent_notice api_docs account_login account_signup account_reset_password account_reset_password_done"
    " account_reset_password_from_key_done account_inactive account_email_verification_sent"
).split()
ACCOUNT = "account_email account_change_password account_logout mfa_index mfa_activate_totp mfa_add_webauthn".split()


@pytest.mark.parametrize("name", PUBLIC)
def test_public_pages(name):
    check_page(Client().get(reverse(name, args=["run_jobs", 1] if name == "consent_notice" else [])))


def test_forms_that_come_back_with_errors(cast, client_of):
    check_page(Client().post("/accounts/signup/", {"email": "x"}))
    check_page(Client().post("/accounts/login/", {"login": "x@example.com", "password": "y"}))
    check_page(client_of(cast.alice.user).post("/vehicles/add", {"vin": "x"}), status=400)
    check_page(client_of(cast.acme.memberships.get().user).post("/keys/new", {}), status=400)


def sign_in(user):
    """By the form, as a person does: some pages of the account want to know when that was."""
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": factories.PASSWORD})
    return client


@pytest.mark.parametrize("name", ACCOUNT)
def test_pages_of_the_account(cast, name):
    check_page(sign_in(cast.alice.user).get(reverse(name)))


def test_pages_of_an_owner(cast, client_of):
    car, client = factories.make_car(cast.alice), client_of(cast.alice.user)
    vehicle = factories.make_vehicle(cast.alice, consent="refused")
    factories.lease_to(car)
    for path in ("/vehicles/", f"/vehicles/{vehicle.public_id}/enrol", f"/vehicles/{vehicle.public_id}/consents"):
        check_page(client.get(path))
    check_page(client.post(f"/vehicles/{vehicle.public_id}/consents/run_jobs", {"decision": "given"}, follow=True))


def test_pages_of_a_customer(acme, customer):
    job = factories.make_ordered_job(acme)
    factories.make_key(acme)
    for path in ("/jobs/", f"/jobs/{job.public_id}", "/keys/"):
        check_page(customer.get(path))
    check_page(customer.post("/keys/new", {"name": "x", "scopes": "jobs:read"}))
    fragment = customer.get(f"/jobs/{job.public_id}?fragment=progress")
    assert forbidden(fragment) == []
    assert "Content-Security-Policy" in fragment


def test_pages_of_an_operator(cast, client_of):
    client, vehicle = client_of(cast.opal), factories.make_vehicle(cast.alice)
    office = [
        "",
        "accounts/user/",
        f"accounts/vehicle/{vehicle.pk}/change/",
        "billing/topup/add/",
        "accounts/auditevent/",
    ]
    for path in office:
        check_page(client.get(f"/operations/{path}"))


def test_error_pages(monkeypatch):
    client = Client(raise_request_exception=False)
    check_page(client.get("/nowhere"), status=404)
    check_page(client.get("/", headers={"Host": "evil.example"}), status=400)
    csrf = Client(enforce_csrf_checks=True)
    check_page(csrf.post("/accounts/login/", {}), status=403)

    def crash(*_, **__):
        raise RuntimeError("secret detail")

    monkeypatch.setattr(public, "render", crash)
    page = client.get("/")
    check_page(page, status=500)
    assert "secret detail" not in page.content.decode()


def test_a_file_from_the_customer_is_never_shown_as_a_page(acme, customer):
    job = factories.complete(factories.make_ordered_job(acme, items=4))
    answer = customer.get(f"/jobs/{job.public_id}/result")
    assert (answer["Content-Type"], answer["X-Content-Type-Options"]) == ("application/octet-stream", "nosniff")


def test_cookies_are_out_of_reach_of_scripts_and_other_sites(cast):
    client = sign_in(cast.alice.user)
    session = client.cookies["sessionid"]
    assert (session["httponly"], session["samesite"]) == (True, "Lax")
    assert client.cookies["csrftoken"]["samesite"] == "Lax" if "csrftoken" in client.cookies else True


def test_templates_hold_no_inline_code_either():
    """Also what no test renders: every template in the repository."""
    inline = re.compile(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=\"|javascript:", re.IGNORECASE)
    hits = {
        str(path.relative_to(REPOSITORY)): found
        for path in (REPOSITORY / "templates").rglob("*.html")
        if (found := inline.findall(path.read_text()))
    }
    assert hits == {}


# --- production ---------------------------------------------------------------------------------------------------------

SECRETS = {
    "DJANGO_SECRET_KEY": "k" * 20 + "0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFG",
    "ALLOWED_HOSTS": "driveway.example",
    "DATABASE_URL": "postgres://driveway@db/driveway",
    "REDIS_URL": "redis://redis/0",
    "RECEIPT_SIGNING_KEY": "22" * 32,
}
START_WITHOUT_EACH = """
import json, os, runpy
import environ
environ.Env.read_env = classmethod(lambda *a, **k: None)  # a developer's .env must not help
from django.core.exceptions import ImproperlyConfigured
secrets, said = json.loads(os.environ.pop("SECRETS")), {}
for missing in ["", *secrets]:
    for empty in (False, True):
        os.environ.update(secrets)
        if missing:
            os.environ.update({missing: ""}) if empty else os.environ.pop(missing)
        try:
            settings = runpy.run_path("marketplace/settings.py")
            said[missing] = f"started, DEBUG={settings['DEBUG']}"
        except ImproperlyConfigured as error:
            said[missing] = str(error)
print(json.dumps(said))
"""


def run(*command, **environment):
    bare = {"PATH": os.environ["PATH"], "DRIVEWAY_ENV": "production", "DEBUG": "true", **environment}
    return subprocess.run(
        [sys.executable, *command], cwd=REPOSITORY, env=bare, capture_output=True, text=True, timeout=60, check=False
    )


def test_production_refuses_to_start_without_each_of_its_secrets():
    done = run("-c", START_WITHOUT_EACH, SECRETS=json.dumps(SECRETS))
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said.pop("") == "started, DEBUG=False"
    assert set(said) == set(SECRETS)
    for name, text in said.items():
        assert text.startswith(f"{name} must be set"), text


def test_the_deployment_check_is_clean():
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **SECRETS)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_production_starts_no_embedded_server():
    """It says what is missing instead."""
    done = run("manage.py", "check", DJANGO_SECRET_KEY=SECRETS["DJANGO_SECRET_KEY"])
    assert done.returncode != 0
    assert "must be set when DRIVEWAY_ENV=production" in done.stderr
