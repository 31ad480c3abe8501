"""The back office's pages about people, vehicles, consents and keys.

Read-only, except that a superuser may release a VIN.
"""

from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from accounts.access.guards import signed_in
from accounts.admin.owner_data import OwnerDataAdmin, owners_of_subjects
from accounts.models import (
    AccessEvent,
    ApiKey,
    AuditEvent,
    ConsentNotice,
    ConsentRecord,
    DataExport,
    ErasureRequest,
    Membership,
    Operator,
    Organization,
    Owner,
    User,
    Vehicle,
)
from accounts.vehicles import vehicles
from core.admin import ReadOnlyAdmin
from core.errors import DomainError


@admin.register(User)
class UserAdmin(OwnerDataAdmin):
    owner_paths = (("owner__pk", None),)
    list_display = ("email", "name", "is_active", "is_staff", "created_at")
    search_fields = ("email", "name")
    exclude = ("password",)


@admin.register(Owner)
class OwnerAdmin(OwnerDataAdmin):
    owner_paths = (("pk", None),)
    list_display = ("name", "user", "country", "currency", "created_at")
    list_select_related = ("user",)
    search_fields = ("name", "user__email")


@admin.register(Organization)
class OrganizationAdmin(ReadOnlyAdmin):
    list_display = ("name", "category", "status", "currency", "created_at")
    list_filter = ("status",)
    search_fields = ("name",)


@admin.register(Vehicle)
class VehicleAdmin(OwnerDataAdmin):
    owner_paths = (("owner_id", "pk"),)
    actions = ("release",)
    list_display = ("label", "owner", "make_model", "kind", "vin_last4", "retired_at")
    list_filter = ("kind",)
    list_select_related = ("owner",)
    exclude = ("vin_hash",)

    def has_release_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    @admin.action(description="Release the VIN of the selected vehicles", permissions=["release"])
    def release(self, request: HttpRequest, rows: QuerySet[Vehicle]) -> TemplateResponse | None:
        """Release the VINs of cars whose former owner does not answer the buyer.

        Asks for a written reason first; the audit trail keeps it.
        """
        chosen, reason = (
            list(rows.filter(retired_at=None).select_related("owner__user")),
            request.POST.get("reason", ""),
        )
        if "confirmed" in request.POST:
            try:
                for vehicle in chosen:
                    vehicles.release(vehicle=vehicle, actor=signed_in(request), reason=reason)
            except DomainError as error:
                messages.error(request, error.message)
            else:
                messages.success(request, f"{len(chosen)} released. Their former owners are informed by mail.")
                return None
        context = {**self.admin_site.each_context(request), "title": "Release a VIN", "opts": self.opts}
        context |= {"rows_shown": chosen, "reason": reason, "action": "release"}
        return TemplateResponse(request, "admin/release_vin.html", context)


@admin.register(ConsentRecord)
class ConsentRecordAdmin(OwnerDataAdmin):
    owner_paths = (("owner_id", "vehicle_id"),)
    list_display = ("owner", "seq", "vehicle", "purpose", "state", "method", "at")
    list_filter = ("purpose", "state")
    list_select_related = ("owner", "vehicle")
    ordering = ("-id",)


@admin.register(ApiKey)
class ApiKeyAdmin(OwnerDataAdmin):
    owner_paths = (("created_by__owner__pk", None),)
    list_display = ("organization", "name", "prefix", "expires_at", "revoked_at", "last_used_at")
    list_select_related = ("organization",)
    exclude = ("secret_sha256",)


@admin.register(AuditEvent)
class AuditEventAdmin(OwnerDataAdmin):
    owner_paths = (("actor__owner__pk", None),)
    list_display = ("at", "actor", "action", "subject")
    list_filter = ("action",)
    list_select_related = ("actor",)
    ordering = ("-id",)

    def owners_of(self, keys: Iterable[Any]) -> set[tuple[int, int | None]]:
        """Return pairs (owner id, vehicle id or None) of the owners who acted and of those whom the act was about."""
        keys = list(keys)
        rows = AuditEvent.objects.filter(pk__in=keys).values_list("subject", "details__vehicle")
        return super().owners_of(keys) | owners_of_subjects(str(name) for row in rows for name in row if name)


@admin.register(AccessEvent)
class AccessEventAdmin(OwnerDataAdmin):
    owner_paths = (("owner_id", "vehicle_id"),)
    list_display = ("at", "actor", "owner", "what", "reason")
    list_filter = ("kind",)
    list_select_related = ("actor", "owner")
    ordering = ("-id",)


@admin.register(DataExport)
class DataExportAdmin(OwnerDataAdmin):
    list_display = ("public_id", "owner", "status", "status_code", "created_at", "ready_at", "expires_at")
    list_filter = ("status",)
    list_select_related = ("owner",)
    ordering = ("-id",)


@admin.register(ErasureRequest)
class ErasureRequestAdmin(OwnerDataAdmin):
    list_display = ("public_id", "owner_id", "status", "status_code", "created_at", "due_at", "ended_at")
    list_filter = ("status",)
    ordering = ("-id",)


@admin.register(Membership, Operator)
class RoleAdmin(OwnerDataAdmin):
    owner_paths = (("user__owner__pk", None),)


admin.site.register(ConsentNotice, ReadOnlyAdmin)
