from typing import ClassVar

from django.core.validators import MinValueValidator
from django.db import models

from accounts.models import ApiKey, Organization
from compute.models.artifacts import ForOrganization, InputFile, ModelArtifact
from compute.models.nodes import HardwareClass
from core.models import PublicIdModel
from core.states import TransitionEvent, Transitions


class InferenceJob(PublicIdModel):
    """A customer's request: one model over the items of one input file."""

    class Status(models.TextChoices):
        QUEUED = "queued"
        RUNNING = "running"
        ASSEMBLING = "assembling"
        COMPLETED = "completed"
        FAILED = "failed"
        CANCELLED = "cancelled"

    TRANSITIONS: ClassVar[Transitions] = {
        Status.QUEUED: (Status.RUNNING, Status.FAILED, Status.CANCELLED),
        Status.RUNNING: (Status.ASSEMBLING, Status.FAILED, Status.CANCELLED),
        Status.ASSEMBLING: (Status.COMPLETED, Status.FAILED),
    }

    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, related_name="jobs")
    api_key = models.ForeignKey(ApiKey, on_delete=models.PROTECT, null=True)
    artifact = models.ForeignKey(ModelArtifact, on_delete=models.PROTECT)
    input_file = models.ForeignKey(InputFile, on_delete=models.PROTECT)
    status = models.CharField(max_length=16, choices=Status, default=Status.QUEUED)
    status_code = models.CharField(max_length=64, blank=True)
    message = models.CharField(max_length=400, blank=True)
    items = models.PositiveBigIntegerField()
    unit_items = models.PositiveIntegerField(validators=[MinValueValidator(1)])
    units_total = models.PositiveIntegerField(default=0)
    units_accepted = models.PositiveIntegerField(default=0)
    priority = models.SmallIntegerField(default=0)
    # Two copies agree when |a - b| <= atol_scale x max|a| + rtol x |a|.
    rtol = models.FloatField(default=1e-3)
    atol_scale = models.FloatField(default=1e-5)
    # What an owner is paid for an hour of this job; bound when the job was ordered.
    pay_micro_per_hour = models.BigIntegerField(default=0)
    # Time of a unit counts up to this many thousandths of the trial run's: a hold below the highest estimate lowers it, so
    # that nothing is worked that the hold does not pay.
    paid_time_permille = models.PositiveIntegerField(default=3000, db_default=3000)
    # The slowest and the hungriest class that the hold was computed for: a class that joins later counts as at most these,
    # and is not offered units that it would be paid too little time for. Null: any class.
    slowness_max_permille = models.PositiveIntegerField(null=True)
    power_max_mw = models.PositiveIntegerField(null=True)
    # Copies that every unit gets, whoever runs it: the order's tier of verification.
    copies_min = models.PositiveSmallIntegerField(default=1, db_default=1)
    result_sha256 = models.CharField(max_length=64, blank=True)
    result_bytes = models.BigIntegerField(default=0)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    objects = ForOrganization.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["organization", "-id"], name="job_by_organization"),
            models.Index(
                fields=["status"],
                condition=models.Q(status__in=["queued", "running", "assembling"]),
                name="job_unfinished",
            ),
        ]

    def __str__(self) -> str:
        return str(self.public_id)


class InferenceJobEvent(TransitionEvent):
    inferencejob = models.ForeignKey(InferenceJob, on_delete=models.PROTECT, related_name="events", db_constraint=False)


class WorkUnit(models.Model):
    """A slice of a job's items. `copies_live` counts attempts leased, reported or valid; the database keeps it."""

    class Status(models.TextChoices):
        OPEN = "open"
        ACCEPTED = "accepted"
        FAILED = "failed"
        CANCELLED = "cancelled"

    TRANSITIONS: ClassVar[Transitions] = {Status.OPEN: (Status.ACCEPTED, Status.FAILED, Status.CANCELLED)}

    job = models.ForeignKey(InferenceJob, on_delete=models.PROTECT, related_name="units", db_index=False)
    index = models.PositiveIntegerField()
    first_item = models.PositiveBigIntegerField()
    items = models.PositiveIntegerField()
    input_sha256 = models.CharField(max_length=64)
    input_bytes = models.BigIntegerField()
    priority = models.SmallIntegerField(default=0)
    status = models.CharField(max_length=16, choices=Status, default=Status.OPEN)
    status_code = models.CharField(max_length=64, blank=True, default="")
    copies_wanted = models.PositiveSmallIntegerField(default=1)
    copies_live = models.PositiveSmallIntegerField(default=0)
    copies_made = models.PositiveSmallIntegerField(default=0)
    # Nobody free could take it: looked at again from then on.
    not_before_at = models.DateTimeField(null=True)
    # Set by the first copy: further ones run in the same class, or they could not be compared.
    hardware_class = models.ForeignKey(
        HardwareClass, on_delete=models.PROTECT, null=True, db_constraint=False, db_index=False
    )
    canonical = models.OneToOneField(
        "compute.Attempt", on_delete=models.PROTECT, null=True, related_name="canonical_of", db_constraint=False
    )

    class Meta:
        constraints = [models.UniqueConstraint(fields=["job", "index"], name="unit_index_once")]
        indexes = [
            models.Index(
                models.F("priority").desc(),
                "id",
                condition=models.Q(status="open", copies_live__lt=models.F("copies_wanted")),
                name="unit_wants_copies",
            ),
            # Few units are checked by copies: verification finds them here, not among all that ever were.
            models.Index(
                fields=["id"], condition=models.Q(status="open", copies_wanted__gt=1), name="unit_checked_by_copies"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job_id}/{self.index}"
