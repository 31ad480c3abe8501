"""The pages where an owner connects a car's computer and retires one, used as a person would."""

import re
from datetime import timedelta

import pytest
from django.template.loader import render_to_string
from django.test import Client
from django.utils import timezone

from accounts.models import ConsentRecord, Mail, Vehicle
from compute.models import Node, Pairing
from compute.nodes import nodes, pairings
from tests import factories
from tests.marketplace.views.test_pages import text_of

pytestmark = pytest.mark.django_db
VIN = "1M8GDM9AXKP042788"


@pytest.fixture
def alice():
    return factories.make_owner("alice@example.com")


@pytest.fixture
def client(client_of, alice):
    return client_of(alice.user)


@pytest.fixture
def code():
    return pairings.format_code(factories.make_pairing(kind="box", cores=6).code)


def shown_messages(page):
    return [str(message) for message in page.context["messages"]]


# --- the code
# -----------------------------------------------------------------------------------------------------------


def test_typing_the_code_leads_to_what_wants_to_join(client, code):
    typed = code.lower().replace("-", " ")
    page = client.post("/pair/", {"code": typed}, follow=True)
    assert page.redirect_chain == [(f"/pair/{code}", 302)]
    text = text_of(page)
    for words in (code, "CPU x86_64 avx2, onnxruntime 1.31.1", "Computer in a box", "test", "own car's screen"):
        assert words.replace("'", "&#x27;") in text or words in text, words
    assert "no-store" in page["Cache-Control"]


def test_the_first_page_names_the_command(client):
    html = client.get("/pair/").content.decode()
    assert "driveway-agent pair --server http://testserver --state ./agent" in html
    assert 'autocomplete="off"' in html


@pytest.mark.parametrize("wrong", ["", "ABC-DEF-GHJ", "x" * 500, "<script>", "\0"])
def test_a_wrong_code_says_so_and_keeps_what_was_typed(client, wrong):
    page = client.post("/pair/", {"code": wrong})
    assert page.status_code == 404
    assert "This code is not valid" in text_of(page)
    assert 'aria-invalid="true"' in page.content.decode()
    assert "<script>alert" not in page.content.decode()
    if wrong == "ABC-DEF-GHJ":
        assert f'value="{wrong}"' in page.content.decode()
        assert client.get(f"/pair/{wrong}").status_code == 404


def test_too_many_wrong_codes(client, code):
    for letter in nodes.CODE_ALPHABET[:10]:
        assert client.get(f"/pair/ABCDEFGH{letter}").status_code == 404
    for page in (client.get(f"/pair/{code}"), client.post("/pair/", {"code": code}), client.post(f"/pair/{code}")):
        assert page.status_code == 429
        assert "Too many tries" in text_of(page)


def test_a_code_that_ran_out_while_the_page_was_open(client, alice, code):
    vehicle = factories.make_vehicle(alice, consent="")
    Pairing.objects.update(expires_at=timezone.now() - timedelta(hours=1))
    page = client.post(f"/pair/{code}", {"vehicle": str(vehicle.public_id)})
    assert (page.status_code, Node.objects.count()) == (404, 0)


def test_somebody_who_scans_the_code_first_signs_in_and_comes_back(code):
    assert Client().get(f"/pair/{code}")["Location"] == f"/accounts/login/?next=/pair/{code}"


def test_the_page_of_codes_for_scripts_shows_the_other_way(client, alice):
    vehicle = factories.make_vehicle(alice, consent="")
    html = client.get(f"/vehicles/{vehicle.public_id}/enrol").content.decode()
    assert 'href="/pair/"' in html
    assert "driveway-agent pair" in html


# --- the car
# ------------------------------------------------------------------------------------------------------------


def test_only_cars_without_a_computer_are_offered(client, alice, code):
    free, taken = factories.make_vehicle(alice, consent=""), factories.make_car(alice).node.vehicle
    strangers = factories.make_vehicle(consent="")
    html = client.get(f"/pair/{code}").content.decode()
    assert free.label in html
    assert taken.label not in html
    assert strangers.label not in html
    for vehicle in (taken, strangers):
        page = client.post(f"/pair/{code}", {"vehicle": str(vehicle.public_id)})
        assert (page.status_code, Node.objects.filter(vehicle=strangers).count()) == (400, 0)


def test_confirming_leads_to_the_cars_consents_of_which_none_is_given(client, alice, code):
    vehicle = factories.make_vehicle(alice, consent="")
    page = client.post(f"/pair/{code}", {"vehicle": str(vehicle.public_id)}, follow=True)
    assert page.redirect_chain[0][0].startswith("/vehicles/")
    assert str(vehicle.public_id) in page.redirect_chain[0][0]
    (message,) = shown_messages(page)
    assert "stands idle until you allow it" in message
    assert Node.objects.serving(vehicle)
    assert not ConsentRecord.objects.exists()
    again = client.post(f"/pair/{code}", {"vehicle": str(vehicle.public_id)})
    assert (again.status_code, Node.objects.count()) == (302, 1), "a second click"
    assert client.get(f"/pair/{code}").status_code == 404, "the code is dead"


def test_where_consent_is_in_force_the_page_says_that_it_may_begin_at_once(client, alice, code):
    vehicle = factories.make_vehicle(alice)
    assert "may begin at once" in text_of(client.get(f"/pair/{code}"))
    page = client.post(f"/pair/{code}", {"vehicle": str(vehicle.public_id)}, follow=True)
    (message,) = shown_messages(page)
    assert "it may begin now" in message


