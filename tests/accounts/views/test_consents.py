"""The consent centre: a separate decision for each purpose and car, and the redirect back to where it was made."""

import json
from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.consents import consents
from accounts.models import VEHICLE_PURPOSES, ConsentCurrent, ConsentRecord, Vehicle
from tests import factories
from tests.accounts.consents.test_notices import in_effect, publish

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    return factories.make_owner("alice@example.com")


@pytest.fixture
def vehicle(alice):
    return factories.make_vehicle(alice, consent="")


@pytest.fixture
def client(alice, client_of):
    return client_of(alice.user)


def page(client, path="/consents/"):
    answer = client.get(path)
    assert answer.status_code == 200
    return answer.content.decode()


def test_consent_names_the_text_that_was_read(client, vehicle):
    for version in ("", "newest"):
        fields = {"decision": "given", "notice_version": version}
        client.post(f"/vehicles/{vehicle.public_id}/consents/run_jobs", fields)
    assert not ConsentRecord.objects.exists()


def test_every_purpose_is_asked_for_every_car_and_nothing_is_answered(client, alice, vehicle):
    other = factories.make_vehicle(alice, consent="")
    text = page(client)
    for car in (vehicle, other):
        for purpose in VEHICLE_PURPOSES:
            assert text.count(f'action="/vehicles/{car.public_id}/consents/{purpose}"') == 1
    assert text.count('action="/consents/product_email"') == 1
    assert text.count('aria-pressed="true"') == 0
    assert text.count('value="given" aria-pressed="false"') == text.count('value="refused" aria-pressed="false"') == 11
    assert text.count("Needed to earn") == 1
    assert text.count("Pay does not depend on it") == 5
    assert 'type="checkbox"' not in text
    assert not ConsentRecord.objects.exists()


def test_deciding_there_comes_back_to_the_same_place(client, vehicle):
    here = f"/consents/#run_jobs-{vehicle.public_id}"
    path = f"/vehicles/{vehicle.public_id}/consents/run_jobs"
    answer = client.post(path, {"decision": "given", "notice_version": "1", "notice_language": "en", "next": here})
    assert answer["Location"] == here
    text = page(client)
    assert 'value="given" aria-pressed="true" disabled' in text
    assert "Stop all my cars" in text
    assert f"/receipts/{ConsentRecord.objects.get().public_id}.jsonld" in text


@pytest.mark.parametrize(
    ("sent", "referer", "expected"),
    [
        ("/vehicles/", "", "/vehicles/"),
        ("", "http://testserver/vehicles/?x=1", "/vehicles/?x=1"),
        ("https://evil.example/", "", ""),
        ("//evil.example/", "", ""),
        ("/\\evil.example/", "", ""),
        ("javascript:alert(1)", "", ""),
        ("/nowhere/at/all", "", ""),
        ("/vehicles/stop", "", ""),
        ("", "https://evil.example/vehicles/", ""),
        ("", "http://testserver.evil.example/", ""),
    ],
)
def test_the_way_back_is_a_page_of_ours(client, vehicle, sent, referer, expected):
    headers = {"Referer": referer} if referer else {}
    path = f"/vehicles/{vehicle.public_id}/consents/run_jobs"
    answer = client.post(path, {"decision": "given", "notice_version": "1", "next": sent}, headers=headers)
    assert answer["Location"] == (expected or f"/consents/#run_jobs-{vehicle.public_id}")
    assert client.post("/vehicles/stop", {"next": sent}, headers=headers)["Location"] == (expected or "/vehicles/")


def test_a_withdrawal_can_be_undone_with_one_click_once(client, vehicle):
    path = f"/vehicles/{vehicle.public_id}/consents/run_jobs"
    client.post(path, {"decision": "given", "notice_version": "1"})
    assert "Undo" not in page(client)
    client.post(path, {"decision": "withdrawn"})
    assert "Undo: give consent again" in page(client)
    assert "Undo" not in page(client)
    client.post(path, {"decision": "given", "notice_version": "1"})
    client.post(path, {"decision": "withdrawn"})
    factories.decide(vehicle, "given")  # a later decision: there is nothing to undo
    assert "Undo" not in page(client)


def test_the_personal_purpose(client, alice, vehicle):
    for decision in ("given", "withdrawn"):
        answer = client.post("/consents/product_email", {"decision": decision, "notice_version": "1"})
        assert answer["Location"] == "/consents/#product_email"
    record = ConsentRecord.objects.latest("seq")
    assert (record.state, record.vehicle, record.owner) == ("withdrawn", None, alice)
    assert "Undo" in page(client)
    assert client.post("/consents/run_jobs", {"decision": "given", "notice_version": "1"}).status_code == 404
    assert (
        client.post(
            f"/vehicles/{vehicle.public_id}/consents/product_email", {"decision": "given", "notice_version": "1"}
        ).status_code
        == 404
    )


