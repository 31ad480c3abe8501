"""An owner's settings: which values are valid, what a change causes, and the defaults of a new owner."""

import re

import pytest
from django.test import Client

from accounts.mails.kinds import OFF_BY_DEFAULT, SETTABLE
from accounts.models import AuditEvent, Owner, OwnerPolicy, User
from accounts.owners import owners
from core.errors import InvalidInput
from tests import factories
from tests.marketplace.views.test_pages import text_of

pytestmark = pytest.mark.django_db
FORM = {"name": "Alice", "country": "DE", "locale": "de-DE", "time_zone": "Europe/Berlin", "mails": ["vehicle-away"]}


@pytest.fixture
def alice():
    return factories.make_owner("alice@example.com")


def save(owner, **fields):
    values = {"name": "Alice", "country": "DE", "time_zone": "Europe/Berlin", "locale_name": "de-DE", "mails_off": []}
    return owners.update_settings(owner=owner, actor=owner.user, **values | fields)


def test_settings_are_saved_once_and_the_trail_holds_no_value(alice):
    for _ in range(2):
        owner = save(alice, mails_off=["rules-changed"])
    assert (owner.country, owner.time_zone, owner.locale) == ("DE", "Europe/Berlin", "de-DE")
    assert owner.mails_off == ["rules-changed"]
    event = AuditEvent.objects.get(action="owner.settings")
    assert "Berlin" not in str(event.details)
    save(alice, name="Alicia")
    assert User.objects.get(pk=alice.user_id).name == "Alicia"


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"name": " "}, "name_invalid"),
        ({"name": "x" * 121}, "name_invalid"),
        ({"country": "XX"}, "country_invalid"),
        ({"time_zone": "Mars/Base"}, "time_zone_invalid"),
        ({"time_zone": "../../etc/passwd"}, "time_zone_invalid"),
        ({"locale_name": "tlh"}, "locale_invalid"),
        ({"mails_off": ["export-ready"]}, "mail_kind_invalid"),
    ],
)
def test_what_is_no_choice_is_refused_and_changes_nothing(alice, fields, code):
    before = Owner.objects.filter(pk=alice.pk).values().get()
    with pytest.raises(InvalidInput) as refused:
        save(alice, **fields)
    assert refused.value.code == code
    assert Owner.objects.filter(pk=alice.pk).values().get() == before


def test_cars_that_follow_the_owners_zone_get_their_rules_again(alice):
    follows, own = factories.make_vehicle(alice), factories.make_vehicle(alice)
    OwnerPolicy.objects.filter(vehicle=own).update(time_zone="Asia/Tokyo")
    save(alice)
    save(alice, name="Another")
    versions = [OwnerPolicy.objects.get(vehicle=vehicle).version for vehicle in (follows, own)]
    assert versions == [2, 1]


# --- the page ---------------------------------------------------------------------------------------------------------


def test_the_page_saves_and_writes_as_chosen(alice, client_of):
    client = client_of(alice.user)
    page = client.post("/settings/", FORM, follow=True)
    text = text_of(page)
    assert page.redirect_chain == [("/settings/", 302)]
    assert "Saved." in text
    assert "1.234,57 $" in text
    assert re.search(r"\d\d\.\d\d\.\d{4}, \d\d:\d\d MES?Z", text)
    alice.refresh_from_db()
    assert set(alice.mails_off) == set(SETTABLE) - {"vehicle-away"}
    assert 'value="vehicle-away" id="id_mails_0" checked' in page.content.decode()


def test_a_bad_form_comes_back_with_what_was_typed(alice, client_of):
    page = client_of(alice.user).post("/settings/", {**FORM, "time_zone": "Mars/Base", "name": "Typed"})
    assert page.status_code == 400
    assert 'value="Typed"' in page.content.decode()
    assert "Mars/Base is not one of the available choices" in page.content.decode()


def test_the_locale_holds_on_every_page_of_its_owner_and_for_nobody_else(alice, client_of):
    factories.make_car(alice).sync()
    save(alice)
    vehicle = alice.vehicles.get()
    assert "0,00 $" in text_of(client_of(alice.user).get("/vehicles/"))
    for page in ("", "/consents"):
        assert re.search(
            r"\d\d\.\d\d\.\d{4}", text_of(client_of(alice.user).get(f"/vehicles/{vehicle.public_id}{page}"))
        )
    customer = factories.make_organization("acme@example.com", wallet_micro=1_000_000)
    assert "$1.00" in text_of(client_of(customer.memberships.get().user).get("/jobs/"))


# --- a new owner ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("de-DE,de;q=0.9,en;q=0.8", ("de-DE", "Europe/Berlin")),
        ("fr", ("fr-FR", "Europe/Paris")),
        ("en-GB,en;q=0.9", ("en-GB", "Europe/London")),
        ("en-US,en;q=0.9", ("en-US", "UTC")),
        ("en", ("en-US", "UTC")),
        ("es-AR,es;q=0.9", ("es-ES", "UTC")),
        ("xx,nl-BE;q=0.5", ("nl-BE", "Europe/Brussels")),
        ("sv", ("sv-SE", "Europe/Stockholm")),
        ("", ("en-US", "UTC")),
        ("*", ("en-US", "UTC")),
        ("\x00,,;;q=x" * 500, ("en-US", "UTC")),
    ],
)
def test_the_browsers_languages_give_a_first_guess(header, expected):
    assert owners.guess_locale(header) == expected


def test_signing_up_takes_the_guess_and_leaves_optional_mails_as_they_begin():
    form = {
        "email": "new@example.com",
        "password1": "correct horse battery",
        "password2": "correct horse battery",
        "role": "owner",
        "name": "New",
    }
    Client(headers={"Accept-Language": "de-DE,de;q=0.9"}).post("/accounts/signup/", form)
    owner = Owner.objects.get()
    assert (owner.locale, owner.time_zone, owner.country) == ("de-DE", "Europe/Berlin", "US")
    assert owner.mails_off == OFF_BY_DEFAULT
