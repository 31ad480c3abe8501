"""People, vehicles and what they agreed to, in the back office: read-only."""

from django.contrib import admin

from accounts.models import (
    ApiKey,
    AuditEvent,
    ConsentNotice,
    ConsentRecord,
    Membership,
    Operator,
    Organization,
    Owner,
    User,
    Vehicle,
)
from marketplace.core.admin import ReadOnlyAdmin


@admin.register(User)
class UserAdmin(ReadOnlyAdmin):
    list_display = ("email", "name", "is_active", "is_staff", "created_at")
    search_fields = ("email", "name")
    exclude = ("password",)


@admin.register(Owner)
class OwnerAdmin(ReadOnlyAdmin):
    list_display = ("name", "user", "country", "currency", "created_at")
    list_select_related = ("user",)
    search_fields = ("name", "user__email")


@admin.register(Organization)
class OrganizationAdmin(ReadOnlyAdmin):
    list_display = ("name", "category", "status", "currency", "created_at")
    list_filter = ("status",)
    search_fields = ("name",)


@admin.register(Vehicle)
class VehicleAdmin(ReadOnlyAdmin):
    list_display = ("label", "owner", "make_model", "kind", "vin_last4", "retired_at")
    list_filter = ("kind",)
    list_select_related = ("owner",)
    exclude = ("vin_hash",)


@admin.register(ConsentRecord)
class ConsentRecordAdmin(ReadOnlyAdmin):
    list_display = ("owner", "seq", "vehicle", "purpose", "state", "method", "at")
    list_filter = ("purpose", "state")
    list_select_related = ("owner", "vehicle")
    ordering = ("-id",)


@admin.register(ApiKey)
class ApiKeyAdmin(ReadOnlyAdmin):
    list_display = ("organization", "name", "prefix", "expires_at", "revoked_at", "last_used_at")
    list_select_related = ("organization",)
    exclude = ("secret_sha256",)


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    list_display = ("at", "actor", "action", "subject")
    list_filter = ("action",)
    list_select_related = ("actor",)
    ordering = ("-id",)


admin.site.register([ConsentNotice, Membership, Operator], ReadOnlyAdmin)
