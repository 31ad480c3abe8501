"""Usage as events: the CloudEvents 1.0 envelope of a settled record, and of one that was taken back.

A record's identity is the computer that signed it and its number in that computer's chain, for ever; the event's id is made
of these two alone, so the same usage has the same id wherever and however often it is told. Readers drop what they have seen
by (source, id). A void is an event of its own, `data.voids` names the first; both stay visible.
"""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid5

from billing.verifier.format import Amounts, Prices, UsageData, UsageEvent

CONTENT_TYPE = "application/cloudevents-batch+json"
RECORDED, VOIDED = "driveway.usage.recorded.v1", "driveway.usage.voided.v1"


def event_id(node: UUID, seq: int) -> UUID:
    """Of the record that this node signed under this number."""
    return uuid5(node, str(seq))


def alias(node: UUID, job: UUID) -> UUID:
    """What a customer sees of a computer: one name for each of their jobs.

    Under its own name, a car could be watched from job to job: when it stands still, and for how long.
    """
    return uuid5(node, f"job:{job}")


def moment(at: datetime) -> str:
    """RFC 3339, in UTC."""
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def for_owner(
    *, node: UUID, seq: int, job: UUID, at: datetime, attempt: int, items: int, compute_ms: int, energy_mwh: int,
    prices: Prices, owner_micro: int,
) -> UsageEvent:  # fmt: skip
    """A recorded event as the car's owner gets it, beneath a statement."""
    return UsageEvent(
        specversion="1.0", id=str(event_id(node, seq)), source=f"/nodes/{node}", type="driveway.usage.recorded.v1",
        time=moment(at), subject=str(job), datacontenttype="application/json",
        data=UsageData(
            compute_ms=compute_ms, energy_mwh=energy_mwh, items=items, attempt=attempt, prices=prices,
            amounts=Amounts(owner_micro=owner_micro),
        ),
    )  # fmt: skip


def for_customer(
    *, node: UUID, seq: int, job: UUID, at: datetime, data: dict[str, Any], void: UUID | None = None, reason: str = ""
) -> dict[str, Any]:
    """An event as the customer gets it. With `void`, the event that takes the record back: its amounts are negative."""
    recorded = str(event_id(node, seq))
    return {
        "specversion": "1.0",
        "id": str(void) if void else recorded,
        "source": f"/nodes/{alias(node, job)}",
        "type": VOIDED if void else RECORDED,
        "time": moment(at),
        "subject": str(job),
        "datacontenttype": "application/json",
        "data": {**data, **({"voids": recorded, "reason": reason} if void else {})},
    }
