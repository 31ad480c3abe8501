"""One record: is it what the car signed, is no more billed than that and the bounds allow, and is the amount the formula's?"""

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
from billing.verifier.keys import signed
from compute import protocol

NANO_PER_MICRO = 1_000
MWH_PER_KWH = 1_000_000
CLOCKS_DIFFER = timedelta(minutes=5)
Tell = Callable[[Finding], None]


@dataclass(frozen=True)
class Checked:
    """A record whose bytes and signature are good."""

    record: Record
    payload: protocol.MeterPayload
    hash: str


def limit_ms(record: Record) -> int:
    """The longest time that is billed for a unit: so many times what the trial run took, on computers of this class."""
    bound = record.bound
    return rating.paid_time_ms(
        items=bound.items,
        us_per_item=bound.us_per_item,
        slowness_permille=bound.slowness_permille,
        paid_time_permille=bound.paid_time_permille,
    )


def limit_mwh(record: Record, billed_ms: int) -> int:
    """The most energy that is billed for that time: the class's draw, and half as much again."""
    return rating.energy_mwh(compute_ms=billed_ms, power_mw=record.bound.power_mw)


def owner_micro(record: Record) -> int:
    """What the formula gives for the quantities that the record bears out."""
    data = record.event.data
    return rating.owner_micro(
        compute_ms=data.compute_ms,
        energy_mwh=data.energy_mwh,
        price_micro_per_hour=data.prices.micro_per_hour,
        price_micro_per_kwh=data.prices.micro_per_kwh,
        owner_share_permille=data.prices.owner_share_permille,
    )


def check(record: Record, nodes: Mapping[str, Node], currency: str, tell: Tell) -> Checked | None:
    """Tells all that is wrong with a record. None when its bytes are not what the named car signed."""
    where = f"record {record.seq} of {record.node}"

    def wrong(code: str, sentence: str) -> None:
        tell(Finding(code, where, sentence))

    node = nodes.get(record.node)
    if node is None:
        wrong("node_unknown", "The manifest names no such computer.")
        return None
    payload, data = _payload(record, node, wrong)
    if payload is None:
        return None
    _check_identity(record, payload, node, wrong)
    _check_quantities(record, payload, wrong)
    _check_amounts(record, currency, wrong)
    return Checked(record, payload, protocol.meter_hash(data))


def _payload(
    record: Record, node: Node, wrong: Callable[[str, str], None]
) -> tuple[protocol.MeterPayload | None, bytes]:
    try:
        data = b64decode(record.record, validate=True)
    except (binascii.Error, ValueError):
        wrong("record_unreadable", "The record is not base64.")
        return None, b""
    if not signed(node.public_key, protocol.signed_bytes(data), bytes.fromhex(record.signature)):
        wrong("signature_invalid", "The car's key did not sign this record.")
        return None, data
    try:
        return protocol.unpack_meter(data), data
    except msgspec.DecodeError:
        wrong("record_unreadable", "The signed bytes are no meter record.")
        return None, data


def _check_identity(
    record: Record, payload: protocol.MeterPayload, node: Node, wrong: Callable[[str, str], None]
) -> None:
    event = record.event
    said = (payload.node, payload.seq, payload.attempt, payload.items, payload.items, payload.outcome)
    shown = (record.node, record.seq, event.data.attempt, event.data.items, record.bound.items, "ok")
    if said != shown:
        wrong("not_what_was_signed", f"The car signed {said}, the package says {shown}.")
    if event.id != str(uuid5(UUID(record.node), str(record.seq))) or event.source != f"/nodes/{record.node}":
        wrong("event_id", "The event's id or source is not that of this record.")
    if not _in_order(node.enrolled_at, event.time):
        wrong("before_enrolment", f"It was verified at {event.time}, before the computer was connected.")


def _in_order(earlier: str, later: str) -> bool:
    """Give or take what the platform's own clocks may differ by."""
    try:
        return datetime.fromisoformat(later) - datetime.fromisoformat(earlier) > -CLOCKS_DIFFER
    except ValueError:
        return False


def _check_quantities(record: Record, payload: protocol.MeterPayload, wrong: Callable[[str, str], None]) -> None:
    data = record.event.data
    billed_ms = min(payload.compute_ms, limit_ms(record))
    if data.compute_ms != billed_ms:
        bounds = f"signed {payload.compute_ms} ms, bound {limit_ms(record)} ms"
        wrong("time", f"{bounds}: {billed_ms} ms must be billed, not {data.compute_ms} ms.")
    billed_mwh = min(payload.energy_mwh, limit_mwh(record, data.compute_ms))
    if data.energy_mwh != billed_mwh:
        bounds = f"signed {payload.energy_mwh} mWh, bound {limit_mwh(record, data.compute_ms)} mWh"
        wrong("energy", f"{bounds}: {billed_mwh} mWh must be billed, not {data.energy_mwh} mWh.")


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
        told = f"{costs.energy_cost_nano} and {costs.wear_nano}"
        wrong("costs", f"The tariffs give {energy} nano for energy and {wear} for wear, not {told}.")
