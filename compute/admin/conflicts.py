"""Admin page of meter conflicts: both records side by side, and the operator's decision about the node."""

import uuid
from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import reverse

from accounts.access.guards import signed_in
from accounts.admin.owner_data import OwnerDataAdmin
from compute.models import MeterConflict, Node, NodeDecision
from compute.nodes import decisions as node_decisions
from compute.nodes import evidence as conflict_evidence
from core.errors import DomainError

MESSAGES = {
    NodeDecision.Kind.LIFT: "Lifted. The computer gets work again once its program continues after our newest record.",
    NodeDecision.Kind.KEEP: "The computer stays suspended. Your reason is in the audit trail.",
    NodeDecision.Kind.RETIRE: "The computer is retired. Its owner may connect another one.",
}


@admin.register(MeterConflict)
class MeterConflictAdmin(OwnerDataAdmin):
    """Second records that nodes signed under one number. `first` is the record that counts."""

    owner_paths = (("node__vehicle__owner_id", "node__vehicle_id"),)
    own_views = (("<int:object_id>/decide/", "decide"),)
    change_form_template = "admin/meter_conflict.html"
    list_display = ("node", "seq", "state", "first", "hash", "received_at")
    list_filter = ("node__status",)
    list_select_related = ("node__vehicle", "first")
    fields = ("node", "state", "seq", "received_at")
    ordering = ("-id",)

    @admin.display(description="Computer is")
    def state(self, row: MeterConflict) -> str:
        return row.node.get_status_display()

    def decide(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Record the operator's decision about the node of a conflict, and return to its page."""
        conflict = get_object_or_404(MeterConflict, pk=object_id)
        back = HttpResponseRedirect(reverse("admin:compute_meterconflict_change", args=[object_id]))
        if request.method != "POST":
            return back
        try:
            row = node_decisions.decide(
                node=conflict.node,
                kind=request.POST.get("act", ""),
                reason=request.POST.get("reason", ""),
                idempotency_key=f"page:{uuid.UUID(request.POST.get('key', ''))}",
                actor=signed_in(request),
            )
        except ValueError:
            messages.error(request, "This form was not complete. Please try again.")
        except DomainError as error:
            messages.error(request, error.message)
        else:
            messages.success(request, MESSAGES[NodeDecision.Kind(row.kind)])
        return back

    def change_view(self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None) -> Any:
        row = MeterConflict.objects.filter(pk=object_id).select_related("node", "first").first()
        context: dict[str, Any] = {"key": uuid.uuid4()}
        if row is not None:
            context |= {
                "waits": row.node.status == Node.Status.SUSPENDED,
                "evidence": conflict_evidence.compared_fields(row),
                "decisions": conflict_evidence.decisions(row.node),
                "others": row.node.meter_conflicts.count() - 1,
            }
        return super().change_view(request, object_id, form_url, context)
