"""Read the signed meter records behind a statement's transfers, in the form of its package.

The rows are streamed from the database, since a month may have a million.
"""

from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db import connection

from billing.models import Statement
from billing.rates import formula as rating
from billing.usage import events as usage_events
from billing.verifier.format import Bound, Costs, LineKey, Prices, Record, Void
from core.money import MWH_PER_KWH, NANO_PER_MICRO

FETCH_ROWS = 500
# Kind of transfer -> kind of statement line: the customer pays for work, the platform pays for checking others' work.
LINE_KINDS = {"share": "work", "verification": "check"}

# Class figures (in JOINS): the newest that were in force when the record was verified, or, for a class whose history
# began later than that, the first. The owner's tariff and wear are read only while the car still belongs to that owner.
COLUMNS = """
       n.public_id, m.seq, m.record, m.signature, j.public_id,
       u.created_at, u.attempt_id, u.items, u.compute_ms, u.energy_mwh,
       c.currency, o.price_micro_per_hour, o.price_micro_per_kwh, o.owner_share_permille, r.owner_micro,
       a.us_per_item, j.paid_time_permille, LEAST(f.slowness_permille, j.slowness_max_permille),
       LEAST(f.power_mw, j.power_max_mw),
       r.energy_cost_nano, r.wear_nano,
       CASE WHEN v.owner_id = u.owner_id THEN
            accounts_tariff_micro(p.tariff_micro_per_kwh, p.tariff_windows,
                                  COALESCE(NULLIF(p.time_zone, ''), w.time_zone),
                                  COALESCE(t.leased_at, u.created_at)) END,
       CASE WHEN v.owner_id = u.owner_id THEN p.wear_micro_per_kwh END,
       v.public_id, h.slug, paid.public_id, paid.kind
"""
JOINS = """
  JOIN billing_ledgertransfer paid ON paid.id = r.owner_transfer_id
  JOIN compute_usagerecord u ON u.id = r.usage_id
  JOIN compute_meterrecord m ON m.id = u.meter_record_id
  JOIN compute_node n ON n.id = u.node_id
  JOIN compute_inferencejob j ON j.id = u.job_id
  JOIN compute_modelartifact a ON a.id = j.artifact_id
  JOIN compute_attempt t ON t.id = u.attempt_id
  JOIN compute_hardwareclass h ON h.id = u.hardware_class_id
  JOIN billing_joborder o ON o.id = r.order_id
  JOIN billing_ratecard c ON c.id = o.rate_card_id
  JOIN accounts_vehicle v ON v.id = u.vehicle_id
  JOIN accounts_owner w ON w.id = u.owner_id
  LEFT JOIN accounts_ownerpolicy p ON p.vehicle_id = u.vehicle_id
  JOIN LATERAL (
       SELECT power_mw, slowness_permille FROM compute_classfigures x WHERE x.hardware_class_id = u.hardware_class_id
        ORDER BY x.valid_from_at <= u.created_at DESC,
                 CASE WHEN x.valid_from_at <= u.created_at THEN x.id END DESC, x.id LIMIT 1) f ON true
"""
PAID = f"""
SELECT {COLUMNS}
  FROM billing_statemententry e
  JOIN billing_ratedusage r ON r.owner_transfer_id = e.transfer_id
{JOINS}
 WHERE e.statement_id = %s ORDER BY n.public_id, m.seq
"""  # noqa: S608 - constants only
# A correction's idempotency key is `void:<public id of the void>:owner`.
VOIDED = f"""
SELECT {COLUMNS}, d.public_id, d.created_at, d.reason, back.public_id
  FROM billing_statemententry e
  JOIN billing_ledgertransfer back ON back.id = e.transfer_id AND back.kind = 'correction'
  JOIN billing_usagevoid d ON back.idempotency_key LIKE 'void:%%'
       AND d.public_id::text = split_part(back.idempotency_key, ':', 2)
  JOIN billing_ratedusage r ON r.id = d.rated_id
{JOINS}
 WHERE e.statement_id = %s ORDER BY n.public_id, m.seq
"""  # noqa: S608 - constants only


