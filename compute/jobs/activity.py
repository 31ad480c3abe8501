"""The attempts that ran on a vehicle, page by page. Read-only. Every query uses an index, however long the history."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import connection

from accounts.models import Vehicle
from compute.models import Attempt, MeterRecord

WINDOW = 5_000  # rows read for one page; a rare outcome in a long history is found over several pages
BIGGEST_ID = 2**63 - 1
# Ids follow the order of leases, except for overlapping transactions. A search by time extends its range by this much.
SLACK = timedelta(minutes=10)

PAGE = """
WITH w AS MATERIALIZED (
    SELECT id, status, leased_at FROM compute_attempt
     WHERE vehicle_id = %(vehicle)s AND id < %(before)s AND id > %(after)s ORDER BY id DESC LIMIT %(window)s)
SELECT array(SELECT id FROM w WHERE (%(status)s = '' OR status = %(status)s)
                AND (%(since)s::timestamptz IS NULL OR leased_at >= %(since)s)
                AND (%(until)s::timestamptz IS NULL OR leased_at < %(until)s)
              ORDER BY id DESC LIMIT %(each)s + 1),
       (SELECT min(id) FROM w), (SELECT count(*) FROM w)
"""

# The largest id among the vehicle's attempts leased before a moment, by bisection over the ids: this needs no index by
# time.
LAST_BY = """
WITH RECURSIVE ends AS (
    SELECT (SELECT id FROM compute_attempt WHERE vehicle_id = %(vehicle)s ORDER BY id LIMIT 1) AS first,
           (SELECT id FROM compute_attempt WHERE vehicle_id = %(vehicle)s ORDER BY id DESC LIMIT 1) AS last),
search(lo, hi) AS (
    SELECT first - 1, last FROM ends WHERE first IS NOT NULL
    UNION ALL
    SELECT CASE WHEN probe.id IS NULL OR probe.leased_at < %(at)s THEN middle.id ELSE lo END,
           CASE WHEN probe.id IS NULL OR probe.leased_at < %(at)s THEN hi ELSE probe.id - 1 END
      FROM search
      JOIN LATERAL (SELECT (lo + hi + 1) / 2 AS id) middle ON true
      LEFT JOIN LATERAL (SELECT a.id, a.leased_at FROM compute_attempt a
                          WHERE a.vehicle_id = %(vehicle)s AND a.id > lo AND a.id <= middle.id
                          ORDER BY a.id DESC LIMIT 1) probe ON true
     WHERE lo < hi)
SELECT lo FROM search WHERE lo >= hi
"""


@dataclass(frozen=True)
class Page:
    """One page of attempts. `older` is `before` for the next page, None at the end.

    A page may be short or even empty without being the last one.
    """

    attempts: list[Attempt]
    older: int | None


def attempts_of(
    vehicle: Vehicle,
    *,
    before: int | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    status: str = "",
    each: int = 50,
    related: Sequence[str] = (),
) -> Page:
    """Return attempts of a vehicle, newest first, with their relations, in a fixed number of queries.

    Job, model, customer, unit, usage and the relations in `related` are loaded. `before` is an attempt id. `since`
    (included) and `until` (excluded) limit the time of the lease. `status` "" means all.
    """
    top = min(before or BIGGEST_ID, _last_by(vehicle, until + SLACK) + 1 if until else BIGGEST_ID)
    values = {
        "vehicle": vehicle.pk,
        "before": top,
        "after": _last_by(vehicle, since - SLACK) if since else 0,
        "since": since,
        "until": until,
        "status": status,
        "each": each,
        "window": WINDOW,
    }
    with connection.cursor() as cursor:
        cursor.execute(PAGE, values)
        ids, lowest, rows_read = cursor.fetchone()
    older = ids[each - 1] if len(ids) > each else lowest if rows_read == WINDOW else None
    rows = Attempt.objects.filter(pk__in=ids[:each]).defer("result").order_by("-id")
    return Page(list(rows.select_related("job__artifact", "job__organization", "unit", "usage", *related)), older)


def first_meter_records(attempts: Sequence[Attempt]) -> dict[int, MeterRecord]:
    """Return the first meter record of each attempt by attempt id; attempts without a record are left out."""
    rows = MeterRecord.objects.filter(attempt__in=[attempt.pk for attempt in attempts]).order_by("-id")
    return {row.attempt_id: row for row in rows.defer("record", "signature") if row.attempt_id is not None}


def _last_by(vehicle: Vehicle, at: datetime) -> int:
    with connection.cursor() as cursor:
        cursor.execute(LAST_BY, {"vehicle": vehicle.pk, "at": at})
        row = cursor.fetchone()
    return int(row[0]) if row else 0
