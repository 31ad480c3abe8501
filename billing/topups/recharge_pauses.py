"""Pause a customer's automatic recharge until a person has looked at it."""

from decimal import Decimal

from django.utils import timezone

from accounts.mails import outbox
from accounts.models import Organization
from accounts.organizations.selectors import money_people
from billing.models import AutoRecharge
from billing.topups.words import reason
from core.money import MICRO


def pause(*, organization: Organization, code: str, subject: str) -> bool:
    """Pause the recharge and queue a mail to the organization's admins and finance. Return whether it was running.

    Runs in the transaction of the event behind it; `subject` names that event, so that each event is mailed once. Does
    nothing when the recharge is off or paused already.
    """
    running = AutoRecharge.objects.filter(organization=organization, is_on=True, paused_code="")
    if not running.update(paused_code=code, paused_at=timezone.now()):
        return False
    recharge = AutoRecharge.objects.get(organization=organization)
    for user in money_people(organization):
        outbox.queue(
            user=user,
            kind="recharge-paused",
            dedupe_key=f"recharge-paused:{subject}:{user.pk}",
            context={
                "organization": organization.name,
                "code": code,
                "reason": reason(code),
                "amount_micro": recharge.amount_micro,
                "currency": organization.currency,
                "amount": str(Decimal(recharge.amount_micro) / MICRO),
            },
        )
    return True
