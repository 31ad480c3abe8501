"""What the link sends without being asked: leases, cancels and revoked credentials. All of it is read from rows."""

from datetime import timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from compute import protocol
from compute.dispatch import leases
from compute.models import Node
from compute.nats.jwt import user_public_from_ed25519

# Keeps a NATS message far below a node's payload limit.
LEASES_PER_PUSH = 50


def take_pushes() -> list[tuple[str, bytes]]:
    """Return (subject, message) for each node on NATS with undelivered leases or unsent cancels; mark these sent."""
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
    """Return revocations as {user public key: Unix time}: that user's JWTs issued until then are void.

    Older revocations are left out, because the JWTs that they concern have expired.
    """
    oldest = timezone.now() - timedelta(seconds=settings.NATS_USER_LIFETIME_S + 60)
    revoked = Node.objects.filter(link_revoked_at__gt=oldest, link_expires_at__isnull=False)
    return {
        user_public_from_ed25519(bytes.fromhex(key)): int(at.timestamp())
        for key, at in revoked.values_list("public_key", "link_revoked_at")
        if at is not None
    }
