"""Money in the back office: everything can be read, nothing edited. A top-up goes through the service."""

import uuid
from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.forms import ModelForm
from django.http import HttpRequest

from accounts.models import User
from accounts.owner_data_admin import OwnerDataAdmin
from billing import payout_admin, rates_admin, stripe_admin
from billing.models import JobOrder, LedgerAccount, LedgerTransfer, RatedUsage, TopUp
from billing.services import wallets
from marketplace.core.admin import ReadOnlyAdmin
from marketplace.core.money import MICRO, format_micro

__all__ = ["payout_admin", "rates_admin", "stripe_admin"]
AMOUNT_MAX = 1_000_000


@admin.register(LedgerAccount)
class LedgerAccountAdmin(OwnerDataAdmin):
    list_display = ("key", "kind", "balance", "version")
    list_filter = ("kind", "currency")
    search_fields = ("key",)

    @admin.display(description="Balance", ordering="balance_micro")
    def balance(self, account: LedgerAccount) -> str:
        return format_micro(account.balance_micro, account.currency) if account.tracked else "sum of transfers"


@admin.register(LedgerTransfer)
class LedgerTransferAdmin(OwnerDataAdmin):
    owner_paths = (("debit__owner_id", None), ("credit__owner_id", None))
    list_display = ("id", "kind", "debit", "credit", "amount", "posted_at")
    list_filter = ("kind", "currency")
    list_select_related = ("debit", "credit")
    search_fields = ("idempotency_key", "public_id")
    ordering = ("-id",)

    @admin.display(description="Amount", ordering="amount_micro")
    def amount(self, transfer: LedgerTransfer) -> str:
        return format_micro(transfer.amount_micro, transfer.currency)


@admin.register(JobOrder)
class JobOrderAdmin(ReadOnlyAdmin):
    list_display = ("job", "organization", "status", "held_micro", "charged_micro", "created_at")
    list_filter = ("status",)
    list_select_related = ("job", "organization")
    search_fields = ("job__public_id", "organization__name")
    ordering = ("-id",)


@admin.register(RatedUsage)
class RatedUsageAdmin(OwnerDataAdmin):
    owner_paths = (("usage__owner_id", "usage__vehicle_id"),)
    list_display = ("usage", "order", "charged_micro", "owner_micro", "platform_micro", "created_at")
    list_select_related = ("usage", "order")
    search_fields = ("order__job__public_id",)
    ordering = ("-id",)


class TopUpForm(forms.ModelForm[TopUp]):
    """The key is made with the form, so that sending it twice tops up once."""

    amount = forms.DecimalField(min_value=Decimal("0.01"), max_value=AMOUNT_MAX, decimal_places=2)
    idempotency_key = forms.CharField(widget=forms.HiddenInput, initial=lambda: f"admin:{uuid.uuid4()}")

    class Meta:
        model = TopUp
        fields = ("organization", "reference", "idempotency_key")


@admin.register(TopUp)
class TopUpAdmin(OwnerDataAdmin):
    owner_paths = (("transfer__credit__owner_id", None), ("transfer__debit__owner_id", None))
    open_views = ("add",)  # a form over organizations
    list_display = ("organization", "amount", "method", "reference", "created_at")
    list_filter = ("method",)
    list_select_related = ("organization",)
    search_fields = ("organization__name", "reference")
    ordering = ("-id",)
    form = TopUpForm

    @admin.display(description="Amount", ordering="amount_micro")
    def amount(self, row: TopUp) -> str:
        return format_micro(row.amount_micro, row.currency)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def save_model(self, request: HttpRequest, obj: TopUp, form: ModelForm[Any], change: bool) -> None:
        """Money received by bank transfer; the actor is in the audit trail."""
        assert isinstance(request.user, User)
        created = wallets.top_up(
            organization=obj.organization,
            amount_micro=int(form.cleaned_data["amount"] * MICRO),
            method=TopUp.Method.MANUAL,
            reference=obj.reference,
            idempotency_key=obj.idempotency_key,
            actor=request.user,
        )
        obj.pk, obj.amount_micro, obj.currency = created.pk, created.amount_micro, created.currency
