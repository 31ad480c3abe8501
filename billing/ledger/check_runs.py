"""Running the ledger's checks, and storing the differences that operators see until a later run finds them gone."""

import logging
import time
from collections.abc import Collection, Sequence
from typing import Any

from django.db import connection, transaction
from django.db.models.functions import Now

from accounts.access import audit
from accounts.models import User
from billing.ledger.checks import CHECKS, Difference, recompute
from billing.models import LedgerCheck, LedgerDifference
from core.errors import InvalidInput

logger = logging.getLogger(__name__)
# Advisory lock, "ledger" in ASCII: a run that began earlier must not write its findings after one that began later.
ADVISORY_LOCK = 0x6C6564676572
NOTE_MAX = 500

# A difference that an earlier run found keeps its first run and its note.
UPDATE_KNOWN = """
UPDATE billing_ledgerdifference d SET expected_micro = f.expected, actual_micro = f.actual, last_seen_id = %s
  FROM unnest(%s::text[], %s::text[], %s::numeric[], %s::numeric[]) AS f (name, subject, expected, actual)
 WHERE d.gone_at IS NULL AND (d.check_name, d.subject) = (f.name, f.subject)
"""
INSERT_NEW = """
INSERT INTO billing_ledgerdifference
       (check_name, subject, expected_micro, actual_micro, first_seen_id, last_seen_id, created_at)
SELECT f.name, f.subject, f.expected, f.actual, %s, %s, now()
  FROM unnest(%s::text[], %s::text[], %s::numeric[], %s::numeric[]) AS f (name, subject, expected, actual)
    ON CONFLICT (check_name, subject) WHERE gone_at IS NULL DO NOTHING
"""


def run(*, names: Collection[str] = tuple(CHECKS)) -> list[Difference]:
    """Run the checks on one snapshot, store the run and its differences, and return the differences.

    A difference that is stored as open is closed if its check ran and did not find it again. Each one found is logged
    as an error. Safe in many processes at once.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        began_at = time.monotonic()
        found = recompute(names)
        check = LedgerCheck.objects.create(
            checks=len(names), differences=len(found), took_ms=round((time.monotonic() - began_at) * 1000)
        )
        _write(check, found)
        LedgerDifference.objects.filter(gone_at=None, check_name__in=names).exclude(last_seen=check).update(
            gone_at=Now()
        )
    for difference in found:
        logger.error("the ledger does not add up: %s", difference)
    return found


def note(*, difference: LedgerDifference, text: str, actor: User) -> LedgerDifference:
    """Store an operator's note on a difference, with an audit row. Raises InvalidInput (`note_too_long`)."""
    text = text.strip()
    if len(text) > NOTE_MAX:
        raise InvalidInput(f"A note has at most {NOTE_MAX} characters.", code="note_too_long")
    with transaction.atomic():
        row = LedgerDifference.objects.select_for_update().get(pk=difference.pk)
        row.note = text
        row.save(update_fields=["note"])
        audit.record(
            actor=actor,
            action="ledger_difference.note",
            subject=row.pk,
            check=row.check_name,
            of=row.subject,
            note=text,
        )
    return row


def _write(check: LedgerCheck, found: Sequence[Difference]) -> None:
    if not found:
        return
    rows = {(diff.check, diff.subject): (diff.expected_micro, diff.actual_micro) for diff in found}
    columns: list[list[Any]] = [
        [name for name, _ in rows],
        [subject for _, subject in rows],
        [expected for expected, _ in rows.values()],
        [actual for _, actual in rows.values()],
    ]
    with connection.cursor() as cursor:
        cursor.execute(UPDATE_KNOWN, [check.pk, *columns])
        cursor.execute(INSERT_NEW, [check.pk, check.pk, *columns])
