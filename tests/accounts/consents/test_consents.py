"""Consent decisions: which are possible in which state, when they expire, and records that anybody can verify."""

import hashlib
import json
import uuid
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.conf import settings
from django.utils import timezone

from accounts.consents import consents, notices
from accounts.models import VEHICLE_PURPOSES, ConsentCurrent, ConsentNotice, ConsentRecord, Purpose, Vehicle
from accounts.receipts.record import canonical
from accounts.tasks import expire_consents
from core.errors import Conflict, InvalidInput, NotFound
from tests import factories
from tests.accounts.consents.test_rules import lapse

pytestmark = pytest.mark.django_db
STATES = ("none", "given", "renewed", "refused", "withdrawn", "expired", "lapsed")


@pytest.fixture
def alice():
    return factories.make_owner("alice@example.com")


@pytest.fixture
def vehicle(alice):
    return factories.make_vehicle(alice, consent="")


def new_version(purpose="run_jobs"):
    old = notices.current_notice(purpose)
    values = {"purpose": purpose, "version": old.version + 1, "title": old.title, "summary": old.summary}
    return ConsentNotice.objects.create(body="New.", sha256=hashlib.sha256(b"New.").hexdigest(), **values)


def bring_to(vehicle, state):
    """Bring the vehicle's consent to run jobs into `state`. "lapsed" has expired without an "expired" record yet."""
    steps = {
        "none": [],
        "given": ["given"],
        "renewed": ["given", "notice", "given"],
        "refused": ["refused"],
        "withdrawn": ["given", "withdrawn"],
        "expired": ["lapse", "sweep"],
        "lapsed": ["lapse"],
    }[state]
    special = {"notice": new_version, "lapse": lambda: lapse(vehicle), "sweep": consents.expire}
    for step in steps:
        special[step]() if step in special else factories.decide(vehicle, step)


# Decision (row) in a state (column) -> new state, "same" (no new record), or the code of the error.
TABLE = """
            none        given             renewed           refused    withdrawn  expired    lapsed
given       given       same              same              given      given      given      given
refused     refused     consent_in_force  consent_in_force  same       refused    refused    refused
withdrawn   no_consent  withdrawn         withdrawn         no_consent same       no_consent withdrawn
"""
ROWS = [line.split() for line in TABLE.strip().splitlines()[1:]]
CELLS = [(decision, state, cell) for decision, *cells in ROWS for state, cell in zip(STATES, cells, strict=True)]


@pytest.mark.parametrize(("decision", "state", "expected"), CELLS)
def test_every_decision_from_every_state(vehicle, decision, state, expected):
    bring_to(vehicle, state)
    before = ConsentRecord.objects.count()
    newest = ConsentRecord.objects.order_by("seq").last()
    if expected in ("no_consent", "consent_in_force"):
        with pytest.raises(Conflict) as refused:
            factories.decide(vehicle, decision)
        assert refused.value.code == expected
        assert ConsentRecord.objects.count() == before
        return
    record = factories.decide(vehicle, decision)
    if expected == "same":
        assert record == newest
        assert ConsentRecord.objects.count() == before
        return
    assert (record.state, record.seq) == (expected, before + 1)
    current = ConsentCurrent.objects.get(vehicle=vehicle, purpose="run_jobs")
    assert (current.record, current.state, current.expires_at) == (record, expected, record.expires_at)
    assert current.is_in_force == (expected == "given")


def test_a_new_text_asks_again_and_giving_it_renews(vehicle):
    first = factories.decide(vehicle, "given")
    notice = new_version()
    renewed_record = factories.decide(vehicle, "given")
    assert (renewed_record.state, renewed_record.notice, renewed_record.seq) == ("renewed", notice, first.seq + 1)
    assert ConsentCurrent.objects.get(vehicle=vehicle).is_in_force
    assert factories.decide(vehicle, "given") == renewed_record


@pytest.mark.parametrize("decision", ["", "yes", "GIVEN", "renewed", "expired"])
def test_only_an_owners_words_are_decisions(vehicle, decision):
    with pytest.raises(InvalidInput):
        factories.decide(vehicle, decision)
    assert not ConsentRecord.objects.exists()


def test_an_unknown_purpose(vehicle):
    with pytest.raises(NotFound):
        factories.decide(vehicle, "given", "sell_my_data")


def test_a_closed_account_and_a_sold_car_can_only_end_things(alice, vehicle):
    factories.decide(vehicle, "given")
    alice.deactivated_at = timezone.now()
    alice.save()
    with pytest.raises(Conflict, match="closed"):
        factories.decide(vehicle, "given", "region")
    assert factories.decide(vehicle, "withdrawn").state == "withdrawn"
    alice.deactivated_at = None
    alice.save()
    Vehicle.objects.filter(pk=vehicle.pk).update(retired_at=timezone.now())
    with pytest.raises(Conflict) as refused:
        factories.decide(vehicle, "given")
    assert refused.value.code == "vehicle_retired"


