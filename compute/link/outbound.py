"""What the link says of its own accord: leases, cancels, and who may no longer connect. All of it read from rows."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from compute import protocol
from compute.dispatch import leases
from compute.models import Node
from compute.nats.jwt import user_public_from_ed25519

# A NATS message stays far below a node's payload limit.
LEASES_PER_PUSH = 50


def take_pushes() -> list[tuple[str, bytes]]:
    """(subject, message) for every node on NATS with undelivered leases or untold cancels; marked as sent."""
    with transaction.atomic():
        delivered = leases.deliver(leases.waiting_nodes())
        cancels = leases.take_cancels()
    names = dict(Node.objects.filter(pk__in=[*delivered, *cancels]).values_list("pk", "public_id"))
    messages = []
    for node, name in names.items():
        subject, new = protocol.command_subject(str(name)), delivered.get(node, [])
        messages.append(
            (subject, protocol.Push(leases=tuple(new[:LEASES_PER_PUSH]), cancels=tuple(cancels.get(node, ()))))
        )
        messages += [
            (subject, protocol.Push(leases=tuple(new[start : start + LEASES_PER_PUSH])))
            for start in range(LEASES_PER_PUSH, len(new), LEASES_PER_PUSH)
        ]
    return [(subject, protocol.pack(message)) for subject, message in messages]


def revocations() -> dict[str, int]:
    """User public key -> Unix time: JWTs issued up to then are void. Only those young enough to be alive at all."""
    oldest = timezone.now() - timedelta(seconds=settings.NATS_USER_LIFETIME_S + 60)
    revoked = Node.objects.filter(link_revoked_at__gt=oldest, link_expires_at__isnull=False)
    return {
        user_public_from_ed25519(bytes.fromhex(key)): int(at.timestamp())
        for key, at in revoked.values_list("public_key", "link_revoked_at")
        if at is not None
    }
