"""Celery tasks of accounts. Each calls one service and may run twice.

Each works in batches, a transaction each, until nothing is left or its time budget is spent; the next run does the
rest.
"""

import time

from celery import shared_task

from accounts.consents import consents, notices, reminders
from accounts.mails import outbox
from core import workers

BATCH = 500
BUDGET_S = 40.0
SEND_BUDGET_S = 60.0


@shared_task(name="accounts.expire_consents")
def expire_consents() -> None:
    """End the consents whose time is over."""
    until = time.monotonic() + BUDGET_S
    while consents.expire(limit=BATCH) == BATCH and time.monotonic() < until:
        pass


@shared_task(name="accounts.remind_of_consents")
def remind_of_consents() -> None:
    """Queue mails about consents that end soon and about consent texts that have changed."""
    until = time.monotonic() + BUDGET_S
    while reminders.remind(limit=BATCH) + notices.announce(limit=BATCH) and time.monotonic() < until:
        pass


@shared_task(name=outbox.TASK)
def send_mails() -> None:
    """Send the mails that are due. One that cannot be sent becomes due again later, so the loop ends."""
    until = time.monotonic() + SEND_BUDGET_S
    workers.begin(outbox.TASK)
    while outbox.send_due() and time.monotonic() < until:
        workers.begin(outbox.TASK)
