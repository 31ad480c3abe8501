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
    """In batches, each its own transaction; what is left waits for the next minute."""
    until = time.monotonic() + BUDGET_S
    while consents.expire(limit=BATCH) == BATCH and time.monotonic() < until:
        pass


@shared_task(name="accounts.remind_of_consents")
def remind_of_consents() -> None:
    """Tell owners of consents that end soon and of texts that have changed."""
    until = time.monotonic() + BUDGET_S
    while reminders.remind(limit=BATCH) + notices.announce(limit=BATCH) and time.monotonic() < until:
        pass


@shared_task(name=outbox.TASK)
def send_mails() -> None:
    """Until none is due: what could not be sent is not due again before its next try."""
    until = time.monotonic() + SEND_BUDGET_S
    workers.begin(outbox.TASK)
    while outbox.send_due() and time.monotonic() < until:
        workers.begin(outbox.TASK)
