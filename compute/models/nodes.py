from datetime import timedelta
from typing import ClassVar, Self

from django.db import models
from django.utils import timezone

from accounts.models import Vehicle
from core.models import PublicIdModel, TimestampedModel
from core.states import TransitionEvent, Transitions

AWAY_AFTER = timedelta(seconds=30)


class HardwareClass(TimestampedModel):
    """Computers whose results may be compared with each other: same instruction set, provider and onnxruntime build."""

    slug = models.CharField(max_length=80, unique=True)
    title = models.CharField(max_length=120)
    machine = models.CharField(max_length=32)
    isa = models.CharField(max_length=32)
    provider = models.CharField(max_length=48)
    onnxruntime = models.CharField(max_length=16)
    power_mw = models.PositiveIntegerField(default=15_000, help_text="Modelled draw of one running unit, milliwatts.")
    memory_bytes = models.BigIntegerField(default=2 * 1024**3, help_text="Budget of one unit.")
    # How long this class takes for a second of the admission machine's compute, in thousandths.
    slowness_permille = models.PositiveIntegerField(default=1000)

    class Meta:
        verbose_name_plural = "hardware classes"

    def __str__(self) -> str:
        return self.slug


class ClassFigures(models.Model):
    """A class's figures from a moment on, written by the database at each change: they bound what was paid. Append-only.

    Who recomputes old work needs those that were in force then (docs/metering.md).
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
        """All but retired ones: at most one a vehicle."""
        return self.exclude(status=Node.Status.RETIRED)

    def serving(self, vehicle: Vehicle) -> "Node | None":
        """The vehicle's node, if it has one."""
        return self.in_use().filter(vehicle=vehicle).first()


class Node(PublicIdModel):
    """The compute identity of a vehicle: the key made on it, its class, and the trust it has earned."""

    class Status(models.TextChoices):
        ACTIVE = "active"
        SUSPENDED = "suspended"
        RETIRED = "retired"

    TRANSITIONS: ClassVar[Transitions] = {
        Status.ACTIVE: (Status.SUSPENDED, Status.RETIRED),
        Status.SUSPENDED: (Status.ACTIVE, Status.RETIRED),
    }

    # One at a time: a node whose key was lost is retired, keeps its records, and makes room for the next.
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
    # What an hour of work costs the owner in energy and battery wear: offers below it are not made.
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
    """What the last `sync` said. Its own narrow table, since every heartbeat writes it."""

    node = models.OneToOneField(Node, on_delete=models.PROTECT, related_name="presence", primary_key=True)
    seq = models.BigIntegerField(default=0)
    available = models.BooleanField(default=False)
    reason = models.CharField(max_length=40, blank=True)
    capacity = models.PositiveSmallIntegerField(default=0)
    carrier = models.CharField(max_length=8, blank=True)
    policy_version = models.PositiveIntegerField(default=0)
    last_sync_at = models.DateTimeField(null=True)
    # Head of the node's chain of meter records: here, because sync locks this row and the node's own belongs to others.
    meter_seq = models.PositiveBigIntegerField(default=0)
    meter_hash = models.CharField(max_length=64, default="0" * 64)
    # A suspension was lifted, and the agent has not said yet that it goes on from that head: it gets no work before.
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
    """An agent that waits to be claimed: it shows a code, its owner types it. After RFC 8628, bound to the agent's key."""

    public_key = models.CharField(max_length=64, unique=True)
    code_sha256 = models.CharField(max_length=64, unique=True)
    hardware = models.JSONField()
    agent_version = models.CharField(max_length=32, blank=True)
    expires_at = models.DateTimeField()
    node = models.OneToOneField(Node, on_delete=models.PROTECT, null=True, related_name="pairing")

    def __str__(self) -> str:
        return f"pairing {self.pk}"
