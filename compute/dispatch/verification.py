"""Verify reported work: judge it valid or invalid, and write usage records for valid work.

A unit that wants one copy came from a trusted node and is accepted. Otherwise QUORUM copies from different owners must
agree: equal digests agree (decided in SQL), other results are compared within a tolerance. A copy that does not agree
is invalid and unpaid, and its node's trust starts again at zero.
"""

from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from django.db import connection

from compute import blobs, tensors
from compute.dispatch.trust import MAX_ATTEMPTS, MAX_COPIES, MAX_FAILURES, QUORUM
from core import workers
from core.db import atomic_retrying, execute_batch
from core.errors import InvalidInput, NotFound

BATCH = 5000
COMPARE_BATCH = 100

SINGLES = """
SELECT u.id, a.id FROM compute_attempt a JOIN compute_workunit u ON u.id = a.unit_id
 WHERE a.status = 'reported' AND u.status = 'open' AND u.copies_wanted = 1
 ORDER BY u.id LIMIT %s FOR UPDATE OF u SKIP LOCKED
"""

# Units with a quorum of copies that have the same digest.
IDENTICAL = """
WITH same AS (
    SELECT a.unit_id, a.result_sha256 FROM compute_attempt a JOIN compute_workunit u ON u.id = a.unit_id
     WHERE a.status = 'reported' AND u.status = 'open' AND u.copies_wanted > 1
     GROUP BY a.unit_id, a.result_sha256 HAVING count(*) >= %s
     ORDER BY a.unit_id LIMIT %s)
SELECT u.id, same.result_sha256 FROM compute_workunit u JOIN same ON same.unit_id = u.id
 WHERE u.status = 'open' ORDER BY u.id FOR UPDATE OF u SKIP LOCKED
"""

# Units whose copies have all been reported, without a quorum of equal digests.
UNDECIDED = """
SELECT u.id, u.copies_live, j.rtol, j.atol_scale FROM compute_workunit u JOIN compute_inferencejob j ON j.id = u.job_id
 WHERE u.status = 'open' AND u.copies_wanted > 1 AND u.copies_live = u.copies_wanted
   AND (SELECT count(*) FROM compute_attempt a WHERE a.unit_id = u.id AND a.status = 'reported') = u.copies_live
   AND u.id IN (SELECT unit_id FROM compute_attempt WHERE status = 'reported')
 ORDER BY u.id LIMIT %s FOR UPDATE OF u SKIP LOCKED
"""

COPIES = """
SELECT unit_id, id, result_sha256, result FROM compute_attempt
 WHERE unit_id = ANY(%s) AND status = 'reported' ORDER BY unit_id, fence
"""

JUDGE = """
UPDATE compute_attempt a SET status = v.status, status_code = v.code, ended_at = now()
  FROM unnest(%b::bigint[], %b::text[], %b::text[]) AS v(id, status, code)
 WHERE a.id = v.id AND a.status = 'reported'
"""

ACCEPT = """
UPDATE compute_workunit u SET status = 'accepted', canonical_id = v.attempt
  FROM unnest(%b::bigint[], %b::bigint[]) AS v(unit, attempt) WHERE u.id = v.unit AND u.status = 'open'
"""

COUNT_ACCEPTED = """
UPDATE compute_inferencejob j SET units_accepted = j.units_accepted + d.n
  FROM (SELECT job_id, count(*) AS n FROM compute_workunit WHERE id = ANY(%b::bigint[]) GROUP BY job_id) d WHERE j.id = d.job_id
"""

