from compute import blobs, tensors
from compute.blobs import Blob
from compute.models import Attempt, Node
from core.errors import Conflict, NotFound


def live_attempt(*, node: Node, attempt_id: int, fence: int) -> Attempt:
    """The attempt that this node may upload a result for: asked before a large body is stored.

    Raises NotFound for another node's attempt, Conflict `stale_fence` when the lease is gone.
    """
    mine = Attempt.objects.select_related("unit", "job__artifact").filter(pk=attempt_id, node=node)
    attempt = mine.first()
    if attempt is None:
        raise NotFound("This node has no such attempt.")
    if attempt.fence != fence or attempt.status != Attempt.Status.LEASED:
        raise Conflict("This lease has ended.", code="stale_fence")
    return attempt


def attach(*, node: Node, attempt_id: int, fence: int, blob: Blob) -> None:
    """Bind an uploaded result to the live attempt that it answers. The same upload again changes nothing.

    Raises what `live_attempt` does, and InvalidInput `result_shape`. Reading a large result takes a while: no lock is
    held meanwhile, and the lease is asked for again at the end.
    """
    attempt = live_attempt(node=node, attempt_id=attempt_id, fence=fence)
    tensors.check_result(blobs.read(blob.sha256), attempt.job.artifact.outputs, attempt.unit.items)
    still = Attempt.objects.filter(pk=attempt.pk, status=Attempt.Status.LEASED)
    if not still.update(result_sha256=blob.sha256):
        raise Conflict("This lease has ended.", code="stale_fence")
