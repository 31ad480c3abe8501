"""The back office's pages about money.

Everything can be read and nothing edited; acts that move money need two operators.
"""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from accounts.admin.owner_data import OwnerDataAdmin
from billing.admin import approvals, disputes, documents, ledger, payouts, rates, refunds, stripe
from billing.admin.base import may_decide, proposal_url
from billing.models import Approval, JobOrder, RatedUsage, TopUp
from core.admin import ReadOnlyAdmin
from core.locale import format_money

__all__ = ["approvals", "disputes", "documents", "ledger", "payouts", "rates", "refunds", "stripe"]


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


@admin.register(TopUp)
class TopUpAdmin(OwnerDataAdmin):
    owner_paths = (("transfer__credit__owner_id", None), ("transfer__debit__owner_id", None))
    change_list_template = "admin/top_up_list.html"
    list_display = ("organization", "amount", "method", "reference", "created_at")
    list_filter = ("method",)
    list_select_related = ("organization",)
    search_fields = ("organization__name", "reference")
    ordering = ("-id",)

    @admin.display(description="Amount", ordering="amount_micro")
    def amount(self, row: TopUp) -> str:
        return format_money(row.amount_micro, row.currency)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Link to the proposal that credits a bank transfer, which needs two operators."""
        url = proposal_url(Approval.Kind.BANK_TOP_UP) if may_decide(request) else ""
        return super().changelist_view(request, {**(extra_context or {}), "bank_url": url})
