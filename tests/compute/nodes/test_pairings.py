"""Pairing: a code for a key, confirmed by one owner, once; guesses are counted."""

from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.utils import timezone

from accounts.models import AuditEvent, ConsentRecord, Mail, Vehicle
from compute.models import EnrolmentCode, Node, NodePresence, Pairing
from compute.nodes import nodes, pairings
from core.errors import DomainError
from marketplace.privacy import retention
from tests import factories
from tests.threads import in_threads

pytestmark = pytest.mark.django_db
VIN = "1M8GDM9AXKP042788"


@pytest.fixture
def key():
    return Ed25519PrivateKey.generate()


@pytest.fixture
def alice():
    return factories.make_owner("alice@example.com")


@pytest.fixture
def vehicle(alice):
    return factories.make_vehicle(alice, consent="")


def public(key):
    return key.public_key().public_bytes_raw().hex()


def start(key, **hardware):
    request = factories.pairing_request(public(key), **hardware)
    return pairings.start(request=request, address="127.0.0.1")


def confirm(code, vehicle, owner=None):
    owner = owner or vehicle.owner
    return pairings.confirm(code=code, owner=owner, vehicle=vehicle, actor=owner.user)


def refusal(ask):
    with pytest.raises(DomainError) as caught:
        ask()
    return caught.value.status, caught.value.code


def run_out():
    Pairing.objects.update(expires_at=timezone.now() - timedelta(hours=1))


# --- the code
# -----------------------------------------------------------------------------------------------------------


def test_an_agent_that_asks_again_is_given_the_code_on_its_screen(key):
    first, again = start(key), start(key)
    assert first == again
    assert Pairing.objects.count() == 1
    left = first.expires_at - timezone.now()
    assert timedelta(minutes=14) < left <= timedelta(minutes=15)


def test_no_table_holds_the_code_nor_a_hash_that_trying_all_codes_would_turn_back(key, settings):
    code = start(key).code
    (row,) = Pairing.objects.values()
    assert code not in str(row)
    settings.SECRET_KEY = "another"
    assert pairings._keyed_hash(code) != row["code_sha256"]
    assert pairings._code(row["public_key"], row["expires_at"]) != code


def test_under_another_secret_a_fresh_code_is_made(key, settings):
    before = start(key).code
    settings.SECRET_KEY = "another"
    after = start(key).code
    assert before != after
    assert pairings.find(code=after, user=factories.make_user())


def test_a_code_that_ran_out_is_dead_and_a_fresh_one_takes_its_place(key, alice):
    before = start(key).code
    run_out()
    assert refusal(lambda: pairings.find(code=before, user=alice.user)) == (404, "code_invalid")
    after = start(key).code
    assert before != after
    assert refusal(lambda: pairings.find(code=before, user=alice.user)) == (404, "code_invalid")
    assert pairings.find(code=after, user=alice.user).code == pairings.format_code(after)


def test_codes_have_forty_bits_and_are_easy_to_read():
    codes = {factories.make_pairing().code for _ in range(20)}
    assert len(codes) == 20
    assert all(len(code) == 9 and set(code) <= set(nodes.CODE_ALPHABET) for code in codes)
    assert len(nodes.CODE_ALPHABET) ** 9 > 2**40


@pytest.mark.parametrize(
    "typed",
    [
        str.lower,
        pairings.format_code,
        lambda c: f" {c[:3]} {c[3:6]}\u2013{c[6:]}\n",
        lambda c: pairings.format_code(c).replace("-", " - "),
    ],
    ids=["lower case", "dashes", "spaces and another dash", "both"],
)
def test_a_code_may_be_typed_carelessly(alice, typed):
    code = factories.make_pairing().code
    assert pairings.find(code=typed(code), user=alice.user).code == pairings.format_code(code)


def test_an_owner_is_shown_what_the_computer_was_when_its_code_was_made(key, alice):
    code = start(key, cores=8, kind="box").code
    start(key, cores=1, kind="oem")
    found = pairings.find(code=code, user=alice.user)
    assert (found.hardware.cores, found.hardware.kind, found.agent_version) == (8, "box", "test")
    assert found.hardware_title == "CPU x86_64 avx2, onnxruntime 1.31.1"


