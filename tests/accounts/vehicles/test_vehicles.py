"""Vehicles: the VIN is validated, not stored, and in use at most once."""

import pytest
from django.db import DatabaseError, IntegrityError, transaction
from django.utils import timezone

from accounts.models import AuditEvent, ConsentCurrent, OwnerPolicy, Vehicle
from accounts.vehicles import vehicles
from core.errors import Conflict, InvalidInput
from tests import factories

pytestmark = pytest.mark.django_db
VIN = "1M8GDM9AXKP042788"


@pytest.fixture
def alice():
    return factories.make_owner("alice@example.com")


def add(owner, vin=VIN, **fields):
    values = {"label": " My car ", "make_model": " Test One ", "actor": owner.user, **fields}
    return vehicles.add_vehicle(owner=owner, vin=vin, **values)


def test_a_new_vehicle_has_a_default_policy_and_no_consent(alice):
    vehicle = add(alice)
    assert (vehicle.label, vehicle.make_model, vehicle.kind) == ("My car", "Test One", "simulated")
    policy = OwnerPolicy.objects.get(vehicle=vehicle)
    assert policy.plugged_in_only
    assert policy.network == "wifi"
    assert not ConsentCurrent.objects.filter(vehicle=vehicle).exists()
    assert AuditEvent.objects.get(action="vehicle.add").subject == str(vehicle.public_id)


def test_the_vin_is_kept_as_a_keyed_hash_and_four_characters(alice, settings):
    vehicle = add(alice, vin=VIN.lower())
    row = Vehicle.objects.filter(pk=vehicle.pk).values().get()
    assert all(VIN not in str(value).upper() for value in row.values())
    assert row["vin_last4"] == VIN[-4:]
    assert row["vin_hash"] == vehicles.vin_hash(VIN)
    settings.SECRET_KEY = "another"
    assert row["vin_hash"] != vehicles.vin_hash(VIN)
    assert VIN not in str(list(AuditEvent.objects.values()))


@pytest.mark.parametrize(
    "vin",
    [
        "",
        "SHORT",
        VIN + "1",
        VIN[:-1] + "I",
        VIN[:-1] + "O",
        VIN[:-1] + "q",
        VIN[:-1] + "-",
        "\u0661" * 17,
        VIN[:-1] + "\n",
        VIN + "\n" + VIN,
        "\uff11" * 17,
        "1M8GDM9AXKP04278\u00df",
    ],
)
def test_what_is_no_vin_is_refused(alice, vin):
    with pytest.raises(InvalidInput) as refused:
        add(alice, vin=vin)
    assert refused.value.code == "vin_invalid"
    assert not Vehicle.objects.exists()


@pytest.mark.parametrize("typed", [VIN, VIN.lower(), f"  {VIN}\n"])
def test_a_vin_is_in_use_once_whoever_types_it(alice, typed):
    add(alice)
    with pytest.raises(Conflict) as refused:
        add(factories.make_owner(), vin=typed)
    assert refused.value.code == "vin_in_use"
    assert Vehicle.objects.count() == OwnerPolicy.objects.count() == 1


def test_a_retired_vehicle_frees_its_vin_and_leaves_its_consent_behind(alice):
    sold = add(alice)
    factories.decide(sold, "given")
    with pytest.raises(DatabaseError, match="consents must end"), transaction.atomic():
        Vehicle.objects.filter(pk=sold.pk).update(retired_at=timezone.now())
    factories.decide(sold, "withdrawn")
    Vehicle.objects.filter(pk=sold.pk).update(retired_at=timezone.now())
    bought = add(factories.make_owner())
    assert bought.pk != sold.pk
    assert not bought.consents.exists()
    assert not Vehicle.objects.for_owner(alice).exists()


@pytest.mark.parametrize(
    "values",
    [
        {"charge_stop_percent": 60, "charge_resume_percent": 59},
        {"heat_stop_c": 40, "heat_resume_c": 41},
        {"tariff_micro_per_kwh": -1},
    ],
)
def test_the_database_refuses_a_policy_that_makes_no_sense(alice, values):
    vehicle = add(alice)
    with pytest.raises(IntegrityError), transaction.atomic():
        OwnerPolicy.objects.filter(vehicle=vehicle).update(**values)


# --- the page ---------------------------------------------------------------------------------------------------------


def test_adding_on_the_page_leads_to_the_enrolment_code(alice, client_of):
    page = client_of(alice.user).post("/vehicles/add", {"label": "Family car", "make_model": "", "vin": VIN})
    vehicle = Vehicle.objects.get()
    assert (page.status_code, page["Location"]) == (302, f"/vehicles/{vehicle.public_id}/enrol")
    assert vehicle.owner == alice


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"vin": "1" * 16 + "O"}, "without I, O and Q"),
        ({"vin": "123"}, "at least 17"),
        ({"label": ""}, "required"),
        ({"label": "x" * 61}, "at most 60"),
        ({"make_model": "x" * 81}, "at most 80"),
        ({"label": "a\x00"}, "Null characters"),
    ],
)
def test_a_bad_form_comes_back_with_what_was_typed(alice, client_of, fields, says):
    typed = {"label": "Family car", "make_model": "Test One", "vin": VIN, **fields}
    page = client_of(alice.user).post("/vehicles/add", typed)
    html = page.content.decode()
    assert page.status_code == 400
    assert says in html
    assert not Vehicle.objects.exists()
    assert "Test One" in html or "make_model" in fields


def test_a_vin_in_use_is_said_on_the_page(alice, client_of):
    add(factories.make_owner())
    page = client_of(alice.user).post("/vehicles/add", {"label": "Mine", "make_model": "", "vin": VIN})
    assert page.status_code == 400
    assert "already registered" in page.content.decode()