def test_a_new_car_in_the_same_form(client, alice, code):
    fields = {"vehicle": "new", "label": "Van", "make_model": "Make Model", "vin": VIN.lower()}
    page = client.post(f"/pair/{code}", fields, follow=True)
    assert page.status_code == 200
    vehicle = Vehicle.objects.get()
    assert (vehicle.label, vehicle.make_model, vehicle.owner, vehicle.kind) == ("Van", "Make Model", alice, "box")
    again = client.post(f"/pair/{code}", fields)
    assert (again.status_code, Node.objects.count()) == (302, 1), "a second click"


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"vehicle": "new"}, "This field is required."),
        ({"vehicle": "new", "label": "Van", "vin": "short"}, "at least 17 characters"),
        ({"vehicle": "new", "label": "Van", "vin": "O" * 17}, "A VIN has 17 letters and digits"),
        ({"vehicle": "new", "label": "x" * 99, "vin": VIN}, "at most 60 characters"),
        ({}, "Choose the car"),
        ({"vehicle": "00000000-0000-0000-0000-000000000000"}, "Select a valid choice"),
    ],
)
def test_what_is_wrong_with_the_car_is_said_and_nothing_is_lost(client, alice, code, fields, words):
    factories.make_vehicle(alice, consent="")
    page = client.post(f"/pair/{code}", {"make_model": "Kept", **fields})
    assert page.status_code == 400
    assert words in text_of(page)
    assert 'value="Kept"' in page.content.decode()
    assert not Node.objects.exists()
    assert Vehicle.objects.count() == 1


def test_a_vin_in_use(client, alice, code):
    fields = {"vehicle": "new", "label": "Van", "vin": VIN}
    client.post("/vehicles/add", fields)
    page = client.post(f"/pair/{code}", {**fields})
    assert (page.status_code, "already registered" in text_of(page)) == (400, True)


def test_confirming_needs_the_forms_token(alice, code):
    client = Client(enforce_csrf_checks=True)
    client.force_login(alice.user)
    assert client.post(f"/pair/{code}", {"vehicle": "new", "label": "Van", "vin": VIN}).status_code == 403
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', client.get(f"/pair/{code}").content.decode())
    fields = {"vehicle": "new", "label": "Van", "vin": VIN, "csrfmiddlewaretoken": token.group(1)}
    assert client.post(f"/pair/{code}", fields).status_code == 302


@pytest.mark.parametrize("method", ["pairing", "code"])
def test_the_mail_says_what_came_and_what_to_do_if_it_was_not_you(alice, code, method):
    vehicle = factories.make_vehicle(alice, consent="")
    if method == "pairing":
        pairings.confirm(code=code, owner=alice, vehicle=vehicle, actor=alice.user)
    else:
        text, _ = nodes.create_enrolment_code(vehicle=vehicle, actor=None)
        nodes.enrol(request=factories.enrolment(text, "ab" * 32))
    mail = Mail.objects.get()
    context = {**mail.context, "user": alice.user, "owner": alice, "site_url": "https://driveway.example"}
    subject, body = (render_to_string(f"emails/vehicle-paired-{part}.txt", context) for part in ("subject", "body"))
    assert len(subject.strip().splitlines()) == 1
    assert f"https://driveway.example/vehicles/{vehicle.public_id}/computer" in body
    assert ("code on its screen" in body) == (method == "pairing")


# --- taking a computer out
# ----------------------------------------------------------------------------------------------


def test_the_page_says_what_follows_and_does_it(client, alice):
    car = factories.make_car(alice)
    path = f"/vehicles/{car.node.vehicle.public_id}/computer"
    text = text_of(client.get(path))
    for words in (
        "lost, sold or replaced",
        "kept with its key",
        "without any trust",
        "may begin at once",
        car.node.public_key,
    ):
        assert words in text, words
    page = client.post(path, {"why": "lost"}, follow=True)
    assert page.redirect_chain == [(path, 302)]
    assert "its key no longer works" in shown_messages(page)[0]
    assert "It was lost or stolen" in text_of(page)
    assert "No computer is connected" in text_of(page)
    assert 'href="/pair/"' in page.content.decode()
    assert Node.objects.get().status == "retired"
    assert client.post(path, {"why": "lost"}).status_code == 302, "a second click"


def test_a_form_from_before_the_present_computer_takes_out_nothing(client, alice):
    car = factories.make_car(alice)
    before = str(car.node.public_id)
    nodes.retire(node=car.node, why="lost", actor=None)
    present = factories.make_node(car.node.vehicle).node
    client.post(f"/vehicles/{car.node.vehicle.public_id}/computer", {"why": "lost", "node": before})
    assert Node.objects.get(pk=present.pk).status == "active"


def test_without_a_choice_nothing_happens(client, alice):
    car = factories.make_car(alice)
    page = client.post(f"/vehicles/{car.node.vehicle.public_id}/computer", {"why": "bored"})
    assert page.status_code == 400
    assert "Say what became of the computer" in text_of(page)
    assert Node.objects.get().status == "active"


def test_a_car_with_a_computer_before_and_one_now(client, alice):
    car = factories.make_car(alice, consent="refused")
    vehicle = car.node.vehicle
    nodes.retire(node=car.node, why="replaced", actor=None)
    code = factories.make_pairing().code
    pairings.confirm(code=code, owner=alice, vehicle=vehicle, actor=alice.user)
    text = text_of(client.get(f"/vehicles/{vehicle.public_id}/computer"))
    assert "Connected now" in text
    assert "Earlier computers" in text
    assert "the next computer will not either" in text
    assert client.get("/vehicles/").status_code == 200
    assert "Not connected yet" not in text_of(client.get("/vehicles/"))