# A node's own meter readings are only claims (docs/metering.md, section 4), so they are bounded. Time counts up to the
# job's bound, rounded up. Energy counts up to 1.5 times what the class consumes in that time, rounded up.
# billing/rates/formula.py has the same two formulas for estimates.
USAGE = """
INSERT INTO compute_usagerecord (attempt_id, meter_record_id, job_id, organization_id, owner_id, vehicle_id, node_id,
                                 hardware_class_id, is_canonical, items, compute_ms, energy_mwh)
SELECT a.id, r.id, a.job_id, j.organization_id, a.owner_id, a.vehicle_id, a.node_id, n.hardware_class_id,
       u.canonical_id = a.id, u.items, paid.compute_ms,
       LEAST(r.energy_mwh, div(3 * LEAST(h.power_mw, j.power_max_mw)::numeric * paid.compute_ms + 7199999, 7200000))
  FROM compute_attempt a
  JOIN compute_workunit u ON u.id = a.unit_id
  JOIN compute_inferencejob j ON j.id = a.job_id
  JOIN compute_modelartifact m ON m.id = j.artifact_id
  JOIN compute_node n ON n.id = a.node_id
  JOIN compute_hardwareclass h ON h.id = n.hardware_class_id
  JOIN LATERAL (SELECT id, compute_ms, energy_mwh FROM compute_meterrecord
                 WHERE attempt_id = a.id AND outcome = 'ok' ORDER BY id LIMIT 1) r ON true
  JOIN LATERAL (SELECT LEAST(r.compute_ms,
                div(u.items::numeric * m.us_per_item * LEAST(h.slowness_permille, j.slowness_max_permille)
                    * j.paid_time_permille + 999999999, 1000000000))::bigint AS compute_ms) paid ON true
 WHERE a.id = ANY(%b::bigint[])
ON CONFLICT (attempt_id) DO NOTHING
"""

# Only replicated work earns trust. One wrong result sets it to zero.
TRUST = """
UPDATE compute_node n SET valid_streak = CASE WHEN d.wrong > 0 THEN 0 ELSE n.valid_streak + d.right END
  FROM (SELECT node_id, count(*) FILTER (WHERE status = 'invalid') AS wrong, count(*) FILTER (WHERE status = 'valid') AS right
          FROM compute_attempt WHERE id = ANY(%b::bigint[]) GROUP BY node_id) d
 WHERE n.id = d.node_id
"""

WIDEN = "UPDATE compute_workunit SET copies_wanted = copies_wanted + 1 WHERE id = ANY(%s)"

FAIL_UNITS = """
WITH hopeless AS (
    SELECT u.id, CASE WHEN u.copies_made >= %s THEN 'too_many_attempts' ELSE f.code END AS code
      FROM compute_workunit u
      JOIN compute_inferencejob j ON j.id = u.job_id AND j.status = 'running'
      JOIN LATERAL (SELECT count(*) AS n, max(status_code) AS code FROM compute_attempt
                     WHERE unit_id = u.id AND status = 'failed') f ON true
     WHERE u.status = 'open' AND u.copies_made >= %s AND u.copies_live < u.copies_wanted
       AND (f.n >= %s OR u.copies_made >= %s)
     LIMIT 500 FOR UPDATE OF u SKIP LOCKED)
UPDATE compute_workunit u SET status = 'failed', status_code = hopeless.code FROM hopeless WHERE u.id = hopeless.id
"""


@dataclass(frozen=True)
class Copy:
    """A reported copy of a unit. `result` holds the bytes of a small result; a larger one is the blob `sha256`."""

    attempt: int
    sha256: str
    result: bytes | None

    def arrays(self) -> dict[str, tensors.Array]:
        """Return the arrays of the result by name. Raise InvalidInput or NotFound if it cannot be read."""
        return tensors.load_result(bytes(self.result) if self.result else blobs.read(self.sha256))


@dataclass(frozen=True)
class Verdict:
    """The verdict on one unit: the attempts that agree (the first is canonical) and those that do not."""

    unit: int
    valid: list[int]
    invalid: list[int]


def verify() -> int:
    """Judge all reported work that can be judged now. Return how many units were accepted."""
    return _accept_singles() + _accept_identical() + _compare()


@atomic_retrying
def fail_hopeless_units() -> int:
    """Fail units that failed MAX_FAILURES times or took MAX_ATTEMPTS attempts. Return how many."""
    with connection.cursor() as cursor:
        cursor.execute(FAIL_UNITS, [MAX_ATTEMPTS, MAX_FAILURES, MAX_FAILURES, MAX_ATTEMPTS])
        return int(cursor.rowcount)


