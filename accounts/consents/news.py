"""News about Driveway by e-mail, sent only to owners whose consent to it is in force."""

from django.db import transaction

from accounts.consents import consents, unsubscribes
from accounts.mails import outbox
from accounts.models import ConsentCurrent, Owner, Purpose


def recipients() -> list[int]:
    """Return the ids of owners whose consent to news is in force now."""
    in_force = ConsentCurrent.objects.in_force(Purpose.PRODUCT_EMAIL)
    rows = in_force.filter(vehicle=None, owner__deactivated_at=None, owner__erased_at=None, owner__user__is_active=True)
    return list(rows.order_by("owner_id").values_list("owner_id", flat=True))


def send(*, campaign: str, subject: str, body: str) -> int:
    """Queue the mails of a campaign, one for each owner, however often this is called. Return the number of owners.

    Each consent is checked again under the owner's row lock, which unsubscribing takes too. Unsubscribing also drops
    mails that still wait in the outbox. So no news is sent to an owner who has unsubscribed.
    """
    return sum(_queue(owner_id, campaign, subject, body) for owner_id in recipients())


@transaction.atomic
def _queue(owner_id: int, campaign: str, subject: str, body: str) -> bool:
    owner = Owner.objects.select_for_update(no_key=True, of=["self"]).select_related("user").get(pk=owner_id)
    if not ConsentCurrent.objects.in_force(Purpose.PRODUCT_EMAIL).filter(owner=owner, vehicle=None).exists():
        return False
    link = unsubscribes.url(owner)
    context = {
        "subject": subject,
        "body": body,
        "unsubscribe_url": link,
        # RFC 8058: the mail program shows its own button, which unsubscribes with one POST.
        "headers": {"List-Unsubscribe": f"<{link}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
    }
    outbox.queue(user=owner.user, kind=consents.NEWS, dedupe_key=f"news:{campaign}:{owner.pk}", context=context)
    return True
