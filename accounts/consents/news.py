"""News about Driveway by e-mail: to those whose consent is in force, and to nobody else."""

from django.db import transaction

from accounts.consents import consents, unsubscribes
from accounts.mails import outbox
from accounts.models import ConsentCurrent, Owner, Purpose


def recipients() -> list[int]:
    """Ids of owners whose consent to news is in force now."""
    in_force = ConsentCurrent.objects.in_force(Purpose.PRODUCT_EMAIL)
    rows = in_force.filter(vehicle=None, owner__deactivated_at=None, owner__erased_at=None, owner__user__is_active=True)
    return list(rows.order_by("owner_id").values_list("owner_id", flat=True))


def send(*, campaign: str, subject: str, body: str) -> int:
    """Write the mails of a campaign, one an owner however often it is run. Returns to how many owners it goes.

    Each is checked again under the lock that an unsubscribing takes; what waits in the outbox when an owner unsubscribes
    is dropped by that act.
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
        # RFC 8058: a mail program's own button ends it with one POST.
        "headers": {"List-Unsubscribe": f"<{link}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"},
    }
    outbox.queue(user=owner.user, kind=consents.NEWS, dedupe_key=f"news:{campaign}:{owner.pk}", context=context)
    return True