@atomic_retrying
def _accept_singles() -> int:
    with connection.cursor() as cursor:
        cursor.execute(SINGLES, [BATCH])
        rows = cursor.fetchall()
    _conclude([Verdict(unit, [attempt], []) for unit, attempt in rows], replicated=False)
    return len(rows)


@atomic_retrying
def _accept_identical() -> int:
    with connection.cursor() as cursor:
        cursor.execute(IDENTICAL, [QUORUM, BATCH])
        quorum = dict(cursor.fetchall())
    copies = _copies(list(quorum), with_results=False)
    verdicts = []
    for unit, digest in quorum.items():
        agreeing = [copy.attempt for copy in copies[unit] if copy.sha256 == digest]
        # A copy with another digest may still agree within the tolerance: `_compare` decides those units.
        if len(agreeing) == len(copies[unit]):
            verdicts.append(Verdict(unit, agreeing, []))
    _conclude(verdicts, replicated=True)
    return len(verdicts)


@atomic_retrying
def _compare() -> int:
    with connection.cursor() as cursor:
        cursor.execute(UNDECIDED, [COMPARE_BATCH])
        rows = cursor.fetchall()
    copies = _copies([row[0] for row in rows], with_results=True)
    verdicts, wider, hopeless = [], [], []
    for unit, live, rtol, atol_scale in rows:
        verdict = judge(unit, copies[unit], rtol=rtol, atol_scale=atol_scale)
        if verdict:
            verdicts.append(verdict)
        elif live < MAX_COPIES:
            wider.append(unit)
        else:
            hopeless.append(unit)
    _conclude(verdicts, replicated=True)
    with connection.cursor() as cursor:
        cursor.execute(WIDEN, [wider])
        cursor.execute(
            "UPDATE compute_workunit SET status = 'failed', status_code = 'no_quorum' WHERE id = ANY(%s)", [hopeless]
        )
    return len(verdicts)


def judge(unit: int, copies: list[Copy], *, rtol: float, atol_scale: float) -> Verdict | None:
    """Return the verdict of the copy with which most others agree (the first of several); None without QUORUM."""
    arrays = {}
    for copy in copies:
        try:
            arrays[copy.attempt] = copy.arrays()
        except (InvalidInput, NotFound):
            continue  # a result that cannot be read agrees with no other
    groups = [
        [other for other in arrays if tensors.results_agree(mine, arrays[other], rtol=rtol, atol_scale=atol_scale)]
        for mine in arrays.values()
    ]
    agreeing = max(groups, key=len, default=[])
    if len(agreeing) < QUORUM:
        return None
    return Verdict(unit, agreeing, [c.attempt for c in copies if c.attempt not in agreeing])


def _copies(units: list[int], *, with_results: bool) -> dict[int, list[Copy]]:
    found: dict[int, list[Copy]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(COPIES if with_results else COPIES.replace(", result FROM", ", NULL FROM"), [units])
        for unit, attempt, sha256, result in cursor.fetchall():
            found[unit].append(Copy(attempt, sha256, result))
    return found


def _conclude(verdicts: list[Verdict], *, replicated: bool) -> None:
    """Write the verdicts: attempts, units, the jobs' counts, usage records, and trust if the work was replicated."""
    if not verdicts:
        return
    judged: list[tuple[int, str, str]] = []
    for verdict in verdicts:
        judged += [(attempt, "valid", "") for attempt in verdict.valid]
        judged += [(attempt, "invalid", "outvoted") for attempt in verdict.invalid]
    attempts = [row[0] for row in judged]
    units, canonical = [v.unit for v in verdicts], [v.valid[0] for v in verdicts]
    statements: list[tuple[str, list[Any]]] = [
        (JUDGE, list(map(list, zip(*judged, strict=True)))),
        (ACCEPT, [units, canonical]),
        (COUNT_ACCEPTED, [units]),
        (USAGE, [[row[0] for row in judged if row[1] == "valid"]]),
    ]
    if replicated:
        statements.append((TRUST, [attempts]))
    for sql, parameters in statements:
        execute_batch(sql, parameters)
    workers.announce("usage")
