"""Admin pages of the fleet and its work, read-only. Operators decide about meter conflicts in conflicts.py."""

from django.contrib import admin

from accounts.admin.owner_data import OwnerDataAdmin
from compute.admin import conflicts  # noqa: F401  registers its admin page
from compute.models import (
    Attempt,
    ClassFigures,
    HardwareClass,
    InferenceJob,
    MeterRecord,
    ModelArtifact,
    Node,
    NodePresence,
    UsageRecord,
    WorkUnit,
)
from core.admin import ReadOnlyAdmin


@admin.register(Node)
class NodeAdmin(OwnerDataAdmin):
    owner_paths = (("vehicle__owner_id", "vehicle_id"),)
    list_display = ("vehicle", "status", "hardware_class", "valid_streak", "agent_version", "created_at")
    list_filter = ("status", "hardware_class")
    list_select_related = ("vehicle", "hardware_class")


@admin.register(NodePresence)
class NodePresenceAdmin(OwnerDataAdmin):
    owner_paths = (("node__vehicle__owner_id", "node__vehicle_id"),)
    list_display = ("node", "available", "reason", "capacity", "carrier", "last_sync_at")
    list_filter = ("available", "carrier", "reason")
    list_select_related = ("node__vehicle",)


@admin.register(ModelArtifact)
class ModelArtifactAdmin(ReadOnlyAdmin):
    list_display = ("name", "organization", "status", "status_code", "size_bytes", "us_per_item", "created_at")
    list_filter = ("status", "status_code")
    list_select_related = ("organization",)
    search_fields = ("sha256", "name")


@admin.register(InferenceJob)
class InferenceJobAdmin(ReadOnlyAdmin):
    list_display = ("public_id", "organization", "status", "status_code", "units_accepted", "units_total", "created_at")
    list_filter = ("status",)
    list_select_related = ("organization",)
    ordering = ("-id",)


@admin.register(WorkUnit)
class WorkUnitAdmin(OwnerDataAdmin):
    owner_paths = (("canonical__owner_id", "canonical__vehicle_id"),)
    list_display = ("job", "index", "status", "status_code", "copies_wanted", "copies_live", "copies_made")
    list_filter = ("status",)
    ordering = ("-id",)


@admin.register(Attempt)
class AttemptAdmin(OwnerDataAdmin):
    owner_paths = (("owner_id", "vehicle_id"),)
    list_display = ("id", "unit", "fence", "node", "status", "status_code", "leased_at", "ended_at")
    list_filter = ("status", "status_code")
    list_select_related = ("unit", "node__vehicle")
    exclude = ("result",)
    ordering = ("-id",)


@admin.register(MeterRecord)
class MeterRecordAdmin(OwnerDataAdmin):
    owner_paths = (("node__vehicle__owner_id", "node__vehicle_id"),)
    list_display = ("node", "seq", "outcome", "compute_ms", "energy_mwh", "energy_method", "received_at")
    list_filter = ("outcome", "energy_method")
    list_select_related = ("node__vehicle",)
    exclude = ("record", "signature")
    ordering = ("-id",)


@admin.register(ClassFigures)
class ClassFiguresAdmin(ReadOnlyAdmin):
    list_display = ("hardware_class", "power_mw", "slowness_permille", "valid_from_at")
    list_select_related = ("hardware_class",)
    ordering = ("-id",)


@admin.register(UsageRecord)
class UsageRecordAdmin(OwnerDataAdmin):
    owner_paths = (("owner_id", "vehicle_id"),)
    list_display = ("attempt", "job", "owner", "is_canonical", "compute_ms", "energy_mwh", "settled_at")
    list_select_related = ("job", "owner", "attempt")
    ordering = ("-id",)


admin.site.register(HardwareClass, ReadOnlyAdmin)
