"""Nodes: hardware classes, nodes and their presence, and the codes that connect a computer to a vehicle."""

from datetime import timedelta
from typing import ClassVar, Self

from django.db import models
from django.utils import timezone

from accounts.models import Vehicle
from core.models import PublicIdModel, TimestampedModel
from core.states import TransitionEvent, Transitions

AWAY_AFTER = timedelta(seconds=30)


class HardwareClass(TimestampedModel):
    """A class of computers with comparable results: the same instruction set, provider and onnxruntime build."""

    slug = models.CharField(max_length=80, unique=True)
    title = models.CharField(max_length=120)
    machine = models.CharField(max_length=32)
    isa = models.CharField(max_length=32)
    provider = models.CharField(max_length=48)
    onnxruntime = models.CharField(max_length=16)
    power_mw = models.PositiveIntegerField(
        default=15_000, help_text="Modelled power draw of one running unit, in milliwatts."
    )
    memory_bytes = models.BigIntegerField(default=2 * 1024**3, help_text="The memory that one unit may use.")
    # Time of this class for work that takes 1 s on the admission machine, in thousandths of a second.
    slowness_permille = models.PositiveIntegerField(default=1000)

    class Meta:
        verbose_name_plural = "hardware classes"

    def __str__(self) -> str:
        return self.slug


class ClassFigures(models.Model):
    """The figures of a class from one moment on. They bound what is paid. Append-only; a trigger writes each change.

    To recompute old work, use the figures that were valid then (docs/metering.md).
    """

    hardware_class = models.ForeignKey(HardwareClass, on_delete=models.PROTECT, related_name="figures")
    power_mw = models.PositiveIntegerField()
    slowness_permille = models.PositiveIntegerField()
    valid_from_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        verbose_name_plural = "class figures"
        indexes = [models.Index(fields=["hardware_class", "-id"], name="class_figures_newest")]

    def __str__(self) -> str:
        return f"{self.hardware_class_id} from {self.valid_from_at:%Y-%m-%d}"


class NodeQuerySet(models.QuerySet["Node"]):
    def in_use(self) -> Self:
        """Return all nodes that are not retired: at most one for each vehicle."""
        return self.exclude(status=Node.Status.RETIRED)

    def serving(self, vehicle: Vehicle) -> "Node | None":
        """Return the vehicle's node that is in use, or None."""
        return self.in_use().filter(vehicle=vehicle).first()


class Node(PublicIdModel):
    """The compute identity of a vehicle: its key, its hardware class and its earned trust."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"
        RETIRED = "retired"

    TRANSITIONS: ClassVar[Transitions] = {
        Status.ACTIVE: (Status.SUSPENDED, Status.RETIRED),
        Status.SUSPENDED: (Status.ACTIVE, Status.RETIRED),
    }

    # One node in use at a time. A node whose key was lost is retired and keeps its records; a new one replaces it.
    vehicle = models.ForeignKey(Vehicle, on_delete=models.PROTECT, related_name="nodes")
    hardware_class = models.ForeignKey(HardwareClass, on_delete=models.PROTECT)
    status = models.CharField(max_length=16, choices=Status, default=Status.ACTIVE)
    status_code = models.CharField(max_length=64, blank=True)
    public_key = models.CharField(max_length=64, unique=True)
    cores = models.PositiveSmallIntegerField(default=1)
    layers = models.JSONField(default=list, help_text="Sandbox layers that the agent reports active.")
    agent_version = models.CharField(max_length=32, blank=True)
    # Consecutive valid results among replicated units; one wrong result sets it to 0 (BOINC's adaptive replication).
    valid_streak = models.PositiveIntegerField(default=0)
    # What an hour of work costs the owner in energy and battery wear. Dispatch offers no work that pays less.
    cost_micro_per_hour = models.BigIntegerField(default=0)
    # NATS credentials issued before this moment are void.
    link_revoked_at = models.DateTimeField(null=True, blank=True)
    link_expires_at = models.DateTimeField(null=True, blank=True)

    objects: ClassVar[NodeQuerySet] = NodeQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["vehicle"], condition=~models.Q(status="retired"), name="node_one_by_vehicle"
            )
        ]

    def __str__(self) -> str:
        return self.vehicle.label


class NodeEvent(TransitionEvent):
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="events", db_constraint=False)


class NodePresence(models.Model):
    """The state that a node reported in its last `sync`. A narrow table of its own, because every sync writes it."""

    node = models.OneToOneField(Node, on_delete=models.PROTECT, related_name="presence", primary_key=True)
    seq = models.BigIntegerField(default=0)
    available = models.BooleanField(default=False)
    reason = models.CharField(max_length=40, blank=True)
    capacity = models.PositiveSmallIntegerField(default=0)
    carrier = models.CharField(max_length=8, blank=True)
    policy_version = models.PositiveIntegerField(default=0)
    last_sync_at = models.DateTimeField(null=True)
    # Head of the node's chain of meter records. It is here because `sync` locks this row; the row of the node itself is
    # locked by verification.
    meter_seq = models.PositiveBigIntegerField(default=0)
    meter_hash = models.CharField(max_length=64, default="0" * 64)
    # True after a suspension was lifted, until the agent confirms that it continues after that head. No work before.
    resuming = models.BooleanField(default=False, db_default=False)

    class Meta:
        indexes = [models.Index(fields=["-last_sync_at"], condition=models.Q(available=True), name="node_available")]

    def __str__(self) -> str:
        return f"{self.node_id}: {self.reason or 'available'}"

    @property
    def is_away(self) -> bool:
        return self.last_sync_at is None or timezone.now() - self.last_sync_at > AWAY_AFTER


class EnrolmentCode(TimestampedModel):
    """A one-time code that binds a new agent to a vehicle. Only its hash is stored."""

    vehicle = models.ForeignKey(Vehicle, on_delete=models.PROTECT)
    code_sha256 = models.CharField(max_length=64, unique=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"code for {self.vehicle_id}"


class Pairing(TimestampedModel):
    """An agent that waits for its owner: it shows a code and the owner types it (as in RFC 8628). Bound to its key."""

    public_key = models.CharField(max_length=64, unique=True)
    code_sha256 = models.CharField(max_length=64, unique=True)
    hardware = models.JSONField()
    agent_version = models.CharField(max_length=32, blank=True)
    expires_at = models.DateTimeField()
    node = models.OneToOneField(Node, on_delete=models.PROTECT, null=True, related_name="pairing")

    def __str__(self) -> str:
        return f"pairing {self.pk}"
