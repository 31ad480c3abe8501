"""Usage as CloudEvents 1.0: an event for each settled record, and one for each void that takes a record back.

A record's identity is the computer that signed it and its number in that computer's chain, for ever. The event's id is
derived from these two alone, so the same usage has the same id wherever and however often it is read; readers recognise
duplicates by (source, id). A void is an event of its own, and its `data.voids` names the event that it cancels; both
stay visible.
"""

import base64
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID, uuid5

from django.db import connection

from accounts.models import Organization
from billing.verifier.format import Amounts, Prices, UsageData, UsageEvent
from core.errors import NotFound

CONTENT_TYPE = "application/cloudevents-batch+json"
RECORDED, VOIDED = "driveway.usage.recorded.v1", "driveway.usage.voided.v1"


def event_id(node: UUID, seq: int) -> UUID:
    """Return the id of the event for the record that this node signed under this number."""
    return uuid5(node, str(seq))


def node_alias(node: UUID, job: UUID) -> UUID:
    """Return the name under which a customer sees a computer, which differs from job to job.

    Under a constant name, customers could follow a car from job to job and learn when it stands still, and for how
    long.
    """
    return uuid5(node, f"job:{job}")


def rfc3339(at: datetime) -> str:
    """Format a time as RFC 3339 in UTC, with microseconds."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def for_owner(
    *,
    node: UUID,
    seq: int,
    job: UUID,
    at: datetime,
    attempt: int,
    items: int,
    compute_ms: int,
    energy_mwh: int,
    prices: Prices,
    owner_micro: int,
) -> UsageEvent:
    """Return the recorded event as the car's owner gets it in the package of a statement."""
    return UsageEvent(
        specversion="1.0",
        id=str(event_id(node, seq)),
        source=f"/nodes/{node}",
        type="driveway.usage.recorded.v1",
        time=rfc3339(at),
        subject=str(job),
        datacontenttype="application/json",
        data=UsageData(
            compute_ms=compute_ms,
            energy_mwh=energy_mwh,
            items=items,
            attempt=attempt,
            prices=prices,
            amounts=Amounts(owner_micro=owner_micro),
        ),
    )


def for_customer(
    *, node: UUID, seq: int, job: UUID, at: datetime, data: dict[str, Any], void: UUID | None = None, reason: str = ""
) -> dict[str, Any]:
    """Return the event as the customer gets it.

    With `void`, the event that takes the record back; `data` is then negative.
    """
    recorded = str(event_id(node, seq))
    return {
        "specversion": "1.0",
        "id": str(void) if void else recorded,
        "source": f"/nodes/{node_alias(node, job)}",
        "type": VOIDED if void else RECORDED,
        "time": rfc3339(at),
        "subject": str(job),
        "datacontenttype": "application/json",
        "data": {**data, **({"voids": recorded, "reason": reason} if void else {})},
    }


PAGE_MAX = 1_000
RECORD, VOID = 0, 1  # the kinds in the order of events: (job, kind, id), newest first
CURSOR = re.compile(r"\d{1,18}-[01]-\d{1,18}")
NEWEST = (2**62, VOID, 2**62)  # the position before the first event

