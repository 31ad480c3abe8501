"""Moves rows of the made-up month into the past, as the owner of the tables.

The services write the time of the transaction, `now()`, or a later one. So within this one transaction a time that is
not before `now()` belongs to what was done since the last move, and one before it was moved already.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from django.db import connection

from compute.models import InferenceJob

# Attempts of one round: their own times, then those of everything that follows from them. Parameters: job, end (of the
# round), and per attempt id, start and end.
ROUND = (
    """
UPDATE compute_attempt a SET leased_at = r.starts, delivered_at = r.starts + interval '1 second', reported_at = r.ends,
       expires_at = r.ends + interval '15 seconds', cancel_sent_at = r.ends
  FROM unnest(%(ids)s::bigint[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]) AS r(id, starts, ends)
 WHERE a.id = r.id
""",
    "UPDATE compute_attempt SET ended_at = %(end)s WHERE job_id = %(job)s AND ended_at >= now()",
    """
UPDATE compute_attemptevent e SET at = CASE e.to_status WHEN 'leased' THEN a.leased_at WHEN 'reported' THEN a.reported_at
                                       ELSE a.ended_at END
  FROM compute_attempt a WHERE a.job_id = %(job)s AND e.attempt_id = a.id AND e.at >= now()
""",
    """
UPDATE compute_meterrecord m SET received_at = a.reported_at
  FROM compute_attempt a WHERE a.job_id = %(job)s AND m.attempt_id = a.id AND m.received_at >= now()
""",
    "UPDATE compute_usagerecord SET created_at = %(end)s WHERE job_id = %(job)s AND created_at >= now()",
)
# A whole job, from its order to the release of its hold. Settlement takes the time of its transfers from the usage.
JOB = (
    """
UPDATE compute_inferencejob SET created_at = %(start)s, started_at = %(start)s + interval '4 seconds',
       finished_at = %(end)s WHERE id = %(job)s
""",
    """
UPDATE compute_inferencejobevent SET at = CASE to_status WHEN 'queued' THEN %(start)s
       WHEN 'running' THEN %(start)s + interval '4 seconds' ELSE %(end)s END WHERE inferencejob_id = %(job)s
""",
    "UPDATE compute_workunit SET not_before_at = NULL WHERE job_id = %(job)s",
    """
UPDATE compute_usagerecord SET settled_at = created_at + interval '2 seconds'
 WHERE job_id = %(job)s AND settled_at >= now()
""",
    """
UPDATE billing_ratedusage r SET created_at = u.settled_at FROM compute_usagerecord u
 WHERE u.job_id = %(job)s AND r.usage_id = u.id
""",
    """
UPDATE billing_joborder SET created_at = %(start)s, closed_at = %(end)s + interval '5 seconds' WHERE id = %(order)s
""",
    """
UPDATE billing_ledgertransfer SET posted_at = effective_at + interval '2 seconds'
 WHERE idempotency_key LIKE 'settle:' || %(order)s || ':%%' AND posted_at >= now()
""",
    """
UPDATE billing_ledgertransfer SET effective_at = %(start)s, posted_at = %(start)s
 WHERE idempotency_key = 'hold:' || %(job)s
""",
    """
UPDATE billing_ledgertransfer SET effective_at = %(end)s + interval '5 seconds', posted_at = %(end)s + interval '5 seconds'
 WHERE idempotency_key = 'release:' || %(job)s
""",
)
TOP_UP = (
    "UPDATE billing_topup SET created_at = %(at)s WHERE id = %(id)s",
    """
UPDATE billing_ledgertransfer SET effective_at = %(at)s, posted_at = %(at)s
 WHERE id = (SELECT transfer_id FROM billing_topup WHERE id = %(id)s)
""",
)
# What was there when the month began: people, cars, their computers, the texts that they consented to, and prices. Rows
# that are older stay as they are.
SCENE = (
    "UPDATE accounts_user SET created_at = %(at)s WHERE id = ANY(%(users)s) AND created_at > %(at)s",
    "UPDATE accounts_owner SET created_at = %(at)s WHERE user_id = ANY(%(users)s) AND created_at > %(at)s",
    """
