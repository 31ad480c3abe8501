"""History of a car beyond its work. Each table is kept only under its own consent and deleted when that ends."""

from django.db import models

from accounts.models import Vehicle
from compute.models.nodes import Node


class AvailabilitySpan(models.Model):
    """An interval in which a node's availability and its reason stayed the same. Consent: `availability`."""

    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="availability_spans")
    vehicle = models.ForeignKey(Vehicle, on_delete=models.PROTECT, related_name="availability_spans")
    available = models.BooleanField()
    reason = models.CharField(max_length=40, blank=True)
    started_at = models.DateTimeField(db_default=models.functions.Now())
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["node"], condition=models.Q(ended_at=None), name="availability_span_open_once"
            )
        ]
        indexes = [models.Index(fields=["vehicle", "-started_at"], name="availability_by_vehicle")]

    def __str__(self) -> str:
        return f"{self.node_id}: {self.reason or 'available'} from {self.started_at:%F %T}"


class HealthDay(models.Model):
    """One day's counts of one node: reported temperature bands and failed units. Consent: `reliability`."""

    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="health_days")
    vehicle = models.ForeignKey(Vehicle, on_delete=models.PROTECT, related_name="health_days")
    day = models.DateField()
    reports_cool = models.PositiveIntegerField(default=0)
    reports_warm = models.PositiveIntegerField(default=0)
    reports_hot = models.PositiveIntegerField(default=0)
    units_failed = models.PositiveIntegerField(default=0)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["node", "day"], name="health_day_once")]

    def __str__(self) -> str:
        return f"{self.node_id} {self.day}"
