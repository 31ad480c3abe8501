"""Uploaded results: which attempt may receive one, and binding it to that attempt."""

from compute import blobs, tensors
from compute.blobs import Blob
from compute.models import Attempt, Node
from core.errors import Conflict, NotFound


def live_attempt(*, node: Node, attempt_id: int, fence: int) -> Attempt:
    """Return the attempt for which this node may upload a result; call it before a large body is stored.

    Raise NotFound for another node's attempt, Conflict `stale_fence` when the lease has ended.
    """
    mine = Attempt.objects.select_related("unit", "job__artifact").filter(pk=attempt_id, node=node)
    attempt = mine.first()
    if attempt is None:
        raise NotFound("This node has no such attempt.")
    if attempt.fence != fence or attempt.status != Attempt.Status.LEASED:
        raise Conflict("This lease has ended.", code="stale_fence")
    return attempt


def attach(*, node: Node, attempt_id: int, fence: int, blob: Blob) -> None:
    """Bind an uploaded result to its live attempt. The same upload again changes nothing.

    Checking a large result takes a while. No lock is held meanwhile, so the lease is checked again at the end. Raise as
    `live_attempt`, and InvalidInput `result_unreadable` or `result_shape`.
    """
    attempt = live_attempt(node=node, attempt_id=attempt_id, fence=fence)
    tensors.check_result(blobs.read(blob.sha256), attempt.job.artifact.outputs, attempt.unit.items)
    leased = Attempt.objects.filter(pk=attempt.pk, status=Attempt.Status.LEASED)
    if not leased.update(result_sha256=blob.sha256):
        raise Conflict("This lease has ended.", code="stale_fence")