def test_a_text_that_changes_under_a_click_is_said_to_have_changed(vehicle, monkeypatch):
    """A new text takes effect after the service has read the old one: the trigger refuses with the right code."""
    old = notices.current_notice("run_jobs")
    new_version()
    monkeypatch.setattr(notices, "current_notice", lambda *_: old)
    with pytest.raises(Conflict) as refused:
        factories.decide(vehicle, "given")
    assert refused.value.code == "notice_changed"


def test_purposes_do_not_touch_each_other(vehicle):
    for purpose in VEHICLE_PURPOSES:
        factories.decide(vehicle, "given", purpose)
    factories.decide(vehicle, "withdrawn", "availability")
    states = dict(ConsentCurrent.objects.filter(vehicle=vehicle).values_list("purpose", "state"))
    assert states == {**dict.fromkeys(VEHICLE_PURPOSES, "given"), "availability": "withdrawn"}


def test_vehicles_do_not_touch_each_other(alice, vehicle):
    other = factories.make_vehicle(alice, consent="given")
    factories.decide(vehicle, "given")
    factories.decide(vehicle, "withdrawn")
    assert ConsentCurrent.objects.get(vehicle=other).is_in_force


# --- time -------------------------------------------------------------------------------------------------------------


def test_consent_lasts_as_long_as_its_notice_says(vehicle):
    record = factories.decide(vehicle, "given")
    assert record.expires_at - record.at == timedelta(days=record.notice.validity_days)
    assert factories.decide(vehicle, "withdrawn").expires_at is None


def test_consent_past_its_end_is_not_in_force_before_anybody_writes_so(vehicle):
    lapse(vehicle)
    current = ConsentCurrent.objects.get(vehicle=vehicle)
    assert current.state == "given"
    assert not current.is_in_force


def test_the_expiry_job_writes_the_act_once(vehicle):
    lapse(vehicle)
    lasting = factories.make_vehicle(consent="given")
    expire_consents()
    record = ConsentRecord.objects.filter(vehicle=vehicle).latest("seq")
    assert (record.state, record.method, record.actor) == ("expired", "expiry", None)
    assert json.loads(bytes(record.payload))["event"]["entity_id"] == "system"
    assert consents.expire() == 0
    assert ConsentRecord.objects.filter(vehicle=vehicle).count() == 2
    assert ConsentCurrent.objects.get(vehicle=lasting).state == "given"


def test_the_expiry_job_takes_many_vehicles_of_one_owner_in_steps(alice):
    cars = [factories.make_vehicle(alice, consent="") for _ in range(3)]
    for car in cars:
        lapse(car)
    assert [consents.expire(limit=2), consents.expire(limit=2), consents.expire(limit=2)] == [2, 1, 0]
    assert set(ConsentCurrent.objects.values_list("state", flat=True)) == {"expired"}


# --- stop all ---------------------------------------------------------------------------------------------------------


def test_withdraw_all_stops_every_car_that_gave(alice):
    cars = [factories.make_vehicle(alice, consent=consent) for consent in ("given", "given", "refused", "")]
    lapsed = factories.make_vehicle(alice, consent="")
    lapse(lapsed)
    bobs = factories.make_vehicle(consent="given")
    stop = {"owner": alice, "purpose": "run_jobs", "actor": alice.user, "method": "test"}
    assert consents.withdraw_all(**stop) == 2
    assert consents.withdraw_all(**stop) == 0
    states = dict(ConsentCurrent.objects.values_list("vehicle", "state"))
    given, also, refused, _ = cars
    assert (states[given.pk], states[also.pk], states[refused.pk]) == ("withdrawn", "withdrawn", "refused")
    assert states[bobs.pk] == states[lapsed.pk] == "given"


def test_the_stop_button_withdraws_every_purpose_of_every_car(alice, client_of):
    cars = [factories.make_vehicle(alice) for _ in range(2)]
    factories.decide(cars[0], "given", "availability")
    page = client_of(alice.user).post("/vehicles/stop", follow=True)
    assert "3 consents withdrawn" in page.content.decode()
    assert set(ConsentCurrent.objects.values_list("state", flat=True)) == {"withdrawn"}


# --- the page ---------------------------------------------------------------------------------------------------------


def test_deciding_on_the_page(alice, vehicle, client_of):
    client, path = client_of(alice.user), f"/vehicles/{vehicle.public_id}/consents/run_jobs"
    for decision in ("refused", "given", "given", "withdrawn"):
        answer = client.post(path, {"decision": decision, "notice_version": "1"})
        assert answer["Location"] == f"/consents/#run_jobs-{vehicle.public_id}"
    records = ConsentRecord.objects.order_by("seq")
    assert [record.state for record in records] == ["refused", "given", "withdrawn"]
    assert {(record.method, record.actor_id) for record in records} == {("portal", alice.user.pk)}
    page = client.post(path, {"decision": "refused"}, follow=True)
    assert "You refused." in page.content.decode()
    page = client.post(path, {"decision": "withdrawn"}, follow=True)
    assert "no consent in force" in page.content.decode()
    history = client.get(f"/vehicles/{vehicle.public_id}/consents").content.decode()
    assert all(record.hash in history for record in records)


