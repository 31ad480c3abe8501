"""The consent record has every field that ISO/IEC TS 27560 or the GDPR makes mandatory, for all purposes and states."""

import itertools
import json
import re
import uuid
from datetime import UTC, datetime, timedelta

import pytest

from accounts.consents import consents, notices
from accounts.models import PERSONAL, VEHICLE_PURPOSES, ConsentState, Purpose
from accounts.receipts import context, record
from accounts.receipts.purposes import FACTS
from tests import factories

# Paths of the fields that ISO/IEC TS 27560 or the GDPR makes mandatory: a dot enters an object, [] each item of a list.
MANDATORY = [
    "schema_version",
    "record_id",
    "pii_principal_id",
    "privacy_notice.notice_id",
    "privacy_notice.notice_version",
    "language",
    "purpose",
    "lawful_basis",
    "pii_information",
    "pii_controllers",
    "collection_method",
    "processing_method",
    "storage_locations",
    "retention_period",
    "processing_locations",
    "geographic_restrictions",
    "jurisdiction",
    "recipient_third_parties",
    "withdrawal_method",
    "privacy_rights",
    "authority_party",
    "pii_information[].pii_type",
    "pii_information[].pii_optional",
    "pii_information[].special_pii_category",
    "parties[].party_id",
    "parties[].party_name",
    "parties[].party_address",
    "parties[].party_contact",
    "parties[].party_type",
    "parties[].party_role",
    "event.event_time",
    "event.validity_duration",
    "event.entity_id",
    "event.event_type",
    "event.event_state",
]
# Here an empty list is a valid value: it states that there are none.
MAY_BE_EMPTY = {"recipient_third_parties", "pii_information[].special_pii_category"}
DURATION = re.compile(r"P\d+[DY]")
AT = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
EVERY = list(itertools.product(Purpose.values, ConsentState.values))


def fields_of(purpose, state="given"):
    act = record.Act(
        record_id=uuid.uuid4(),
        seq=1,
        owner=uuid.uuid4(),
        vehicle=None if purpose in PERSONAL else uuid.uuid4(),
        country="DE",
        state=state,
        method="portal",
        entity="user:1",
        at=AT,
        expires_at=AT + timedelta(days=365) if state in ("given", "renewed") else None,
    )
    text = record.Notice(purpose, version=3, language="de", title="Titel", sha256="ab" * 32, validity_days=365)
    return record.record_fields(act, text, consents.controller())


def values_at(fields, path):
    """Return all values at a path."""
    first, _, rest = path.partition(".")
    values = fields[first[:-2]] if first.endswith("[]") else [fields[first]]
    return [deep for value in values for deep in (values_at(value, rest) if rest else [value])]


@pytest.mark.parametrize(("purpose", "state"), EVERY)
def test_every_mandatory_field_is_there_and_says_something(purpose, state):
    fields = fields_of(purpose, state)
    for path in MANDATORY:
        values = values_at(fields, path)
        assert values, path
        for value in values:
            assert value is not None, path
            assert value not in ("", [], {}) or (path in MAY_BE_EMPTY and value == []), path


@pytest.mark.parametrize(("purpose", "state"), EVERY)
def test_values_are_what_the_standard_wants(purpose, state):
    fields = fields_of(purpose, state)
    event = fields["event"]
    assert fields["schema_version"] == "https://w3id.org/dpv/schema/dpv-27560#record-eu-gdpr"
    assert uuid.UUID(fields["record_id"]).version == 4
    assert datetime.fromisoformat(event["event_time"]).utcoffset() == timedelta(0)
    assert DURATION.fullmatch(event["validity_duration"])
    assert (event["validity_duration"] == "P0D") == (state not in ("given", "renewed"))
    assert (event["expires_at"] is None) == (event["validity_duration"] == "P0D")
    assert DURATION.fullmatch(fields["retention_period"])
    assert (fields["vehicle"] is None) == (purpose == "product_email")
    assert (fields["language"], fields["jurisdiction"], fields["purpose"]) == ("de", "loc:DE", purpose)
    assert fields["privacy_notice"]["notice_id"].endswith(f"/notices/{purpose}/3?language=de")


