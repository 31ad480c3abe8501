"""The page that shows an enrolment code, and what the code then does."""

import re
from datetime import timedelta

import pytest
from django.test import Client
from django.utils import timezone

from accounts.models import Vehicle
from compute.models import EnrolmentCode, Node
from compute.nodes import nodes
from core.errors import DomainError
from tests import factories
from tests.accounts.vehicles.test_vehicles import VIN

pytestmark = pytest.mark.django_db
CODE = re.compile(r"\b[2-9A-HJKMNP-Z]{4}-[2-9A-HJKMNP-Z]{4}-[2-9A-HJKMNP-Z]{4}\b")


@pytest.fixture
def alice():
    return factories.make_owner("alice@example.com")


@pytest.fixture
def vehicle(alice):
    return factories.make_vehicle(alice, consent="")


@pytest.fixture
def page(client_of, alice, vehicle):
    return client_of(alice.user).get(f"/vehicles/{vehicle.public_id}/enrol")


def test_the_page_shows_a_code_and_the_command(page, vehicle):
    html = page.content.decode()
    (code,) = {page.context["code"]}
    assert CODE.fullmatch(code)
    assert html.count(code) == 2  # once alone, and once in the command
    assert f"driveway-agent enrol --server http://testserver --code {code}" in html
    assert "no-store" in page["Cache-Control"]
    row = EnrolmentCode.objects.get()
    assert row.vehicle == vehicle
    assert timedelta(minutes=29) < row.expires_at - timezone.now() <= timedelta(minutes=30)


def test_only_a_hash_of_the_code_is_stored(page):
    values = str(EnrolmentCode.objects.values().get())
    assert page.context["code"] not in values
    assert page.context["code"].replace("-", "") not in values


def test_each_visit_gives_another_code(client_of, alice, vehicle, page):
    again = client_of(alice.user).get(f"/vehicles/{vehicle.public_id}/enrol")
    assert again.context["code"] != page.context["code"]


def test_the_code_enrols_this_vehicle_and_then_the_page_leads_back(client_of, alice, vehicle, page):
    node = enrol(page.context["code"])
    assert node.vehicle == vehicle
    again = client_of(alice.user).get(f"/vehicles/{vehicle.public_id}/enrol")
    assert (again.status_code, again["Location"]) == (302, f"/vehicles/{vehicle.public_id}")
    assert EnrolmentCode.objects.count() == 1


@pytest.mark.parametrize("change", [str.lower, lambda code: f" {code}\n"])
def test_a_code_typed_carelessly_is_still_a_code(page, vehicle, change):
    assert enrol(change(page.context["code"])).vehicle == vehicle


def test_a_code_works_for_half_an_hour(page):
    EnrolmentCode.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    assert refusal(page.context["code"]) == "code_invalid"
    assert not Node.objects.exists()


def test_a_code_works_once(page):
    code = page.context["code"]
    enrol(code, key="aa" * 32)
    assert enrol(code, key="aa" * 32) == Node.objects.get()  # the same agent asks again: the answer was lost
    assert refusal(code, key="bb" * 32) == "already_enrolled"
    assert Node.objects.count() == 1


def test_one_key_is_one_node(client_of, alice, page):
    enrol(page.context["code"], key="aa" * 32)
    second = factories.make_vehicle(alice, consent="")
    code = client_of(alice.user).get(f"/vehicles/{second.public_id}/enrol").context["code"]
    assert refusal(code, key="aa" * 32) == "key_in_use"


def test_the_code_of_a_retired_vehicle_is_worth_nothing(page, vehicle):
    Vehicle.objects.filter(pk=vehicle.pk).update(retired_at=timezone.now())
    assert refusal(page.context["code"]) == "code_invalid"


def test_a_retired_vehicle_has_no_page(client_of, alice, vehicle):
    Vehicle.objects.filter(pk=vehicle.pk).update(retired_at=timezone.now())
    assert client_of(alice.user).get(f"/vehicles/{vehicle.public_id}/enrol").status_code == 404


def test_from_adding_a_car_to_the_code_as_a_person_does_it(alice):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice.user)
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get("/vehicles/add").content.decode())
    fields = {"label": "Family car", "make_model": "", "vin": VIN}
    assert client.post("/vehicles/add", fields).status_code == 403
    page = client.post("/vehicles/add", {**fields, "csrfmiddlewaretoken": token.group(1)}, follow=True)
    assert CODE.search(page.content.decode())
    assert Vehicle.objects.get().owner == alice


def enrol(code, key="ab" * 32):
    return nodes.enrol(request=factories.enrolment(code, key))


def refusal(code, key="ab" * 32):
    with pytest.raises(DomainError) as refused:
        enrol(code, key)
    return refused.value.code
