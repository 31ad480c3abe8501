import time

from celery import shared_task

from accounts.services import consents, mails
from marketplace.core import kicks

SEND_BUDGET_S = 60.0


@shared_task(name="accounts.expire_consents")
def expire_consents() -> None:
    consents.expire()


@shared_task(name="accounts.send_mails")
def send_mails() -> None:
    """Until none is due: what could not be sent is not due again before its next try."""
    until = time.monotonic() + SEND_BUDGET_S
    kicks.begin("accounts.send_mails")
    while mails.send_due() and time.monotonic() < until:
        kicks.begin("accounts.send_mails")