@pytest.mark.parametrize("wrong", [{"machine": "x\0"}, {"cores": 0}, {"cores": 2**20}, {"layers": ("a b",)}], ids=str)
def test_absurd_hardware_is_refused(key, wrong):
    assert refusal(lambda: start(key, **wrong)) == (400, "malformed")


# --- confirming
# ---------------------------------------------------------------------------------------------------------


def test_confirming_makes_the_node_and_gives_no_consent(key, vehicle):
    code = start(key, kind="box").code
    node = confirm(code, vehicle)
    assert (node.vehicle, node.public_key, node.valid_streak, node.status) == (vehicle, public(key), 0, "active")
    assert node.cost_micro_per_hour != 0 or Node.objects.get().cost_micro_per_hour > 0
    assert NodePresence.objects.filter(node=node).exists()
    assert Pairing.objects.get().node == node
    vehicle.refresh_from_db()
    assert vehicle.kind == "box"
    assert not ConsentRecord.objects.exists()
    (event,) = AuditEvent.objects.filter(action="node.enrol")
    assert (event.actor, event.details["method"]) == (vehicle.owner.user, "pairing")
    assert start(key) == node, "and the agent learns of it when it asks again"


def test_the_owner_is_written_to_however_the_computer_came(key, vehicle):
    confirm(start(key).code, vehicle)
    factories.make_car(vehicle.owner)
    mails = list(Mail.objects.filter(kind="vehicle-paired", user=vehicle.owner.user).order_by("id"))
    assert [mail.context["method"] for mail in mails] == ["pairing", "code"]
    assert mails[0].context["vehicle"] == str(vehicle.public_id)
    assert vehicle.label not in str(mails[0].context)


def test_a_car_may_be_added_as_its_computer_is_confirmed(key, alice):
    new = pairings.NewVehicle(label="Van", make_model="", vin=VIN)
    node = confirm(start(key).code, new, alice)
    assert (node.vehicle.label, node.vehicle.owner, node.vehicle.vin_last4) == ("Van", alice, "2788")


def test_a_vin_that_is_wrong_leaves_the_code_alive_and_no_car(key, alice):
    code = start(key).code
    new = pairings.NewVehicle(label="Van", make_model="", vin="O" * 17)
    assert refusal(lambda: confirm(code, new, alice)) == (400, "vin_invalid")
    assert not Vehicle.objects.exists()
    assert pairings.find(code=code, user=alice.user)


def test_a_second_click_returns_the_same_node(key, alice):
    code, new = start(key).code, pairings.NewVehicle(label="Van", make_model="", vin=VIN)
    assert confirm(code, new, alice) == confirm(code, new, alice)
    assert Node.objects.count() == Vehicle.objects.count() == 1


def test_once_confirmed_a_code_is_dead_for_everybody_else(key, vehicle):
    code, bob = start(key).code, factories.make_owner()
    confirm(code, vehicle)
    assert refusal(lambda: confirm(code, factories.make_vehicle(bob, consent=""))) == (404, "code_invalid")
    for user in (bob.user, vehicle.owner.user):
        assert refusal(lambda user=user: pairings.find(code=code, user=user)) == (404, "code_invalid")
    assert Node.objects.count() == 1


def test_another_owners_vehicle_is_not_found(key, vehicle):
    bob = factories.make_owner()
    assert refusal(lambda: confirm(start(key).code, vehicle, bob)) == (404, "not_found")
    assert not Node.objects.exists()


def test_a_vehicle_with_a_computer_takes_no_second_one(key, alice):
    car = factories.make_car(alice)
    assert refusal(lambda: confirm(start(key).code, car.node.vehicle)) == (409, "already_enrolled")


def test_a_vehicle_that_was_sold_takes_none(key, vehicle):
    code = start(key).code
    Vehicle.objects.update(retired_at=timezone.now())
    assert refusal(lambda: confirm(code, vehicle)) == (409, "vehicle_retired")


def test_a_key_that_was_enrolled_by_a_code_is_answered_with_its_node():
    car = factories.make_car()
    assert start(car.key) == car.node


