"""Customers' jobs and the work units into which they are sliced."""

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
    # What an owner is paid for an hour of work on this job; fixed when the job is ordered.
    pay_micro_per_hour = models.BigIntegerField(default=0)
    # A unit is paid for at most this many thousandths of its time in the trial run. A hold below the highest estimate
    # lowers it, so that the hold always pays for all work.
    paid_time_permille = models.PositiveIntegerField(default=3000, db_default=3000)
    # The slowest class and the highest power for which the hold was computed; null means any class. A class that
    # appears later counts with at most these figures, and gets no units for which it would be paid too little time.
    slowness_max_permille = models.PositiveIntegerField(null=True)
    power_max_mw = models.PositiveIntegerField(null=True)
    # Minimum number of copies of every unit: the level of verification that was ordered.
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
    """A slice of a job's items. `copies_live` counts the leased, reported and valid attempts; triggers maintain it."""

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
    # Set when no free node could take the unit: dispatch skips it until then.
    not_before_at = models.DateTimeField(null=True)
    # Set by the first copy. Further copies run in the same class, because results of other classes cannot be compared.
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
            # Few units have several copies. Verification finds them with this index instead of reading all units.
            models.Index(
                fields=["id"], condition=models.Q(status="open", copies_wanted__gt=1), name="unit_checked_by_copies"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.job_id}/{self.index}"
