"""What follows from the work of the made-up month: documents of the last month, two disputes, availability."""

from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import connection
from django.utils import timezone

from accounts.models import Owner, User
from billing import periods
from billing.disputes import disputes
from billing.invoices import invoices
from billing.models import JobOrder, Statement
from billing.statements import statements
from marketplace.local.showcase.history import backdating
from marketplace.local.showcase.history.plan import KEY

CLAIMED_PERCENT = 20
# A commuter's day, in minutes after midnight (UTC): until when, available or not, and why not.
DAY = (
    (7 * 60 + 20, True, ""),
    (7 * 60 + 55, False, "driving"),
    (17 * 60 + 10, False, "not_plugged_in"),
    (17 * 60 + 50, False, "driving"),
    (18 * 60 + 5, False, "not_plugged_in"),
    (24 * 60, True, ""),
)
SPANS = """
INSERT INTO compute_availabilityspan (node_id, vehicle_id, available, reason, started_at, ended_at)
VALUES (%s, %s, %s, %s, %s, %s)
"""


def close_last() -> None:
    """Close statements and invoices of the last month that is due, and date them as beat would have closed them."""
    until = periods.last_due(timezone.now())
    statements.close_due(until=until)
    invoices.close_due(until=until)
    backdating.backdate(backdating.DOCUMENTS, at=min(until + periods.grace() + timedelta(minutes=20), timezone.now()))


def open_disputes(*, order: JobOrder, customer: User, owner: Owner, operator: User) -> None:
    """Open a customer's dispute, which an operator has answered, and an owner's, which nobody has answered yet."""
    dispute = disputes.open_order(
        organization=order.organization,
        order=order,
        reason="A part of the pictures got the same scores as the pictures before them. Please compare the results.",
        claimed_micro=order.charged_micro * CLAIMED_PERCENT // 100,
        idempotency_key=f"{KEY}:{order.pk}",
        actor=customer,
    )
    answer = "Thank you. We compare your result with the copies of other cars and write here what we find."
    disputes.add_message(dispute=dispute, text=answer, author=operator, from_operator=True)
    statement = Statement.objects.filter(owner=owner).order_by("number").first()
    if statement:
        disputes.open_statement(
            owner=owner,
            statement=statement,
            reason="My car was plugged in on the first evening as well, and that night is missing here.",
            claimed_micro=max(1, min(statement.earned_micro // 10, settings.DISPUTE_MAX_MICRO)),
            idempotency_key=f"{KEY}:statement:{statement.pk}",
            actor=owner.user,
        )


def record_availability(node: int, vehicle: int, first: date, until: datetime) -> None:
    """Write the availability of a commuter's car from `first` on: the history that its owner's consent allows."""
    midnight = datetime.combine(first, datetime.min.time(), until.tzinfo)
    rows = []
    while midnight < until:
        started_at = midnight
        for minute, available, reason in DAY:
            ended_at = min(midnight + timedelta(minutes=minute), until)
            if started_at < ended_at:
                rows.append((node, vehicle, available, reason, started_at, ended_at))
            started_at = ended_at
        midnight += timedelta(days=1)
    with connection.cursor() as cursor:
        cursor.executemany(SPANS, rows)