def test_consent_is_to_the_text_on_the_page_not_to_one_published_since(alice, vehicle, client_of):
    client, path = client_of(alice.user), f"/vehicles/{vehicle.public_id}/consents/run_jobs"
    assert 'name="notice_version" value="1"' in client.get("/vehicles/").content.decode()
    new_version()
    page = client.post(path, {"decision": "given", "notice_version": "1"}, follow=True)
    assert "has changed" in page.content.decode()
    assert not ConsentRecord.objects.exists()
    client.post(path, {"decision": "given", "notice_version": "2"})
    client.post(
        path, {"decision": "withdrawn", "notice_version": "1"}
    )  # a withdrawal does not depend on the text's version
    assert [record.state for record in ConsentRecord.objects.order_by("seq")] == ["given", "withdrawn"]


def test_looking_at_the_page_decides_nothing(alice, vehicle, client_of):
    client = client_of(alice.user)
    for path in ("/vehicles/", f"/vehicles/{vehicle.public_id}/consents", f"/vehicles/{vehicle.public_id}/enrol"):
        client.get(path)
    assert client.get(f"/vehicles/{vehicle.public_id}/consents/run_jobs?decision=given").status_code == 405
    assert not ConsentRecord.objects.exists()


# --- the record -------------------------------------------------------------------------------------------------------


def test_no_address_and_no_name_is_in_a_record(alice, vehicle):
    text = bytes(factories.decide(vehicle, "given").payload).decode()
    assert alice.user.email not in text
    assert alice.name not in text


def test_the_sum_of_a_notice_is_that_of_its_text():
    for notice in ConsentNotice.objects.all():
        text = f"{notice.title}\n\n{notice.summary}\n\n{notice.body}"
        assert notice.sha256 == hashlib.sha256(text.encode()).hexdigest()
    assert set(ConsentNotice.objects.values_list("purpose", flat=True)) == set(Purpose.values)


def test_the_chain_can_be_recomputed_and_every_signature_holds(alice):
    cars = [factories.make_vehicle(alice, consent="given") for _ in range(3)]
    for car in cars:
        factories.decide(car, "withdrawn")
        factories.decide(car, "refused", "experiments")
    factories.make_vehicle(consent="given")  # another owner, whose chain begins at 1 as well
    seed = bytes.fromhex(settings.RECEIPT_SIGNING_KEY)
    public = Ed25519PrivateKey.from_private_bytes(seed).public_key()
    previous = "0" * 64
    records = list(ConsentRecord.objects.filter(owner=alice).order_by("seq"))
    assert [record.seq for record in records] == list(range(1, 10))
    for record in records:
        payload = bytes(record.payload)
        assert record.prev_hash == previous
        assert record.hash == hashlib.sha256(bytes.fromhex(previous) + payload).hexdigest()
        public.verify(bytes.fromhex(record.signature), b"driveway-consent-v1\n" + bytes.fromhex(previous) + payload)
        assert payload == canonical(json.loads(payload))
        previous = record.hash


def test_times_and_ids_of_records_are_their_own(vehicle):
    first, second = factories.decide(vehicle, "given"), factories.decide(vehicle, "withdrawn")
    assert first.at <= second.at <= timezone.now()
    assert isinstance(first.public_id, uuid.UUID)
    assert first.public_id != second.public_id


def test_expiry_leaves_a_consent_that_was_given_again_meanwhile(monkeypatch):
    vehicle = factories.make_vehicle(consent="")
    with monkeypatch.context() as patch:
        patch.setattr(consents, "_database_clock", lambda: timezone.now() - timedelta(days=400))
        factories.decide(vehicle, "given")
    lock = consents.Owner.objects.select_for_update

    def given_again_first(*args, **options):
        """Give consent again after `expire` has listed the expired consents and before it locks the first one."""
        monkeypatch.undo()
        factories.decide(vehicle, "given")
        return lock(*args, **options)

    monkeypatch.setattr(consents.Owner.objects, "select_for_update", given_again_first)
    assert consents.expire() == 0
    assert ConsentCurrent.objects.get(vehicle=vehicle).is_in_force


def test_a_consent_past_its_time_can_still_be_withdrawn(monkeypatch):
    vehicle = factories.make_vehicle(consent="")
    with monkeypatch.context() as patch:
        patch.setattr(consents, "_database_clock", lambda: timezone.now() - timedelta(days=400))
        factories.decide(vehicle, "given")
    assert factories.decide(vehicle, "withdrawn").state == "withdrawn"
