"""The back office's read-only pages about Stripe, with actions to retry commands and events that were given up."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.access.guards import signed_in
from accounts.admin.owner_data import OwnerDataAdmin
from billing.admin.base import MoneyPermissionMixin
from billing.models import (
    AutoRecharge,
    BalanceTransaction,
    CardTopUp,
    SavedCard,
    StripeCommand,
    StripeEvent,
    StripeSweep,
)
from billing.stripe import inbox, outbox
from core.admin import ReadOnlyAdmin
from core.errors import DomainError
from core.locale import format_money


@admin.register(StripeCommand)
class StripeCommandAdmin(MoneyPermissionMixin, ReadOnlyAdmin):
    list_display = ("idempotency_key", "kind", "status", "status_code", "attempts", "outcome_unknown", "due_at")
    list_filter = ("status", "kind")
    search_fields = ("idempotency_key", "object_id")
    ordering = ("-id",)
    actions = ("try_again",)

    @admin.action(description="Try dead commands again", permissions=["money"])
    def try_again(self, request: HttpRequest, rows: QuerySet[StripeCommand]) -> None:
        """Queue each dead command again; show the reason for one that cannot be."""
        for row in rows:
            try:
                outbox.retry(command=row, actor=signed_in(request))
            except DomainError as error:
                messages.error(request, f"{row}: {error.message}")


@admin.register(StripeEvent)
class StripeEventAdmin(MoneyPermissionMixin, ReadOnlyAdmin):
    list_display = ("event_id", "type", "status", "status_code", "source", "occurred_at", "attempts")
    list_filter = ("status", "source", "type")
    search_fields = ("event_id", "object_id")
    ordering = ("-id",)
    actions = ("try_again",)

    @admin.action(description="Act again on events that were given up or skipped", permissions=["money"])
    def try_again(self, request: HttpRequest, rows: QuerySet[StripeEvent]) -> None:
        """Queue each event again; show the reason for one that cannot be."""
        for row in rows:
            try:
                inbox.retry(event=row, actor=signed_in(request))
            except DomainError as error:
                messages.error(request, f"{row}: {error.message}")


@admin.register(CardTopUp)
class CardTopUpAdmin(OwnerDataAdmin):
    owner_paths = (("requested_by__owner__pk", None),)  # the requesting person may own cars as well
    list_display = ("public_id", "organization", "amount", "origin", "status", "status_code", "created_at")
    list_filter = ("status", "origin")
    list_select_related = ("organization",)
    search_fields = ("public_id", "session_id", "payment_intent_id", "organization__name")
    ordering = ("-id",)

    @admin.display(description="Amount", ordering="amount_micro")
    def amount(self, row: CardTopUp) -> str:
        return format_money(row.amount_micro, row.currency)


@admin.register(SavedCard)
class SavedCardAdmin(OwnerDataAdmin):
    owner_paths = (("requested_by__owner__pk", None),)
    list_display = ("public_id", "organization", "brand", "last4", "is_default", "status", "status_code", "created_at")
    list_filter = ("status",)
    list_select_related = ("organization",)
    search_fields = ("public_id", "payment_method_id", "organization__name")
    ordering = ("-id",)


@admin.register(AutoRecharge)
class AutoRechargeAdmin(OwnerDataAdmin):
    owner_paths = (("changed_by__owner__pk", None),)
    list_display = ("organization", "is_on", "threshold", "amount", "monthly_cap", "paused_code", "paused_at")
    list_filter = ("is_on", "paused_code")
    list_select_related = ("organization",)
    search_fields = ("organization__name",)
    ordering = ("-id",)

    @admin.display(description="Below")
    def threshold(self, row: AutoRecharge) -> str:
        return format_money(row.threshold_micro, row.organization.currency)

    @admin.display(description="Amount")
    def amount(self, row: AutoRecharge) -> str:
        return format_money(row.amount_micro, row.organization.currency)

    @admin.display(description="At most a month")
    def monthly_cap(self, row: AutoRecharge) -> str:
        return format_money(row.monthly_cap_micro, row.organization.currency)


@admin.register(BalanceTransaction)
class BalanceTransactionAdmin(ReadOnlyAdmin):
    list_display = ("stripe_id", "type", "amount", "fee", "occurred_at", "payment_intent_id")
    list_filter = ("type", "currency")
    search_fields = ("stripe_id", "payment_intent_id", "source_id")
    ordering = ("-id",)

    @admin.display(description="Amount", ordering="amount_micro")
    def amount(self, row: BalanceTransaction) -> str:
        return format_money(row.amount_micro, row.currency)

    @admin.display(description="Fee", ordering="fee_micro")
    def fee(self, row: BalanceTransaction) -> str:
        return format_money(row.fee_micro, row.currency)


@admin.register(StripeSweep)
class StripeSweepAdmin(ReadOnlyAdmin):
    list_display = ("subject", "since_at", "until_at", "listed", "missing")
    list_filter = ("subject",)
    ordering = ("-id",)
