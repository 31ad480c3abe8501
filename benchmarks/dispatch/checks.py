"""What must hold after all rounds: otherwise the figures mean nothing. Every check counts violations."""

from __future__ import annotations

from django.db import connection

from billing.ledger.posting import recompute

CHECKS = {
    "units that are not accepted": "SELECT count(*) FROM compute_workunit WHERE status <> 'accepted'",
    "valid attempts without exactly one usage row": """
        SELECT count(*) FROM (SELECT a.id FROM compute_attempt a LEFT JOIN compute_usagerecord u ON u.attempt_id = a.id
                               WHERE a.status = 'valid' GROUP BY a.id HAVING count(u.id) <> 1) bad""",
    "usage rows of attempts that are not valid": """
        SELECT count(*) FROM compute_usagerecord u JOIN compute_attempt a ON a.id = u.attempt_id
         WHERE a.status <> 'valid'""",
    "units without exactly one canonical usage row": """
        SELECT count(*) FROM (SELECT w.id FROM compute_workunit w JOIN compute_attempt a ON a.unit_id = w.id
                                LEFT JOIN compute_usagerecord u ON u.attempt_id = a.id AND u.is_canonical
                               GROUP BY w.id HAVING count(u.id) <> 1) bad""",
    "attempts without consent in force when leased": """
        SELECT count(*) FROM compute_attempt a
         WHERE NOT EXISTS (
            SELECT FROM accounts_consentrecord r
             WHERE r.id = a.consent_record_id AND r.vehicle_id = a.vehicle_id AND r.purpose = 'run_jobs'
               AND r.state IN ('given', 'renewed') AND r.at <= a.leased_at
               AND (r.expires_at IS NULL OR r.expires_at > a.leased_at)
               AND NOT EXISTS (SELECT FROM accounts_consentrecord later
                                WHERE later.vehicle_id = r.vehicle_id AND later.purpose = r.purpose
                                  AND later.seq > r.seq AND later.at <= a.leased_at
                                  AND later.state NOT IN ('given', 'renewed')))""",
    "units with two valid attempts of one owner": """
        SELECT count(*) FROM (SELECT unit_id FROM compute_attempt WHERE status = 'valid'
                               GROUP BY unit_id, owner_id HAVING count(*) > 1) bad""",
    "meter records that break their chain": """
        SELECT count(*) FROM (SELECT prev_hash, seq, lag(hash, 1, repeat('0', 64)) OVER chain AS expected_hash,
                                     lag(seq, 1, 0::bigint) OVER chain AS last_seq FROM compute_meterrecord
                              WINDOW chain AS (PARTITION BY node_id ORDER BY seq)) m
         WHERE prev_hash <> expected_hash OR seq <> last_seq + 1""",
    "valid attempts without their three events": """
        SELECT count(*) FROM (SELECT a.id FROM compute_attempt a LEFT JOIN compute_attemptevent e ON e.attempt_id = a.id
                               WHERE a.status = 'valid' GROUP BY a.id HAVING count(e.id) <> 3) bad""",
    "usage rows that are not settled": "SELECT count(*) FROM compute_usagerecord WHERE settled_at IS NULL",
}


def violations() -> dict[str, int]:
    """Return check -> number of rows that violate it."""
    counts = {}
    with connection.cursor() as cursor:
        for name, sql in CHECKS.items():
            cursor.execute(sql)
            counts[name] = int(cursor.fetchone()[0])
    return {**counts, "differences in the recomputed ledger": len(recompute())}
