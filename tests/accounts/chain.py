"""Consent records as an attacker with SQL, or a clock, would make them."""

import hashlib
import json
import uuid
from datetime import timedelta
from typing import Any

from django.db import connection
from django.utils import timezone

from accounts.models import ConsentRecord, Vehicle
from accounts.services import consents

COLUMNS = (
    "created_at, public_id, owner_id, vehicle_id, notice_id, actor_id, purpose, state, method, at, expires_at, seq, payload,"
    " prev_hash, hash, signature"
)


def lapse(vehicle: Vehicle, purpose: str = "run_jobs") -> ConsentRecord:
    """A consent given two years ago for one: past its end, and nobody has written so yet."""
    at = timezone.now() - timedelta(days=730)
    return insert(next_record(vehicle, purpose=purpose, at=at, expires_at=at + timedelta(days=365)))


def next_record(vehicle: Vehicle, *, purpose: str = "run_jobs", state: str = "given", **changes: Any) -> dict[str, Any]:
    """The columns of the owner's next record, honest but for `changes`; names that begin `said_` change the payload."""
    notice = consents.current_notice(purpose)
    head = ConsentRecord.objects.filter(owner=vehicle.owner).order_by("-seq").first()
    row: dict[str, Any] = {
        "created_at": timezone.now(), "public_id": uuid.uuid4(), "owner_id": vehicle.owner_id, "vehicle_id": vehicle.pk,
        "notice_id": notice.pk, "actor_id": vehicle.owner.user_id, "purpose": purpose, "state": state, "method": "test",
        "at": timezone.now(), "expires_at": None, "seq": head.seq + 1 if head else 1,
        "prev_hash": head.hash if head else "0" * 64, "signature": "00" * 64,
    }  # fmt: skip
    row |= {name: changes.pop(name) for name in ("at", "expires_at") if name in changes}
    said = consents.record_fields(
        row["public_id"], vehicle.owner, vehicle, notice, state, vehicle.owner.user, "test", row["seq"], row["at"],
        row["expires_at"],
    ) | {name[5:]: changes.pop(name) for name in list(changes) if name.startswith("said_")}  # fmt: skip
    row["payload"] = changes.pop("payload", None) or json.dumps(said).encode()
    row |= {name: changes.pop(name) for name in ("prev_hash",) if name in changes}
    row["hash"] = hashlib.sha256(bytes.fromhex(row["prev_hash"]) + row["payload"]).hexdigest()
    return row | changes


def insert(row: dict[str, Any]) -> ConsentRecord:
    """Write the columns with plain SQL, past every service."""
    names = COLUMNS.replace("\n", "").split(", ")
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO accounts_consentrecord ({COLUMNS}) VALUES ({', '.join(['%s'] * len(names))}) RETURNING id",
            [row[name] for name in names],
        )
        return ConsentRecord.objects.get(pk=cursor.fetchone()[0])
