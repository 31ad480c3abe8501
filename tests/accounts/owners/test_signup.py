"""Signing up and signing in with allauth: one user for an address, in upper or lower case, with one role."""

import pytest
from django.contrib.auth import get_user
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.models import Membership, Operator, Organization, Owner, User
from accounts.owners import registration
from tests import factories

pytestmark = pytest.mark.django_db
PASSWORD = "correct horse battery"


def sign_up(client=None, **fields):
    values = {
        "email": "new@example.com",
        "password1": PASSWORD,
        "password2": PASSWORD,
        "role": "owner",
        "name": "New Person",
        **fields,
    }
    return (client or Client()).post("/accounts/signup/", values)


def sign_in(email, password=PASSWORD):
    client = Client()
    client.post("/accounts/login/", {"login": email, "password": password})
    return get_user(client)


def test_an_owner_signs_up_and_sees_the_vehicles_page():
    client = Client()
    answer = sign_up(client, role="owner")
    assert (answer.status_code, answer["Location"]) == (302, "/dashboard/")
    assert client.get("/dashboard/")["Location"] == "/vehicles/"
    owner = Owner.objects.get()
    assert (owner.name, owner.user.name, owner.user.email) == ("New Person", "New Person", "new@example.com")
    assert not Membership.objects.exists()
    assert not owner.consent_records.exists()


def test_an_organization_signs_up_and_sees_the_jobs_page():
    client = Client()
    sign_up(client, role="organization", name="Acme Research")
    assert client.get("/dashboard/")["Location"] == "/jobs/"
    membership = Membership.objects.get()
    assert (membership.role, membership.organization.name) == ("admin", "Acme Research")
    assert not Owner.objects.exists()


@pytest.mark.parametrize(
    "fields",
    [
        {"role": "operator"},
        {"role": ""},
        {"name": ""},
        {"name": "x" * 121},
        {"name": "a\x00b"},
        {"email": "no"},
        {"password1": "short", "password2": "short"},
        {"password2": "other horse battery"},
        {"password1": "1234567890123", "password2": "1234567890123"},
    ],
)
def test_a_bad_form_makes_nobody(fields):
    answer = sign_up(**fields)
    assert answer.status_code == 200
    assert answer.context["form"].errors
    assert not User.objects.exists()


def test_extra_fields_do_not_make_staff():
    sign_up(is_staff="on", is_superuser="on")
    user = User.objects.get()
    assert not user.is_staff
    assert not user.is_superuser
    assert not Operator.objects.exists()


@pytest.mark.parametrize("email", ["NEW@example.com", "New@Example.COM"])
def test_an_address_is_kept_in_lower_case_and_taken_once(email):
    sign_up(email=email)
    assert User.objects.get().email == "new@example.com"
    sign_up(email="nEw@example.com")
    assert User.objects.count() == 1


@pytest.mark.parametrize("typed", ["new@example.com", "NEW@EXAMPLE.COM"])
def test_signing_in_takes_the_address_in_any_case(typed):
    sign_up()
    assert sign_in(typed).email == "new@example.com"
    assert not sign_in(typed, "wrong horse battery").is_authenticated


def test_the_database_itself_refuses_an_address_in_another_case():
    factories.make_user("ann@example.com")
    with pytest.raises(IntegrityError), transaction.atomic():
        User.objects.create(email="Ann@example.com")


def test_the_manager_lower_cases():
    assert factories.make_user("Ann@Example.COM").email == "ann@example.com"


def test_a_deactivated_person_cannot_sign_in():
    sign_up()
    User.objects.update(is_active=False)
    assert not sign_in("new@example.com").is_authenticated


def test_signing_out_needs_a_post():
    client = Client()
    sign_up(client)
    client.get("/accounts/logout/")
    assert get_user(client).is_authenticated
    client.post("/accounts/logout/")
    assert not get_user(client).is_authenticated


def test_signing_up_needs_the_csrf_token():
    assert sign_up(Client(enforce_csrf_checks=True)).status_code == 403


@pytest.mark.parametrize("next_url", ["https://evil.example/", "//evil.example/", "javascript:alert(1)"])
def test_signing_in_leads_nowhere_else(next_url):
    sign_up()
    answer = Client().post("/accounts/login/", {"login": "new@example.com", "password": PASSWORD, "next": next_url})
    assert answer["Location"] == "/dashboard/"


def test_guessing_passwords_is_slowed_down(settings):
    sign_up()
    answers = [
        Client().post("/accounts/login/", {"login": "new@example.com", "password": f"guess {n} guess"})
        for n in range(12)
    ]
    assert not sign_in("new@example.com").is_authenticated
    assert {answer.status_code for answer in answers} <= {200, 429}


def test_registering_twice_returns_the_first():
    user = factories.make_user()
    first = registration.register_owner(user=user, name="A")
    assert registration.register_owner(user=user, name="B") == first
    organization = registration.register_organization(user=user, name="C")
    assert registration.register_organization(user=user, name="D") == organization
    assert Organization.objects.count() == 1


@pytest.mark.parametrize(("role", "superuser"), [("admin", True), ("support", False), ("finance", False)])
def test_only_an_admin_operator_may_everything(role, superuser):
    user = factories.make_user()
    operator = registration.register_operator(user=user, role=role)
    user.refresh_from_db()
    assert (operator.role, user.is_staff, user.is_superuser) == (role, True, superuser)
