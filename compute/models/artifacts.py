"""Customers' uploads: models with the verdict of their admission, and input files."""

from typing import Any, ClassVar, Self

from django.db import models

from accounts.models import Organization
from core.models import PublicIdModel
from core.states import TransitionEvent, Transitions


class ForOrganization(models.QuerySet[Any]):
    def for_organization(self, organization: Organization) -> Self:
        return self.filter(organization=organization)


class ModelArtifact(PublicIdModel):
    """An uploaded ONNX file, identified by its SHA-256, with the verdict of its admission and its measured costs."""

    class Status(models.TextChoices):
        UPLOADED = "uploaded"
        CHECKING = "checking"
        ADMITTED = "admitted"
        REFUSED = "refused"

    TRANSITIONS: ClassVar[Transitions] = {
        Status.UPLOADED: (Status.CHECKING,),
        Status.CHECKING: (Status.ADMITTED, Status.REFUSED, Status.UPLOADED),  # uploaded again: the checker died
        Status.ADMITTED: (Status.REFUSED,),
    }

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="artifacts")
    name = models.CharField(max_length=80)
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    status = models.CharField(max_length=16, choices=Status, default=Status.UPLOADED)
    status_code = models.CharField(max_length=64, blank=True)
    message = models.CharField(max_length=400, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)
    inputs = models.JSONField(default=list)  # [{"name", "dtype", "shape"}]; null in a shape is the batch axis
    outputs = models.JSONField(default=list)
    # Items of one session run. Results depend on it (in int8 models), so all copies of a unit use the same batch.
    batch = models.PositiveIntegerField(default=1)
    us_per_item = models.PositiveBigIntegerField(default=0, help_text="CPU microseconds per item in the trial run.")
    memory_bytes = models.BigIntegerField(default=0, help_text="Peak resident memory of the trial run.")
    profile = models.JSONField(default=dict)

    objects = ForOrganization.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "sha256"], name="artifact_once")]

    def __str__(self) -> str:
        return f"{self.name} {self.sha256[:12]}"


class ModelArtifactEvent(TransitionEvent):
    modelartifact = models.ForeignKey(
        ModelArtifact, on_delete=models.PROTECT, related_name="events", db_constraint=False
    )


class InputFile(PublicIdModel):
    """A customer's input tensors: .npy for a model with one input, .safetensors for any. Rows are items."""

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="input_files")
    sha256 = models.CharField(max_length=64)
    size_bytes = models.BigIntegerField()
    format = models.CharField(max_length=16)
    tensors = models.JSONField(default=dict)  # name -> {"dtype", "shape"}; the name is "" for a .npy file
    items = models.PositiveBigIntegerField()

    objects = ForOrganization.as_manager()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organization", "sha256"], name="input_file_once")]

    def __str__(self) -> str:
        return f"{self.items} items {self.sha256[:12]}"
