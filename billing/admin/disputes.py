"""The back office's pages of disputes: read what customers and owners wrote, answer, reject, or propose to uphold."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.timezone import localtime

from accounts.access.guards import signed_in
from accounts.admin.owner_data import OwnerDataAdmin
from billing.admin.base import may_decide, proposal_url
from billing.disputes import decisions as dispute_decisions
from billing.disputes import disputes
from billing.models import Approval, Dispute
from billing.orders import returned_charges
from core.errors import DomainError
from core.locale import format_money
from core.money import MICRO


@admin.register(Dispute)
class DisputeAdmin(OwnerDataAdmin):
    owner_paths = (("owner_id", None), ("opened_by__owner__pk", None))
    own_views = (("<int:object_id>/decide/", "decide"),)
    change_form_template = "admin/dispute.html"
    list_display = ("public_id", "side", "claimed", "status", "created_at", "decided_at")
    list_filter = ("status",)
    list_select_related = ("organization", "owner")
    search_fields = ("public_id", "order__job__public_id", "statement__public_id")
    ordering = ("-id",)
    fields = (
        "public_id",
        "status",
        "side",
        "about",
        "reason",
        "thread",
        "claimed",
        "reserved",
        "granted",
        "bearer",
        "decision",
        "decided_by",
        "decided_at",
        "created_at",
    )

    @admin.display(description="Opened by")
    def side(self, row: Dispute) -> str:
        return f"Customer {row.organization}" if row.organization_id else f"Owner {row.owner}"

    @admin.display(description="About")
    def about(self, row: Dispute) -> str:
        if row.order:
            url = reverse("admin:billing_joborder_change", args=[row.order_id])
            return format_html('<a href="{}">order of job {}</a>', url, row.order.job.public_id)
        url = reverse("admin:billing_statement_change", args=[row.statement_id])
        return format_html('<a href="{}">{}</a>', url, row.statement)

    @admin.display(description="Messages since")
    def thread(self, row: Dispute) -> str:
        entries = [
            (
                "Driveway" if message.from_operator else "Other side",
                f"{localtime(message.created_at):%Y-%m-%d %H:%M}",
                message.text,
            )
            for message in row.messages.order_by("id")
        ]
        return format_html_join("", "<p><strong>{}</strong>, {}: {}</p>", entries) or "None yet."

    @admin.display(description="Claimed")
    def claimed(self, row: Dispute) -> str:
        return format_money(row.claimed_micro, row.currency)

    @admin.display(description="Held while open")
    def reserved(self, row: Dispute) -> str:
        return format_money(row.reserved_micro, row.currency)

    @admin.display(description="Granted")
    def granted(self, row: Dispute) -> str:
        return format_money(row.granted_micro, row.currency)

    def decide(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Handle the buttons: answer the other side, or reject the dispute."""
        if not may_decide(request):
            raise PermissionDenied
        dispute = get_object_or_404(Dispute, pk=object_id)
        back = HttpResponseRedirect(reverse("admin:billing_dispute_change", args=[object_id]))
        if request.method != "POST":  # a link must not be able to decide anything
            return back
        text, actor = request.POST.get("text", ""), signed_in(request)
        try:
            match request.POST.get("act"):
                case "answer":
                    disputes.add_message(dispute=dispute, text=text, author=actor, from_operator=True)
                    messages.success(request, "Sent.")
                case "reject":
                    dispute_decisions.reject(dispute=dispute, decision=text, actor=actor)
                    messages.success(request, "Not upheld. Both sides can read the decision.")
        except DomainError as error:
            messages.error(request, error.message)
        return back

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        row = Dispute.objects.filter(pk=object_id).first()
        initial = {"subject": row.public_id, "amount": _grantable(row) / MICRO} if row else {}
        uphold_url = proposal_url(Approval.Kind.DECIDE_DISPUTE, **initial)
        waits = row is not None and row.status == Dispute.Status.OPEN and may_decide(request)
        context = {"waits": waits, "uphold_url": uphold_url}
        return super().change_view(request, object_id, form_url, context)


def _grantable(row: Dispute) -> int:
    """Return the claim in micro-units, at most what the order has not given back yet."""
    return (
        min(row.claimed_micro, returned_charges.returned_charges_of(row.order).left_micro)
        if row.order
        else row.claimed_micro
    )
