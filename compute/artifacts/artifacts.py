"""Uploads of models and input files, and the admission of models."""

from datetime import timedelta
from typing import BinaryIO

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.models import Organization
from compute import blobs, tensors
from compute.artifacts.onnx.admission import admit
from compute.models import InputFile, ModelArtifact
from core import workers
from core.errors import InvalidInput, InvalidTransition
from core.states import transition

CHECK_LIMIT = timedelta(minutes=5)  # after this time a check counts as lost: its worker has died


def upload_model(*, organization: Organization, name: str, stream: BinaryIO) -> tuple[ModelArtifact, bool]:
    """Store a model under its SHA-256 and queue its admission. The same bytes again return the same row.

    Return (row, whether it is new). Raise TooLarge, or InvalidInput `empty_upload`.
    """
    blob = blobs.put_stream(stream, limit_bytes=settings.MODEL_MAX_BYTES)
    if blob.size_bytes == 0:
        raise InvalidInput("The upload is empty.", code="empty_upload")
    with transaction.atomic():
        artifact, is_new = ModelArtifact.objects.get_or_create(
            organization=organization,
            sha256=blob.sha256,
            defaults={"name": name, "size_bytes": blob.size_bytes},
        )
        workers.wake("compute.admit_models")
    return artifact, is_new


def upload_input(*, organization: Organization, file_format: str, stream: BinaryIO) -> tuple[InputFile, bool]:
    """Store an input file and describe its tensors from its header. Return (row, whether it is new).

    Raise TooLarge, or InvalidInput `format_unknown`, `input_unreadable` or `rows_differ`.
    """
    if file_format not in (tensors.NPY, tensors.SAFETENSORS):
        raise InvalidInput("The format must be npy or safetensors.", code="format_unknown")
    blob = blobs.put_stream(stream, limit_bytes=settings.INPUT_MAX_BYTES)
    by_name = tensors.describe(blobs.path_of(blob.sha256), file_format)
    described = {name: {"dtype": t.dtype, "shape": list(t.shape)} for name, t in by_name.items()}
    return InputFile.objects.get_or_create(
        organization=organization,
        sha256=blob.sha256,
        defaults={
            "size_bytes": blob.size_bytes,
            "format": file_format,
            "tensors": described,
            "items": tensors.item_count(by_name),
        },
    )


def admit_model(*, artifact_id: int) -> bool:
    """Check one uploaded model in a limited child process and store the verdict.

    Return False if another worker has it.
    """
    artifact = ModelArtifact.objects.get(pk=artifact_id)
    try:
        transition(artifact, ModelArtifact.Status.CHECKING, checked_at=timezone.now())
    except InvalidTransition:
        return False
    verdict = admit(blobs.read(artifact.sha256))
    now = timezone.now()
    if verdict.retryable:
        transition(artifact, ModelArtifact.Status.UPLOADED, code=verdict.code, checked_at=now)
    elif verdict.signature and verdict.profile:
        measured = verdict.to_json()
        transition(
            artifact,
            ModelArtifact.Status.ADMITTED,
            inputs=measured["signature"]["inputs"],
            outputs=measured["signature"]["outputs"],
            batch=1 if verdict.signature.item_by_item else verdict.profile.batch,
            us_per_item=max(1, round(verdict.profile.cpu_ms_per_item * 1000)),
            memory_bytes=verdict.profile.peak_rss_bytes,
            profile=measured["profile"],
            checked_at=now,
        )
    else:
        transition(
            artifact, ModelArtifact.Status.REFUSED, code=verdict.code, message=verdict.message[:400], checked_at=now
        )
    return True


def release_dead_checks() -> int:
    """Queue the models again whose checking worker died. Return how many."""
    return ModelArtifact.objects.filter(
        status=ModelArtifact.Status.CHECKING, checked_at__lt=timezone.now() - CHECK_LIMIT
    ).update(status=ModelArtifact.Status.UPLOADED, status_code="checker_died")
