"""Check one record: the car's signature, the billed time and energy against what was signed, and the amounts."""

import binascii
from base64 import b64decode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID, uuid5

import msgspec

from billing.rates import formula as rating
from billing.verifier.errors import Finding
from billing.verifier.format import Node, Record
from billing.verifier.keys import is_signed
from compute import protocol

NANO_PER_MICRO = 1_000
MWH_PER_KWH = 1_000_000
CLOCK_SKEW = timedelta(minutes=5)  # the most by which clocks of the platform's servers are taken to differ
AddFinding = Callable[[Finding], None]  # takes each finding


@dataclass(frozen=True)
class CheckedRecord:
    """A record whose signature is valid, with the signed payload and its hash."""

    record: Record
    payload: protocol.MeterPayload
    hash: str


def limit_ms(record: Record) -> int:
    """Return the longest time (ms) that may be billed: the trial run's time, scaled to the class and the order."""
    bound = record.bound
    return rating.paid_time_ms(
        items=bound.items,
        us_per_item=bound.us_per_item,
        slowness_permille=bound.slowness_permille,
        paid_time_permille=bound.paid_time_permille,
    )


def limit_mwh(record: Record, billed_ms: int) -> int:
    """Return the most energy (mWh) that may be billed for the time: one and a half times what the class draws."""
    return rating.energy_mwh(compute_ms=billed_ms, power_mw=record.bound.power_mw)


def owner_micro(record: Record) -> int:
    """Return what the formula pays the owner (micro-units) for the billed quantities."""
    data = record.event.data
    return rating.owner_micro(
        compute_ms=data.compute_ms,
        energy_mwh=data.energy_mwh,
        price_micro_per_hour=data.prices.micro_per_hour,
        price_micro_per_kwh=data.prices.micro_per_kwh,
        owner_share_permille=data.prices.owner_share_permille,
    )


def check(record: Record, nodes: Mapping[str, Node], currency: str, add_finding: AddFinding) -> CheckedRecord | None:
    """Check a record and return it with its payload, or None if the named car did not sign it.

    Findings go to `add_finding`.
    """
    where = f"record {record.seq} of {record.node}"

    def wrong(code: str, sentence: str) -> None:
        add_finding(Finding(code, where, sentence))

    node = nodes.get(record.node)
    if node is None:
        wrong("node_unknown", "The manifest does not name this computer.")
        return None
    payload, data = _payload(record, node, wrong)
    if payload is None:
        return None
    _check_identity(record, payload, node, wrong)
    _check_quantities(record, payload, wrong)
    _check_amounts(record, currency, wrong)
    return CheckedRecord(record, payload, protocol.meter_hash(data))


def _payload(
    record: Record, node: Node, wrong: Callable[[str, str], None]
) -> tuple[protocol.MeterPayload | None, bytes]:
    try:
        data = b64decode(record.record, validate=True)
    except (binascii.Error, ValueError):
        wrong("record_unreadable", "The record is not base64.")
        return None, b""
    if not is_signed(node.public_key, protocol.signed_bytes(data), bytes.fromhex(record.signature)):
        wrong("signature_invalid", "The car's key did not sign this record.")
        return None, data
    try:
        return protocol.unpack_meter(data), data
    except msgspec.DecodeError:
        wrong("record_unreadable", "The signed bytes are not a meter record.")
        return None, data


def _check_identity(
    record: Record, payload: protocol.MeterPayload, node: Node, wrong: Callable[[str, str], None]
) -> None:
    event = record.event
    # `items` stands twice in the package, in the event and in the bound: both must be what the car signed.
    by_car = (payload.node, payload.seq, payload.attempt, payload.items, payload.items, payload.outcome)
    in_package = (record.node, record.seq, event.data.attempt, event.data.items, record.bound.items, "ok")
    if by_car != in_package:
        wrong("not_what_was_signed", f"The car signed {by_car}, the package says {in_package}.")
    if event.id != str(uuid5(UUID(record.node), str(record.seq))) or event.source != f"/nodes/{record.node}":
        wrong("event_id", "The event's id or source does not belong to this record.")
    if not _in_order(node.enrolled_at, event.time):
        wrong("before_enrolment", f"It was verified at {event.time}, before the computer was enrolled.")


def _in_order(earlier: str, later: str) -> bool:
    """Return whether `later` is not before `earlier`, with CLOCK_SKEW allowed. False for texts that are no times."""
    try:
        return datetime.fromisoformat(later) - datetime.fromisoformat(earlier) > -CLOCK_SKEW
    except ValueError:
        return False


def _check_quantities(record: Record, payload: protocol.MeterPayload, wrong: Callable[[str, str], None]) -> None:
    data = record.event.data
    billed_ms = min(payload.compute_ms, limit_ms(record))
    if data.compute_ms != billed_ms:
        limits = f"signed {payload.compute_ms} ms, bound {limit_ms(record)} ms"
        wrong("time", f"{limits}: {billed_ms} ms must be billed, not {data.compute_ms} ms.")
    billed_mwh = min(payload.energy_mwh, limit_mwh(record, data.compute_ms))
    if data.energy_mwh != billed_mwh:
        limits = f"signed {payload.energy_mwh} mWh, bound {limit_mwh(record, data.compute_ms)} mWh"
        wrong("energy", f"{limits}: {billed_mwh} mWh must be billed, not {data.energy_mwh} mWh.")


def _check_amounts(record: Record, currency: str, wrong: Callable[[str, str], None]) -> None:
    data, costs = record.event.data, record.costs
    if data.prices.currency != currency:
        wrong("currency", f"It is priced in {data.prices.currency}, the statement is in {currency}.")
    expected = owner_micro(record)
    if data.amounts.owner_micro != expected:
        wrong("amount", f"The formula gives {expected} micro, the record was paid {data.amounts.owner_micro}.")
    energy = rating.round_half_even(data.energy_mwh * costs.tariff_micro_per_kwh * NANO_PER_MICRO, MWH_PER_KWH)
    wear = rating.round_half_even(data.energy_mwh * costs.wear_micro_per_kwh * NANO_PER_MICRO, MWH_PER_KWH)
    if (costs.energy_cost_nano, costs.wear_nano) != (energy, wear):
        stated = f"{costs.energy_cost_nano} and {costs.wear_nano}"
        wrong("costs", f"The tariffs give {energy} nano for energy and {wear} for wear, not {stated}.")
