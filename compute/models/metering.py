"""Metering: the signed records of nodes, their conflicts, and the settled usage."""

from django.db import models

from accounts.models import Organization, Owner, Vehicle
from compute.models.attempts import Attempt
from compute.models.jobs import InferenceJob
from compute.models.nodes import HardwareClass, Node


class MeterRecord(models.Model):
    """A node's signed record of one execution, stored byte for byte as evidence, also when the attempt is not paid.

    The columns repeat fields of `record` for SQL; only the signed bytes are authoritative. `seq` and `prev_hash` chain
    a node's records. Append-only.
    """

    # The trigger meter_chain checks both columns for a whole batch; it replaces the foreign keys.
    node = models.ForeignKey(
        Node, on_delete=models.PROTECT, related_name="meter_records", db_constraint=False, db_index=False
    )
    # Not unique: a node that crashed may run an attempt twice and sign two records, and both are evidence.
    # Null: the record is about an attempt of another node, or about none.
    attempt = models.ForeignKey(
        Attempt, on_delete=models.PROTECT, null=True, related_name="meter_records", db_constraint=False
    )
    seq = models.PositiveBigIntegerField()
    prev_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)
    record = models.BinaryField()
    signature = models.BinaryField()
    outcome = models.CharField(max_length=16)
    compute_ms = models.PositiveBigIntegerField()
    energy_mwh = models.PositiveBigIntegerField()
    energy_method = models.CharField(max_length=32)
    output_sha256 = models.CharField(max_length=64, blank=True)
    received_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["node", "seq"], name="meter_record_chain")]

    def __str__(self) -> str:
        return f"{self.node_id}#{self.seq}"


class MeterConflict(models.Model):
    """A second, different record that a node signed under a used number: kept apart and never paid. Append-only."""

    first = models.ForeignKey(MeterRecord, on_delete=models.PROTECT, related_name="conflicts")
    node = models.ForeignKey(Node, on_delete=models.PROTECT, related_name="meter_conflicts")
    seq = models.PositiveBigIntegerField()
    hash = models.CharField(max_length=64)
    record = models.BinaryField()
    signature = models.BinaryField()
    received_at = models.DateTimeField(db_default=models.functions.Now())

    class Meta:
        constraints = [models.UniqueConstraint(fields=["node", "seq", "hash"], name="meter_conflict_once")]

    def __str__(self) -> str:
        return f"{self.node_id}#{self.seq} again"


class UsageRecord(models.Model):
    """The settled quantity of one valid attempt. Billing sets `settled_at` once; no other column ever changes."""

    # The trigger usage_matches compares these columns with those of the attempt, for a whole batch.
    attempt = models.OneToOneField(Attempt, on_delete=models.PROTECT, related_name="usage", db_constraint=False)
    meter_record = models.OneToOneField(MeterRecord, on_delete=models.PROTECT, db_constraint=False)
    job = models.ForeignKey(
        InferenceJob, on_delete=models.PROTECT, related_name="usage_records", db_constraint=False, db_index=False
    )
    organization = models.ForeignKey(Organization, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    owner = models.ForeignKey(Owner, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    vehicle = models.ForeignKey(Vehicle, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    node = models.ForeignKey(Node, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    hardware_class = models.ForeignKey(HardwareClass, on_delete=models.PROTECT, db_constraint=False, db_index=False)
    # The customer pays for the canonical attempt of a unit; the platform pays for the copies that verify it.
    is_canonical = models.BooleanField()
    items = models.PositiveIntegerField()
    compute_ms = models.PositiveBigIntegerField()
    energy_mwh = models.PositiveBigIntegerField()
    created_at = models.DateTimeField(db_default=models.functions.Now())
    settled_at = models.DateTimeField(null=True)

    class Meta:
        indexes = [
            models.Index(fields=["id"], condition=models.Q(settled_at=None), name="usage_unsettled"),
            models.Index(fields=["job"], name="usage_by_job"),
            models.Index(fields=["vehicle", "-id"], name="usage_by_vehicle"),
        ]

    def __str__(self) -> str:
        return f"usage of {self.attempt_id}"
