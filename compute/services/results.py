from django.db import transaction

from compute import blobs, tensors
from compute.blobs import Blob
from compute.models import Attempt, Node
from marketplace.core.errors import Conflict, NotFound


@transaction.atomic
def attach(*, node: Node, attempt_id: int, fence: int, blob: Blob) -> None:
    """Bind an uploaded result to the live attempt that it answers. The same upload again changes nothing.

    Raises NotFound for another node's attempt, Conflict `stale_fence` when the lease is gone, InvalidInput `result_shape`.
    """
    attempt = (
        Attempt.objects.select_for_update(of=["self"])
        .select_related("unit", "job__artifact")
        .filter(pk=attempt_id, node=node)
        .first()
    )
    if attempt is None:
        raise NotFound("This node has no such attempt.")
    if attempt.fence != fence or attempt.status != Attempt.Status.LEASED:
        raise Conflict("This lease has ended.", code="stale_fence")
    tensors.check_result(blobs.read(blob.sha256), attempt.job.artifact.outputs, attempt.unit.items)
    Attempt.objects.filter(pk=attempt.pk).update(result_sha256=blob.sha256)