UPDATE accounts_organization SET created_at = %(at)s WHERE id = %(organization)s AND created_at > %(at)s
""",
    "UPDATE accounts_membership SET created_at = %(at)s WHERE user_id = ANY(%(users)s) AND created_at > %(at)s",
    "UPDATE accounts_operator SET created_at = %(at)s WHERE user_id = ANY(%(users)s) AND created_at > %(at)s",
    "UPDATE accounts_vehicle SET created_at = %(at)s WHERE id = ANY(%(vehicles)s)",
    "UPDATE compute_node SET created_at = %(at)s WHERE vehicle_id = ANY(%(vehicles)s)",
    """
UPDATE compute_nodeevent SET at = %(at)s
 WHERE to_status = 'active' AND node_id IN (SELECT id FROM compute_node WHERE vehicle_id = ANY(%(vehicles)s))
""",
    """
UPDATE accounts_mail SET created_at = %(at)s, due_at = %(at)s, sent_at = %(at)s
 WHERE user_id = ANY(%(users)s) AND kind = 'vehicle-paired' AND created_at >= now()
""",
    "UPDATE compute_hardwareclass SET created_at = %(at)s WHERE created_at >= now()",
    "UPDATE compute_classfigures SET valid_from_at = %(at)s WHERE valid_from_at >= now()",
    """
UPDATE accounts_consentnotice SET effective_at = LEAST(effective_at, %(at)s), published_at = LEAST(published_at, %(at)s),
       created_at = LEAST(created_at, %(at)s) WHERE version = 1
""",
)
MODEL = (
    "UPDATE compute_modelartifact SET created_at = %(at)s, checked_at = %(at)s WHERE id = %(id)s",
    "UPDATE compute_modelartifactevent SET at = %(at)s WHERE modelartifact_id = %(id)s",
)
# What was opened or uploaded on the way.
REST = (
    "UPDATE compute_inputfile SET created_at = %(at)s WHERE organization_id = %(organization)s AND created_at >= now()",
    "UPDATE billing_ledgeraccount SET created_at = %(at)s WHERE created_at >= now()",
    "UPDATE billing_ratecard SET created_at = %(at)s WHERE created_at >= now()",
)
# Documents that the month's end wrote. Mails about them are left to be sent now.
DOCUMENTS = (
    "UPDATE billing_statement SET created_at = %(at)s WHERE created_at >= now()",
    "UPDATE billing_invoice SET created_at = %(at)s WHERE created_at >= now()",
    "UPDATE billing_payout SET created_at = %(at)s WHERE created_at >= now()",
    "UPDATE billing_payoutevent SET at = %(at)s WHERE at >= now()",
    """
UPDATE billing_ledgertransfer SET effective_at = %(at)s, posted_at = %(at)s WHERE kind = 'payout' AND posted_at >= now()
""",
)
DISPUTES = (
    "UPDATE billing_dispute SET created_at = %(at)s WHERE created_at >= now()",
    "UPDATE billing_disputeevent SET at = %(at)s WHERE at >= now()",
    "UPDATE billing_disputemessage SET created_at = %(at)s + interval '1 hour' WHERE created_at >= now()",
    """
UPDATE billing_ledgertransfer SET effective_at = %(at)s, posted_at = %(at)s
 WHERE idempotency_key LIKE 'dispute:%%' AND posted_at >= now()
""",
)


@contextmanager
def rules_switched_off() -> Iterator[None]:
    """Switch the database's rules off, as on a replica, for the statements within. Only the tables' owner may."""
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL session_replication_role = replica")
        yield
        cursor.execute("SET LOCAL session_replication_role = origin")


def backdate(statements: Sequence[str], **values: Any) -> None:
    """Run one of this module's lists of statements with the rules off."""
    with rules_switched_off(), connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement, values)


def backdate_round(job: InferenceJob, spans: dict[int, tuple[datetime, datetime]], end: datetime) -> None:
    """Move the attempts of one round: each to its span, the verdicts on them to `end`."""
    starts, ends = zip(*spans.values(), strict=True)
    backdate(ROUND, job=job.pk, end=end, ids=list(spans), starts=list(starts), ends=list(ends))
