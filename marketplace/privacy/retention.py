"""Delete rows whose retention has ended, for every table of the site, and report.

Each app lists the rules of its own tables in its `privacy/retention.py`.
"""

import logging
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.owners import exports
from accounts.privacy import retention as accounts
from billing.privacy import retention as billing
from compute.privacy import retention as compute
from core.privacy import ACCOUNT, DELETE, FILES, KEEP, SITE, YEAR, Rule

logger = logging.getLogger(__name__)
BATCH = 5000
BUDGET_S = 300.0  # of one run; the next day's run continues
# Tables of Django and of libraries.
LIBRARIES = (
    Rule("django_session", "expire_date", 0, DELETE, "an expired session"),
    Rule("account_emailconfirmation", "created", 30, DELETE, "an e-mail confirmation that was never used"),
    Rule("django_admin_log", "action_time", 2 * YEAR, DELETE, "what staff did in the back office: security"),
    Rule("account_emailaddress", "", None, KEEP, ACCOUNT),
    Rule("mfa_authenticator", "", None, KEEP, ACCOUNT),
    Rule("auth_group", "", None, KEEP, SITE),
    Rule("auth_group_permissions", "", None, KEEP, SITE),
    Rule("auth_permission", "", None, KEEP, SITE),
    Rule("django_content_type", "", None, KEEP, SITE),
    Rule("django_migrations", "", None, KEEP, SITE),
)
RULES: tuple[Rule, ...] = (*accounts.RETENTION, *compute.RETENTION, *billing.RETENTION, *LIBRARIES)


@dataclass(frozen=True)
class Line:
    """A rule in the report: how many rows are due, the oldest of them, and how many were deleted."""

    rule: Rule
    due: int
    oldest: datetime | None
    deleted: int


def run(*, dry_run: bool = False) -> list[Line]:
    """Apply every rule in batches and return the report, a line per rule. With `dry_run` nothing is deleted.

    A run that is interrupted or exceeds BUDGET_S is continued by the next; a second run finds nothing to do.
    """
    until = time.monotonic() + BUDGET_S
    lines = [_apply(rule, dry_run, until) for rule in RULES]
    if not dry_run:
        remove_leftovers()
    return lines


def _apply(rule: Rule, dry_run: bool, until: float) -> Line:
    if rule.days is None:
        return Line(rule, 0, None, 0)
    cutoff = timezone.now() - timedelta(days=rule.days)
    due, oldest = _due(rule, cutoff)
    if dry_run or not due or rule.action == KEEP:
        return Line(rule, due, oldest, 0)
    removal: Callable[[], int] = exports.expire if rule.action == FILES else lambda: _delete(rule, cutoff, until)
    return Line(rule, due, oldest, removal())


def _due(rule: Rule, cutoff: datetime) -> tuple[int, datetime | None]:
    # Tables, columns and conditions come from RULES, not from a request, so S608 (SQL injection) does not apply.
    sql = f"SELECT count(*), min({rule.column})::timestamptz FROM {rule.table} WHERE {_condition(rule)}"  # noqa: S608
    with connection.cursor() as cursor:
        cursor.execute(sql, [cutoff])
        count, oldest = cursor.fetchone()
    return count, oldest


def _delete(rule: Rule, cutoff: datetime, until: float) -> int:
    """Delete due rows until none is left or the time is `until` (monotonic seconds). Return how many.

    Each batch is a transaction of its own and skips locked rows, so that nobody waits for a long deletion.
    """
    batch = f"SELECT ctid FROM {rule.table} WHERE {_condition(rule)} LIMIT {BATCH} FOR UPDATE SKIP LOCKED"  # noqa: S608
    sql = f"DELETE FROM {rule.table} WHERE ctid IN ({batch})"  # noqa: S608
    total = 0
    while time.monotonic() < until:
        with connection.cursor() as cursor:
            cursor.execute(sql, [cutoff])
            total += cursor.rowcount
            if cursor.rowcount < BATCH:
                break
    return total


def _condition(rule: Rule) -> str:
    condition = f"{rule.column} < %s"
    if rule.action == FILES:
        condition += " AND status = 'ready'"
    return f"{condition} AND ({rule.where})" if rule.where else condition


def remove_leftovers() -> None:
    """Delete folders of unfinished exports that are older than a day: their worker was killed."""
    a_day_ago = time.time() - 86_400
    for folder in Path(settings.EXPORT_ROOT).glob("making-*"):
        if folder.stat().st_mtime < a_day_ago:
            shutil.rmtree(folder, ignore_errors=True)
