"""A run of the ledger's checks, and its differences as rows that operators see until they are gone."""

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
ONE_AT_A_TIME = 0x6C6564676572  # "ledger": a run that began earlier must not speak after one that began later
NOTE_MAX = 500

# Rows of one run: what was there before keeps its first sight and its note.
SEEN_AGAIN = """
UPDATE billing_ledgerdifference d SET expected_micro = f.expected, actual_micro = f.actual, last_seen_id = %s
  FROM unnest(%s::text[], %s::text[], %s::numeric[], %s::numeric[]) AS f (name, subject, expected, actual)
 WHERE d.gone_at IS NULL AND (d.check_name, d.subject) = (f.name, f.subject)
"""
SEEN_FIRST = """
INSERT INTO billing_ledgerdifference
       (check_name, subject, expected_micro, actual_micro, first_seen_id, last_seen_id, created_at)
SELECT f.name, f.subject, f.expected, f.actual, %s, %s, now()
  FROM unnest(%s::text[], %s::text[], %s::numeric[], %s::numeric[]) AS f (name, subject, expected, actual)
    ON CONFLICT (check_name, subject) WHERE gone_at IS NULL DO NOTHING
"""


def run(*, names: Collection[str] = tuple(CHECKS)) -> list[Difference]:
    """Make the checks over one snapshot; write the run, and open, renew and close the rows of its differences.

    A difference is gone when its check ran and did not find it. What is found is logged as well. May run twice, at once.
    """
    with transaction.atomic():
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ONE_AT_A_TIME])
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
    """Keep what an operator found out, with an audit row. Raises InvalidInput `note_too_long`."""
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
    rows = {(one.check, one.subject): (one.expected_micro, one.actual_micro) for one in found}
    columns: list[list[Any]] = [
        [name for name, _ in rows],
        [subject for _, subject in rows],
        [expected for expected, _ in rows.values()],
        [actual for _, actual in rows.values()],
    ]
    with connection.cursor() as cursor:
        cursor.execute(SEEN_AGAIN, [check.pk, *columns])
        cursor.execute(SEEN_FIRST, [check.pk, check.pk, *columns])