# Each order is limited to a page before the joins, so that a page costs the same however large the order is. Copies
# that check other work (not canonical) are the platform's expense and not the customer's usage.
EVENTS = """
SELECT o.job_id, e.kind, e.id, j.public_id, e.at, e.void, e.reason, n.public_id, m.seq,
       u.attempt_id, u.items, u.compute_ms, u.energy_mwh,
       c.currency, o.price_micro_per_hour, o.price_micro_per_kwh, r.charged_micro
  FROM billing_joborder o
  JOIN billing_ratecard c ON c.id = o.rate_card_id
  JOIN compute_inferencejob j ON j.id = o.job_id
 CROSS JOIN LATERAL (
      (SELECT 1 AS kind, v.id, v.rated_id, v.created_at AS at, v.public_id AS void, v.reason
         FROM billing_usagevoid v JOIN billing_ratedusage x ON x.id = v.rated_id
         JOIN compute_usagerecord y ON y.id = x.usage_id AND y.is_canonical
        WHERE x.order_id = o.id AND (o.job_id, 1, v.id) < (%(job)s, %(kind)s, %(id)s) AND %(voided)s
        ORDER BY v.id DESC LIMIT %(limit)s)
      UNION ALL
      (SELECT 0, x.id, x.id, x.created_at, NULL, ''
         FROM billing_ratedusage x JOIN compute_usagerecord y ON y.id = x.usage_id AND y.is_canonical
        WHERE x.order_id = o.id AND (o.job_id, 0, x.id) < (%(job)s, %(kind)s, %(id)s) AND %(recorded)s
        ORDER BY x.id DESC LIMIT %(limit)s)) e
  JOIN billing_ratedusage r ON r.id = e.rated_id
  JOIN compute_usagerecord u ON u.id = r.usage_id
  JOIN compute_meterrecord m ON m.id = u.meter_record_id
  JOIN compute_node n ON n.id = u.node_id
 WHERE o.organization_id = %(organization)s AND o.job_id <= %(job)s
   AND (%(only)s::uuid IS NULL OR j.public_id = %(only)s)
 ORDER BY o.job_id DESC, e.kind DESC, e.id DESC LIMIT %(limit)s
"""


@dataclass(frozen=True)
class Page:
    """Some events, newest order first, and where to go on."""

    events: list[dict[str, Any]]
    next_cursor: str  # "" when this is the last page


def page(
    organization: Organization, *, limit: int, cursor: str = "", job: UUID | None = None, kinds: Sequence[str] = ()
) -> Page:
    """Return at most `limit` events after the cursor, of one job or all, and of the types in `kinds` (empty: both).

    Raises NotFound for a cursor that we did not make.
    """
    after = _position(cursor)
    values = {
        "organization": organization.pk,
        "job": after[0],
        "kind": after[1],
        "id": after[2],
        "only": job,
        "voided": not kinds or VOIDED in kinds,
        "recorded": not kinds or RECORDED in kinds,
        "limit": limit + 1,  # one more than wanted shows whether there is another page
    }
    with connection.cursor() as db_cursor:
        db_cursor.execute(EVENTS, values)
        rows = db_cursor.fetchall()
    last = rows[limit - 1][:3] if len(rows) > limit else None
    return Page([_event(_Row(*row[3:])) for row in rows[:limit]], _cursor(*last) if last else "")


class _Row(NamedTuple):
    """What EVENTS selects of one event, after the three columns of its position."""

    job: UUID
    at: datetime
    void: UUID | None
    reason: str
    node: UUID
    seq: int
    attempt: int
    items: int
    compute_ms: int
    energy_mwh: int
    currency: str
    per_hour: int
    per_kwh: int
    charged_micro: int


def _event(row: _Row) -> dict[str, Any]:
    sign = -1 if row.void else 1
    data = {
        "compute_ms": sign * row.compute_ms,
        "energy_mwh": sign * row.energy_mwh,
        "items": sign * row.items,
        "attempt": row.attempt,
        "prices": {"currency": row.currency, "micro_per_hour": row.per_hour, "micro_per_kwh": row.per_kwh},
        "amounts": {"charged_micro": sign * row.charged_micro},
    }
    return for_customer(node=row.node, seq=row.seq, job=row.job, at=row.at, data=data, void=row.void, reason=row.reason)


def _cursor(job_id: int, kind: int, row_id: int) -> str:
    return base64.urlsafe_b64encode(f"{job_id}-{kind}-{row_id}".encode()).decode().rstrip("=")


def _position(cursor: str) -> tuple[int, int, int]:
    if not cursor:
        return NEWEST
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
    except ValueError:
        text = ""
    if not CURSOR.fullmatch(text):
        raise NotFound("There is no such page.")
    job_id, kind, row_id = map(int, text.split("-"))
    return job_id, kind, row_id


def as_batch(events: list[dict[str, Any]]) -> bytes:
    """Encode events in the CloudEvents JSON batch format: an array of events."""
    return json.dumps(events, separators=(",", ":")).encode()