@dataclass(frozen=True)
class Row:
    """One row of COLUMNS, in that order."""

    node: UUID
    seq: int
    record: bytes
    signature: bytes
    job: UUID
    verified_at: datetime
    attempt: int
    items: int
    compute_ms: int
    energy_mwh: int
    currency: str
    price_micro_per_hour: int
    price_micro_per_kwh: int
    owner_share_permille: int
    owner_micro: int
    us_per_item: int
    paid_time_permille: int
    slowness_permille: int
    power_mw: int
    energy_cost_nano: int
    wear_nano: int
    tariff_micro: int | None
    wear_micro: int | None
    vehicle: UUID
    hardware_class: str
    transfer: UUID
    transfer_kind: str


ROW_COLUMNS = len(Row.__dataclass_fields__)


def paid_records(statement: Statement) -> Iterator[Record]:
    """Yield every record that a transfer of this statement pays, ordered by computer and number."""
    for row in _rows(PAID, statement):
        yield _record(Row(*row))


def posted_voids(statement: Statement) -> Iterator[Void]:
    """Yield every void that a correction of this statement posts, with the record as it was paid."""
    for row in _rows(VOIDED, statement):
        void, at, reason, transfer = row[ROW_COLUMNS:]
        yield Void(
            id=str(void),
            time=usage_events.rfc3339(at),
            reason=reason,
            transfer=str(transfer),
            original=_record(Row(*row[:ROW_COLUMNS])),
        )


def _rows(sql: str, statement: Statement) -> Iterator[tuple[Any, ...]]:
    with connection.chunked_cursor() as cursor:
        cursor.execute(sql, [statement.pk])
        while rows := cursor.fetchmany(FETCH_ROWS):
            yield from rows


def _record(row: Row) -> Record:
    prices = Prices(
        currency=row.currency,
        micro_per_hour=row.price_micro_per_hour,
        micro_per_kwh=row.price_micro_per_kwh,
        owner_share_permille=row.owner_share_permille,
    )
    event = usage_events.for_owner(
        node=row.node,
        seq=row.seq,
        job=row.job,
        at=row.verified_at,
        attempt=row.attempt,
        items=row.items,
        compute_ms=row.compute_ms,
        energy_mwh=row.energy_mwh,
        prices=prices,
        owner_micro=row.owner_micro,
    )
    return Record(
        event=event,
        node=str(row.node),
        seq=row.seq,
        record=b64encode(bytes(row.record)).decode(),
        signature=bytes(row.signature).hex(),
        bound=Bound(
            items=row.items,
            us_per_item=row.us_per_item,
            slowness_permille=row.slowness_permille,
            paid_time_permille=row.paid_time_permille,
            power_mw=row.power_mw,
        ),
        costs=_costs(row),
        transfer=str(row.transfer),
        line=LineKey(
            kind=LINE_KINDS.get(row.transfer_kind, row.transfer_kind),
            vehicle=str(row.vehicle),
            hardware_class=row.hardware_class,
            service_month=f"{usage_events.rfc3339(row.verified_at):.7}-01",
        ),
    )


def _costs(row: Row) -> Costs:
    """Return the owner's own costs, each with the price per kWh behind it and where that price comes from."""
    tariff, wear = (
        _tariff(row.energy_mwh, cost, present)
        for cost, present in ((row.energy_cost_nano, row.tariff_micro), (row.wear_nano, row.wear_micro))
    )
    return Costs(
        tariff_micro_per_kwh=tariff[0],
        tariff_from="rules" if tariff[1] else "settled",
        energy_cost_nano=row.energy_cost_nano,
        wear_micro_per_kwh=wear[0],
        wear_from="rules" if wear[1] else "settled",
        wear_nano=row.wear_nano,
    )


def _tariff(energy_mwh: int, cost_nano: int, present: int | None) -> tuple[int, bool]:
    """Return (price per kWh that gives this cost, whether it is the present price).

    The owner's rules may have changed since the cost was noted. Then the price is computed back from the cost.
    """
    if present is not None and _cost(energy_mwh, present) == cost_nano:
        return present, True
    if not energy_mwh:
        return 0, False
    # The smallest price whose cost can round to `cost_nano`; rounding makes it one of three.
    lowest = (2 * cost_nano - 1) * MWH_PER_KWH // (2 * energy_mwh * NANO_PER_MICRO)
    candidates = range(max(0, lowest), max(0, lowest) + 3)
    return next((price for price in candidates if _cost(energy_mwh, price) == cost_nano), candidates[0]), False


def _cost(energy_mwh: int, micro_per_kwh: int) -> int:
    return rating.round_half_even(energy_mwh * micro_per_kwh * NANO_PER_MICRO, MWH_PER_KWH)
