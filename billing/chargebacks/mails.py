"""Mails to the customer about a chargeback."""

from accounts.mails import outbox
from accounts.organizations.selectors import money_people
from billing.models import CardDispute

Status = CardDispute.Status


def queue_mail(dispute: CardDispute) -> None:
    """Queue a mail to the organization's admins and finance people: the dispute opened, took money, or ended.

    The dedupe key sends each of these once to each person.
    """
    is_open = dispute.status in CardDispute.OPEN
    if is_open:
        kind, word = "card-dispute-opened", "taken" if dispute.withdrawn_at else "asked"
    else:
        kind, word = "card-dispute-ended", dispute.status
    organization = dispute.organization
    for user in money_people(organization):
        outbox.queue(
            user=user,
            kind=kind,
            dedupe_key=f"{kind}:{dispute.public_id}:{word}:{user.pk}",
            context={
                "organization": organization.name,
                "amount_micro": dispute.amount_micro,
                "currency": dispute.currency,
                "word": word,
                "paid_on": dispute.top_up.created_at.date().isoformat(),
            },
        )
