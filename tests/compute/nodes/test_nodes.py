"""Nodes: enrolled once with their own key, classified, priced, and given credentials only with consent."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.utils import timezone

from accounts.models import OwnerPolicy
from compute import protocol
from compute.models import EnrolmentCode, HardwareClass, Node, NodePresence
from compute.nodes import nodes
from core.errors import Conflict, ConsentRequired, DomainError, InvalidInput
from core.states import transition
from tests import factories
from tests.compute.helpers import execute
from tests.threads import in_threads

pytestmark = pytest.mark.django_db
HARDWARE = factories.HARDWARE


def new_key() -> str:
    return Ed25519PrivateKey.generate().public_key().public_bytes_raw().hex()


def enrol(code: str, key: str = "", hardware: protocol.Hardware = HARDWARE) -> Node:
    request = protocol.Enrolment(code=code, public_key=key or new_key(), hardware=hardware, agent_version="1")
    return nodes.enrol(request=request)


def code_for(vehicle: Any) -> str:
    return nodes.create_enrolment_code(vehicle=vehicle, actor=vehicle.owner.user)[0]


def refusal(ask: Any) -> tuple[type, str]:
    with pytest.raises(DomainError) as caught:
        ask()
    return type(caught.value), caught.value.code


def test_a_code_enrols_one_agent():
    vehicle = factories.make_vehicle()
    code, key = code_for(vehicle), new_key()
    node = enrol(f"  {code.lower()} ", key)
    assert (node.vehicle, node.public_key, node.status) == (vehicle, key, "active")
    assert NodePresence.objects.get(node=node).available is False
    row = EnrolmentCode.objects.get()
    assert row.used_at is not None
    assert code not in row.code_sha256
    assert refusal(lambda: enrol(code)) == (Conflict, "already_enrolled")


def test_the_same_key_again_gives_the_same_node():
    code, key = code_for(factories.make_vehicle()), new_key()
    assert enrol(code, key) == enrol(code, key)
    EnrolmentCode.objects.update(expires_at=timezone.now() - timedelta(days=1))
    enrol(code, key)
    assert Node.objects.count() == 1


@pytest.mark.parametrize("code", ["", "AAAA-BBBB-CCCC", "' OR 1=1", "\0" * 3])
def test_a_code_that_was_never_given_is_refused(code):
    code_for(factories.make_vehicle())
    assert refusal(lambda: enrol(code)) == (InvalidInput, "code_invalid")


def test_a_code_is_good_for_half_an_hour():
    code = code_for(factories.make_vehicle())
    left = EnrolmentCode.objects.get().expires_at - timezone.now()
    assert timedelta(minutes=29) < left <= timedelta(minutes=30)
    EnrolmentCode.objects.update(expires_at=timezone.now())
    assert refusal(lambda: enrol(code)) == (InvalidInput, "code_invalid")
    assert not Node.objects.exists()


def test_codes_are_hard_to_guess_and_easy_to_read():
    codes = {code_for(factories.make_vehicle()) for _ in range(20)}
    assert len(codes) == 20
    assert all(len(code) == 14 and set(code) - {"-"} <= set(nodes.CODE_ALPHABET) for code in codes)
    assert not set("01ILO") & set(nodes.CODE_ALPHABET)


def test_a_retired_vehicles_code_is_void():
    vehicle = factories.make_vehicle(consent="")
    code = code_for(vehicle)
    execute("UPDATE accounts_vehicle SET retired_at = now()")
    assert refusal(lambda: enrol(code)) == (InvalidInput, "code_invalid")


def test_a_key_belongs_to_one_node():
    key = factories.make_car().node.public_key
    code = code_for(factories.make_vehicle())
    assert refusal(lambda: enrol(code, key)) == (Conflict, "key_in_use")
    assert enrol(code).vehicle_id, "the code is still good"


def test_a_vehicle_with_an_agent_gets_no_code():
    car = factories.make_car()
    assert refusal(lambda: code_for(car.node.vehicle)) == (Conflict, "already_enrolled")


@pytest.mark.django_db(transaction=True)
def test_of_two_agents_with_one_code_one_enrols():
    code = code_for(factories.make_vehicle())
    results = in_threads(*[lambda: enrol(code)] * 3)
    assert sum(isinstance(r, Node) for r in results) == 1
    assert all(isinstance(r, Node) or r.code in {"already_enrolled", "code_invalid"} for r in results), results


# Classes


def test_a_class_is_what_makes_results_comparable():
    one = nodes.hardware_class(HARDWARE)
    same = msgspec.structs.replace(HARDWARE, cores=64, memory_bytes=1, layers=("seccomp",), kind="box")
    assert nodes.hardware_class(same) == one
    assert one.slug == "cpu-x86_64-avx2-ort1.31.1"
    for other in (
        {"machine": "aarch64"},
        {"isa": "avx512"},
        {"provider": "CUDAExecutionProvider"},
        {"onnxruntime": "1.32.0"},
    ):
        assert nodes.hardware_class(msgspec.structs.replace(HARDWARE, **other)) != one
    assert nodes.hardware_class(msgspec.structs.replace(HARDWARE, onnxruntime="1.31.1.post1")) == one


def test_long_names_fit():
    wild = msgspec.structs.replace(HARDWARE, machine="m" * 300, isa="i" * 300, provider="p" * 300, onnxruntime="1" * 99)
    assert len(nodes.hardware_class(wild).slug) == 80


def test_a_changed_class_begins_its_trust_anew_and_has_its_own_price():
    car = factories.make_car()
    Node.objects.update(valid_streak=50)
    car.sync(hardware=msgspec.structs.replace(HARDWARE, cores=3), agent_version="2")
    car.node.refresh_from_db()
    assert (car.node.valid_streak, car.node.cores, car.node.agent_version) == (50, 3, "2")
    other = nodes.hardware_class(msgspec.structs.replace(HARDWARE, isa="avx512"))
    HardwareClass.objects.filter(pk=other.pk).update(power_mw=60_000)
    before = car.node.cost_micro_per_hour
    car.sync(hardware=msgspec.structs.replace(HARDWARE, isa="avx512"))
    car.node.refresh_from_db()
    assert (car.node.valid_streak, car.node.hardware_class) == (0, other)
    assert car.node.cost_micro_per_hour == 4 * before


def test_an_hour_costs_the_owner_energy_and_wear():
    """15 W at 0.30 a kWh and 0.10 of wear: 0.006 an hour."""
    car = factories.make_car()
    OwnerPolicy.objects.update(tariff_micro_per_kwh=300_000, wear_micro_per_kwh=100_000)
    nodes.price_node(node=car.node)
    car.node.refresh_from_db()
    assert car.node.cost_micro_per_hour == 6_000


def test_enrolling_prices_the_node():
    node = Node.objects.get(pk=factories.make_car().node.pk)
    policy = OwnerPolicy.objects.get(vehicle=node.vehicle)
    assert node.cost_micro_per_hour == 15_000 * (policy.tariff_micro_per_kwh + policy.wear_micro_per_kwh) // 1_000_000


# Policy


def test_a_changed_policy_is_sent_until_the_car_has_it():
    car = factories.make_car()
    assert car.sync(policy_version=1).policy is None
    OwnerPolicy.objects.update(version=2, windows=[[0, 60, 120]], paused_until_at=datetime(2030, 1, 1, tzinfo=UTC))
    policy = car.sync(policy_version=1).policy
    assert (policy.version, policy.windows) == (2, ((0, 60, 120),))
    assert policy.paused_until_unix_ms == 1_893_456_000_000
    assert car.sync(policy_version=2).policy is None


# Credentials


@pytest.mark.parametrize("consent", ["", "refused"])
def test_no_credentials_without_consent(consent):
    node = factories.make_car(consent=consent).node
    assert refusal(lambda: nodes.credentials(node=node)) == (ConsentRequired, "consent_required")


def test_no_credentials_after_withdrawal_or_suspension():
    withdrawn, suspended = factories.make_car(), factories.make_car()
    factories.decide(withdrawn.node.vehicle, "withdrawn")
    transition(suspended.node, "suspended")
    for car in (withdrawn, suspended):
        assert refusal(lambda car=car: nodes.credentials(node=car.node))[1] == "consent_required"
        assert Node.objects.get(pk=car.node.pk).link_expires_at is None


def test_credentials_are_short_lived_and_for_the_nodes_own_subjects(settings):
    import base64
    import json

    car = factories.make_car()
    before = timezone.now().timestamp()
    issued = nodes.credentials(node=car.node)
    after = timezone.now().timestamp()
    claims = json.loads(base64.urlsafe_b64decode(issued.jwt.split(".")[1] + "=="))
    assert claims["nats"]["pub"]["allow"] == [f"node.{car.id}.sync"]
    assert set(claims["nats"]["sub"]["allow"]) == {f"cmd.{car.id}", f"_INBOX_{car.id}.>"}
    issued_at = issued.expires_unix_ms / 1000 - settings.NATS_USER_LIFETIME_S
    assert before - 0.001 <= issued_at <= after, "it counts whole milliseconds"
    assert abs(claims["exp"] - issued.expires_unix_ms / 1000) <= 1
    assert Node.objects.get(pk=car.node.pk).link_expires_at is not None


def test_without_nats_there_are_no_credentials(settings):
    settings.NATS_URL = ""
    car = factories.make_car()
    assert refusal(lambda: nodes.credentials(node=car.node)) == (nodes.LinkUnavailable, "link_unavailable")