@pytest.mark.parametrize("purpose", Purpose.values)
def test_whoever_is_named_is_a_party_with_an_address(purpose):
    fields = fields_of(purpose)
    parties = {party["party_id"] for party in fields["parties"]}
    named = {
        *fields["pii_controllers"],
        *fields["recipient_third_parties"],
        fields["authority_party"],
        fields["publisher"],
    }
    assert named == parties


def test_nobody_but_the_payment_processor_receives_anything():
    receivers = {purpose: facts.recipients for purpose, facts in FACTS.items() if facts.recipients}
    assert receivers == {"run_jobs": ("https://stripe.com",)}
    assert set(FACTS) == set(Purpose.values)


@pytest.mark.parametrize(("purpose", "state"), EVERY)
def test_every_key_and_every_word_means_something_in_the_context(purpose, state):
    """JSON-LD readers drop a key that the context does not define, and a term that it cannot expand."""
    for name, value in plain_values(fields_of(purpose, state)):
        assert name in context.RECORD or name == "@type", name
        meaning = context.RECORD.get(name)
        kind = "@vocab" if name == "@type" else isinstance(meaning, dict) and meaning.get("@type")
        if kind == "@vocab":
            assert value in context.RECORD or value.partition(":")[0] in context.PREFIXES, (name, value)
        if kind == "@id":
            assert value.startswith("https://"), (name, value)
    for meaning in [*context.RECORD.values(), *context.RECEIPT.values(), *context.CHAIN.values()]:
        text = meaning if isinstance(meaning, str) else meaning["@id"]
        assert text.startswith(("http", "@id")) or text.split(":")[0] in context.PREFIXES, text


def plain_values(value, name=""):
    """Yield each key with each of its plain values, at any depth."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if key != "@context":
                yield from plain_values(inner, key)
    elif isinstance(value, list):
        for inner in value:
            yield from plain_values(inner, name)
    else:
        yield name, value


def test_what_is_signed_holds_no_person_and_no_float():
    text = record.canonical(fields_of("run_jobs")).decode()
    assert json.loads(text, parse_float=pytest.fail)["event"]["entity_id"] == "user:1"
    assert record.canonical(json.loads(text)).decode() == text


@pytest.mark.django_db
@pytest.mark.parametrize("purpose", Purpose.values)
def test_what_the_service_writes_is_that_record(purpose):
    owner = factories.make_owner()
    car = factories.make_vehicle(owner, consent="")
    about = {"owner": owner} if purpose in PERSONAL else {"vehicle": car}
    written = consents.decide(purpose=purpose, decision="given", actor=owner.user, method="portal", **about)
    fields = json.loads(bytes(written.payload))
    for path in MANDATORY:
        assert values_at(fields, path)
    assert set(fields) == set(fields_of(purpose))
    assert fields["event"]["expires_at"] == written.expires_at.isoformat()


@pytest.mark.django_db
def test_a_record_names_the_text_and_the_language_that_were_read():
    owner = factories.make_owner()
    owner.locale = "de-DE"
    owner.save()
    car = factories.make_vehicle(owner, consent="")
    german = notices.current_notice("run_jobs", "de")
    assert (german.language, german.version) == ("de", 1)
    given = factories.decide(car, "given")
    assert (given.notice, json.loads(bytes(given.payload))["language"]) == (german, "de")
    english = consents.decide(
        vehicle=car, purpose="region", decision="given", actor=owner.user, method="portal", language="en"
    )
    assert english.notice.language == "en"
    # The same version in another language counts as the same text, so this does not renew the consent.
    repeated = consents.decide(
        vehicle=car, purpose="run_jobs", decision="given", actor=owner.user, method="portal", language="en"
    )
    assert repeated == given


@pytest.mark.django_db
def test_all_purposes_have_texts_in_both_languages_that_count_together():
    assert len(VEHICLE_PURPOSES) == 5
    for purpose in Purpose.values:
        english, german = notices.current_notice(purpose, "en"), notices.current_notice(purpose, "de")
        assert (english.language, german.language) == ("en", "de")
        assert (english.version, english.validity_days) == (german.version, german.validity_days)
        assert notices.current_notice(purpose, "fr") == english
    assert notices.current_notices("de")["region"].language == "de"
    assert notices.versions_in_effect() == dict.fromkeys(Purpose.values, 1)