def test_a_retired_key_stays_dead(key, vehicle):
    node = confirm(start(key).code, vehicle)
    nodes.retire(node=node, why="lost", actor=None)
    assert refusal(lambda: start(key)) == (409, "key_in_use")
    code, _ = nodes.create_enrolment_code(vehicle=vehicle, actor=None)
    assert refusal(lambda: nodes.enrol(request=factories.enrolment(code, public(key)))) == (409, "key_in_use")
    other = Ed25519PrivateKey.generate()
    assert confirm(start(other).code, vehicle).valid_streak == 0
    assert EnrolmentCode.objects.filter(used_at=None).exists()


@pytest.mark.django_db(transaction=True)
def test_of_two_owners_with_one_code_one_gets_the_computer_and_of_two_computers_one_gets_the_car(key):
    cars = [factories.make_vehicle(consent="") for _ in range(2)]
    code = start(key).code
    results = in_threads(*[lambda car=car: confirm(code, car) for car in cars])
    assert sum(isinstance(r, Node) for r in results) == 1
    assert [r.code for r in results if isinstance(r, DomainError)] == ["code_invalid"], results
    free = next(car for car in cars if not Node.objects.filter(vehicle=car).exists())
    codes = [factories.make_pairing().code for _ in range(2)]
    results = in_threads(*[lambda code=code: confirm(code, free) for code in codes])
    assert sum(isinstance(r, Node) for r in results) == 1
    assert [r.code for r in results if isinstance(r, DomainError)] == ["already_enrolled"], results


@pytest.mark.django_db(transaction=True)
def test_an_agent_that_asks_twice_at_once_is_given_one_code(key):
    first, second = in_threads(lambda: start(key), lambda: start(key))
    assert first == second, (first, second)


# --- guessing, flooding, forgetting
# -------------------------------------------------------------------------------------


def test_ten_wrong_guesses_close_the_door_to_the_right_one_too(alice):
    code = factories.make_pairing().code
    for number in range(10):
        guess = "ABCDEFGH" + nodes.CODE_ALPHABET[number]
        assert refusal(lambda guess=guess: pairings.find(code=guess, user=alice.user)) == (404, "code_invalid")
    assert refusal(lambda: pairings.find(code=code, user=alice.user)) == (429, "too_many_tries")
    vehicle = factories.make_vehicle(alice, consent="")
    assert refusal(lambda: confirm(code, vehicle)) == (429, "too_many_tries")
    assert pairings.find(code=code, user=factories.make_user()), "for others it stays open"


def test_right_codes_and_words_that_are_no_codes_are_not_counted(alice):
    code = factories.make_pairing().code
    for _ in range(12):
        assert refusal(lambda: pairings.find(code="ABC-DEF", user=alice.user)) == (404, "code_invalid")
        assert pairings.find(code=code, user=alice.user)


def test_without_redis_nobody_guesses(alice, settings):
    code = factories.make_pairing().code
    settings.CACHES = {"default": {**settings.CACHES["default"], "LOCATION": "redis://127.0.0.1:1/0"}}
    assert refusal(lambda: pairings.find(code=code, user=alice.user)) == (503, "try_again")
    assert refusal(lambda: factories.make_pairing()) == (503, "try_again")


def test_one_address_brings_no_more_than_thirty_keys_an_hour_but_those_it_brought_may_ask_on(monkeypatch, key):
    monkeypatch.setattr(pairings, "NEWCOMERS", 2)
    start(key)
    factories.make_pairing()
    assert refusal(factories.make_pairing) == (429, "too_many_tries")
    assert start(key)


def forgotten():
    """Return how many pairings the daily retention deleted."""
    return next(line.deleted for line in retention.run() if line.rule.table == "compute_pairing")


def test_pairings_are_forgotten_a_day_after_their_end(key, vehicle):
    confirm(start(key).code, vehicle)
    waiting = factories.make_pairing()
    assert forgotten() == 0
    Pairing.objects.update(expires_at=timezone.now() - timedelta(hours=25))
    assert [forgotten(), forgotten()] == [2, 0]
    assert Node.objects.count() == 1
    assert waiting.code
