from celery import shared_task

from accounts.services import consents


@shared_task(name="accounts.expire_consents")
def expire_consents() -> None:
    consents.expire()