def test_stopping_all_cars_leaves_the_person_alone(client, alice, vehicle):
    for purpose in ("run_jobs", "availability"):
        factories.decide(vehicle, "given", purpose)
    client.post("/consents/product_email", {"decision": "given", "notice_version": "1"})
    text = client.post("/vehicles/stop", {"next": "/consents/"}, follow=True).content.decode()
    assert "2 consents withdrawn" in text
    assert "Stop all my cars" not in text  # nothing left to stop
    assert ConsentCurrent.objects.get(owner=alice, vehicle=None).is_in_force


def test_an_owner_reads_and_signs_in_their_language(client, alice, vehicle):
    alice.locale = "de-DE"
    alice.save()
    text = page(client)
    assert 'lang="de">Aufträge von Kunden ausführen</h2>' in text
    assert "/notices/run_jobs/1?language=de" in text
    assert text.count('name="notice_language" value="de"') == 6
    fields = {"decision": "given", "notice_version": "1", "notice_language": "de"}
    client.post(f"/vehicles/{vehicle.public_id}/consents/run_jobs", fields)
    record = json.loads(bytes(ConsentRecord.objects.get().payload))
    assert (record["language"], record["privacy_notice"]["title"]) == ("de", "Aufträge von Kunden ausführen")


def test_a_new_text_is_offered_before_and_asked_after(client, vehicle):
    factories.decide(vehicle, "given")
    publish()
    text = page(client)
    assert "Agree to the new text" in text
    assert "takes effect" in text
    fields = {"decision": "given", "notice_version": "2", "notice_language": "en"}
    client.post(f"/vehicles/{vehicle.public_id}/consents/run_jobs", fields)
    assert "Agree to the new text" not in page(client)


def test_an_outdated_consent_counts_as_no_and_says_why(client, vehicle):
    factories.decide(vehicle, "given")
    in_effect()
    text = page(client)
    assert "Text has changed" in text
    assert "you agreed to an earlier text" in text
    assert 'aria-pressed="true"' not in text


def test_renewing_near_the_end(client, vehicle, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(consents, "_database_clock", lambda: timezone.now() - timedelta(days=350))
        factories.decide(vehicle, "given")
    assert ">Renew<" in page(client)
    client.post(
        f"/vehicles/{vehicle.public_id}/consents/run_jobs",
        {"decision": "given", "notice_version": "1"},
    )
    text = page(client)
    assert ">Renew<" not in text
    assert "Renewed" in text


def test_the_history_says_how_in_which_language_and_until_when(client, alice, vehicle):
    factories.decide(vehicle, "given")
    consents.decide(vehicle=vehicle, purpose="run_jobs", decision="withdrawn", actor=None, method="agent")
    text = page(client, f"/vehicles/{vehicle.public_id}/consents")
    assert "At the car" in text
    assert "version 1, en" in text
    for record in ConsentRecord.objects.all():
        assert f"/receipts/{record.public_id}.jsonld" in text


def test_the_text_is_public_in_each_language(client):
    english = page(client, "/notices/run_jobs/1")
    assert 'lang="en"' in english
    assert "?language=de" in english
    german = page(client, "/notices/run_jobs/1?language=de")
    assert "Der Computer Ihres geparkten Autos" in german
    assert 'lang="en">' in page(client, "/notices/run_jobs/1?language=xx")
    assert client.get("/notices/run_jobs/2").status_code == 404
    assert client.get("/notices/nothing/1").status_code == 404


# --- the region -------------------------------------------------------------------------------------------------------


def region(client, vehicle, code):
    return client.post(f"/vehicles/{vehicle.public_id}/region", {"region": code})


def test_a_region_is_asked_only_with_consent_and_deleted_with_it(client, vehicle):
    assert "State or province" not in page(client)
    assert region(client, vehicle, "US-CA").status_code == 403
    factories.decide(vehicle, "given", "region")
    assert "State or province" in page(client)
    assert region(client, vehicle, " us-ca ").status_code == 302
    assert Vehicle.objects.get(pk=vehicle.pk).region == "US-CA"
    assert 'value="US-CA"' in page(client)
    factories.decide(vehicle, "withdrawn", "region")
    assert Vehicle.objects.get(pk=vehicle.pk).region == ""


@pytest.mark.parametrize("code", ["DE-BY", "US", "US-", "US-CALIF", "US_CA", "US-C?", "US-ÄÖ", "x" * 1000])
def test_what_is_no_region_of_the_owners_country(client, vehicle, code):
    factories.decide(vehicle, "given", "region")
    answer = region(client, vehicle, code)
    assert answer.status_code == 400
    assert "A region is a code of your country" in answer.content.decode()
    assert Vehicle.objects.get(pk=vehicle.pk).region == ""


def test_no_region_is_an_answer(client, vehicle):
    factories.decide(vehicle, "given", "region")
    region(client, vehicle, "US-NY")
    assert region(client, vehicle, "").status_code == 302
    assert Vehicle.objects.get(pk=vehicle.pk).region == ""
