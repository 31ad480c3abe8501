"""What protects every page: a policy that forbids inline code, headers, and production's rules."""

import json
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from allauth.account.models import EmailAddress
from django.test import Client
from django.urls import reverse

from marketplace.views import public
from tests import factories
from tests.waiting import PATIENCE_S

pytestmark = pytest.mark.django_db
REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture
def acme():
    return factories.make_organization("acme@example.com", wallet_micro=10_000_000)


@pytest.fixture
def customer(acme, client_of):
    return client_of(acme.memberships.get().user)


class Scanner(HTMLParser):
    """Finds what a strict policy would block: inline code and styles, and anything from other sites."""

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
    """Assert what must hold for every page."""
    assert page.status_code == status
    assert page["Content-Type"].startswith("text/html")
    assert forbidden(page) == []
    policy = dict(part.strip().split(" ", 1) for part in page["Content-Security-Policy"].split(";"))
    assert policy == {
        "default-src": "'self'",
        "img-src": "'self' data:",
        "object-src": "'none'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
    }
    assert page["X-Content-Type-Options"] == "nosniff"
    if status != 400:  # refused before the middleware that sets this header; frame-ancestors forbids the same
        assert page["X-Frame-Options"] == "DENY"
    assert page["Referrer-Policy"] == "same-origin"
    assert page["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "</html>" in page.content.decode()


PUBLIC = [
    "home",
    "consent_notice",
    "api_docs",
    "account_login",
    "account_signup",
    "account_reset_password",
    "account_inactive",
    "account_reset_password_done",
    "account_reset_password_from_key_done",
    "account_email_verification_sent",
]
ACCOUNT = [
    "account_email",
    "account_change_password",
    "account_logout",
    "mfa_index",
    "mfa_activate_totp",
    "mfa_add_webauthn",
]


@pytest.mark.parametrize("name", PUBLIC)
def test_public_pages(name):
    check_page(Client().get(reverse(name, args=["run_jobs", 1] if name == "consent_notice" else [])))


def test_forms_that_come_back_with_errors(cast, client_of):
    check_page(Client().post("/accounts/signup/", {"email": "x"}))
    check_page(Client().post("/accounts/login/", {"login": "x@example.com", "password": "y"}))
    check_page(client_of(cast.alice.user).post("/vehicles/add", {"vin": "x"}), status=400)
    check_page(client_of(cast.acme.memberships.get().user).post("/keys/new", {}), status=400)


def sign_in(user):
    """Sign in through the forms, as a person does.

    Pages of the second factor ask for the password again and for a verified address.
    """
    EmailAddress.objects.create(user=user, email=user.email, verified=True, primary=True)
    client = Client()
    client.post("/accounts/login/", {"login": user.email, "password": factories.PASSWORD})
    client.post("/accounts/reauthenticate/", {"password": factories.PASSWORD})
    return client


@pytest.mark.parametrize("name", ACCOUNT)
def test_pages_of_the_account(cast, name):
    check_page(sign_in(cast.alice.user).get(reverse(name)))


def test_pages_of_an_owner(cast, client_of):
    car, client = factories.make_car(cast.alice), client_of(cast.alice.user)
    vehicle = factories.make_vehicle(cast.alice, consent="refused")
    factories.lease_to(car)
    for page in ("", "/activity", "/enrol", "/consents"):
        check_page(client.get(f"/vehicles/{vehicle.public_id}{page}"))
    for path in ("/vehicles/", "/vehicles/add", "/settings/", f"/vehicles/{car.node.vehicle.public_id}"):
        check_page(client.get(path))
    check_page(
        client.post(
            f"/vehicles/{vehicle.public_id}/consents/run_jobs",
            {"decision": "given", "notice_version": "1"},
            follow=True,
        )
    )


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
        "billing/approval/add/",
        "accounts/auditevent/",
    ]
    check_page(client.get(reverse("access_reason")))
    client.post(reverse("access_reason"), {"category": "Support", "words": "a test of the pages"})
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
    """Check every template of the repository, also those that no test renders."""
    inline = re.compile(r"<style|<script(?![^>]*\bsrc=)|\sstyle=|\son[a-z]+=\"|javascript:", re.IGNORECASE)
    hits = {
        str(path.relative_to(REPOSITORY)): found
        for path in (REPOSITORY / "templates").rglob("*.html")
        if (found := inline.findall(path.read_text()))
    }
    assert hits == {}


# --- production -------------------------------------------------------------------------------------------------------

SECRETS = {
    "DJANGO_SECRET_KEY": "k" * 20 + "0123456789abcdefghijklmnopqrstuvwxyz-ABCDEFG",
    "ALLOWED_HOSTS": "driveway.example",
    "DATABASE_URL": "postgres://driveway@db/driveway",
    "REDIS_URL": "redis://redis/0",
    "RECEIPT_SIGNING_KEY": "22" * 32,
    "STATEMENT_SIGNING_KEY": "33" * 32,
    "OCMF_SIGNING_KEY": "44" * 32,
    "CONTROLLER_NAME": "Driveway Ltd",
    "CONTROLLER_ADDRESS": "1 Road, City",
    "CONTROLLER_CONTACT": "privacy@driveway.example",
    "CONTROLLER_URL": "https://driveway.example",
    "CONTROLLER_COUNTRY": "IE",
    "AUTHORITY_NAME": "Authority",
    "AUTHORITY_ADDRESS": "2 Road, City",
    "AUTHORITY_CONTACT": "help@authority.example",
    "AUTHORITY_URL": "https://authority.example",
}
START_WITHOUT_EACH = """
import json, os, runpy
import environ
environ.Env.read_env = classmethod(lambda *a, **k: None)  # a developer's .env must not help
from django.core.exceptions import ImproperlyConfigured
secrets, outcomes = json.loads(os.environ.pop("SECRETS")), {}
for missing in ["", *secrets]:
    for empty in (False, True):
        os.environ.update(secrets)
        if missing:
            os.environ.update({missing: ""}) if empty else os.environ.pop(missing)
        try:
            settings = runpy.run_path("marketplace/settings.py")
            outcomes[missing] = f"started, DEBUG={settings['DEBUG']}"
        except ImproperlyConfigured as error:
            outcomes[missing] = str(error)
print(json.dumps(outcomes))
"""


def run(*command, **environment):
    bare = {"PATH": os.environ["PATH"], "DRIVEWAY_ENV": "production", "DEBUG": "true", **environment}
    return subprocess.run(
        [sys.executable, *command],
        cwd=REPOSITORY,
        env=bare,
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE_S,
        check=False,
    )


def test_production_refuses_to_start_without_each_of_its_secrets():
    done = run("-c", START_WITHOUT_EACH, SECRETS=json.dumps(SECRETS))
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert outcomes.pop("") == "started, DEBUG=False"
    assert set(outcomes) == set(SECRETS)
    for name, text in outcomes.items():
        assert text.startswith(f"{name} must be set"), text


def test_the_deployment_check_is_clean():
    done = run("manage.py", "check", "--deploy", "--fail-level", "WARNING", **SECRETS)
    assert done.returncode == 0, done.stderr
    assert "no issues" in done.stdout


def test_production_starts_no_embedded_server():
    """The error says what is missing."""
    done = run("manage.py", "check", DJANGO_SECRET_KEY=SECRETS["DJANGO_SECRET_KEY"])
    assert done.returncode != 0
    assert "must be set when DRIVEWAY_ENV=production" in done.stderr
