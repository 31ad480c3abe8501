"""Neither the messages of a car nor the tables can hold where it is, how it moves, or how its battery is doing.

The tests walk through all fields: a new one of such a kind fails here until somebody writes down why it is harmless.
"""

import re
import typing

import msgspec
import pytest
from django.apps import apps

from compute import protocol

# Words in the names of fields that hold readings of the car.
FORBIDDEN = re.compile(
    r"(^|_)(lat|latitude|lon|lng|longitude|gps|geo|position|location|place|address|street|city|postcode|altitude|"
    r"heading|bearing|trip|trips|route|drive|drives|driving|speed|velocity|odometer|mileage|km|miles|distance|soc|"
    r"charge|charging|battery|range|volt|voltage|current|amps|plug|plugged|temperature|temp|celsius|heat|hot|warm|"
    r"cool|gear|motion|ssid|region|country|ip|phone)(_|$)"
)

# Messages that a node sends. Messages that it only receives are not searched: they carry the owner's own rules to it.
SENT = (protocol.Enrolment, protocol.Pairing, protocol.SyncRequest, protocol.Withdrawal, protocol.MeterPayload)
RECEIVED_ONLY = {
    "Policy",
    "Enrolled",
    "Pairable",
    "Credentials",
    "Lease",
    "Ack",
    "Cancel",
    "Chain",
    "SyncResponse",
    "Push",
    "Withdrawn",
}

# Field or column -> why it is not a reading of the car.
ALLOWED = {
    "accounts_owner.country": "the owner's country, for law and tax: not the car's location",
    "accounts_vehicle.region": "chosen by the owner, only under consent `region` (the database empties it otherwise)",
    "accounts_ownerpolicy.plugged_in_only": "a rule that the owner sets",
    "accounts_ownerpolicy.charge_stop_percent": "a rule that the owner sets",
    "accounts_ownerpolicy.charge_resume_percent": "a rule that the owner sets",
    "accounts_ownerpolicy.heat_stop_c": "a rule that the owner sets",
    "accounts_ownerpolicy.heat_resume_c": "a rule that the owner sets",
    "compute_healthday.reports_cool": "reports per day in a band of the computer's heat, under consent `reliability`",
    "compute_healthday.reports_warm": "the same",
    "compute_healthday.reports_hot": "the same",
    "billing_connectedaccount.country": "the country in which the owner is paid: not the car's location",
    "billing_billingprofile.address": "a customer's address, for invoices",
    "billing_invoice.customer_address": "the same",
    "account_emailconfirmation.email_address_id": "a reference to a person's e-mail address",
}


def messages_of(kind, fields=None):
    """Return the fields of a message type and of every message type inside it, by type."""
    fields = {} if fields is None else fields
    if kind in fields:
        return fields
    fields[kind] = msgspec.structs.fields(kind)
    for field in fields[kind]:
        for inner in structs_in(field.type):
            messages_of(inner, fields)
    return fields


def structs_in(annotation):
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return [annotation]
    return [struct for part in typing.get_args(annotation) for struct in structs_in(part)]


def sent_fields():
    return [(kind.__name__, field) for root in SENT for kind, fields in messages_of(root).items() for field in fields]


def test_the_walk_reaches_every_message_of_the_protocol():
    walked = {kind.__name__ for root in SENT for kind in messages_of(root)}
    everything = {
        name
        for name, kind in vars(protocol).items()
        if isinstance(kind, type)
        and issubclass(kind, msgspec.Struct)
        and kind not in (protocol.Message, msgspec.Struct)
    }
    assert everything - walked == RECEIVED_ONLY


@pytest.mark.parametrize(("message", "field"), sent_fields(), ids=lambda value: getattr(value, "name", value))
def test_a_car_sends_no_reading(message, field):
    assert not FORBIDDEN.search(field.name), f"{message}.{field.name}"
    assert "float" not in str(field.type), f"{message}.{field.name}: measures are whole numbers of named units"


def test_what_a_car_says_of_its_heat_is_a_band_under_consent():
    (band,) = [field for field in msgspec.structs.fields(protocol.Health) if field.name == "band"]
    assert set(typing.get_args(band.type)) == {"cool", "warm", "hot"}


def columns():
    for model in apps.get_models(include_auto_created=True):
        for field in model._meta.concrete_fields:
            yield f"{model._meta.db_table}.{field.attname}"


def test_no_table_has_a_column_for_a_reading():
    suspicious = {name for name in columns() if FORBIDDEN.search(name.split(".")[1])}
    assert suspicious - set(ALLOWED) == set()


def test_what_is_allowed_exists():
    assert set(ALLOWED) <= set(columns())


def test_the_words_find_what_they_should():
    for name in (
        "lat",
        "gps_fix",
        "battery_level",
        "soc",
        "trip_id",
        "speed_kmh",
        "last_position",
        "odometer",
        "heat_c",
    ):
        assert FORBIDDEN.search(name)
    for name in ("slug", "status", "reason", "prev", "platform_micro", "lease"):
        assert not FORBIDDEN.search(name)
