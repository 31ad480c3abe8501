"""The back office's pages of refunds, of chargebacks with our answer to the bank, and of promotional credit."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.response import TemplateResponse

from accounts.access.guards import signed_in
from billing.admin.base import ProposingAdmin
from billing.chargebacks import chargebacks, debts, suspensions
from billing.models import Approval, CardDispute, PromoCredit, Refund, StripeCommand
from core.errors import DomainError
from core.locale import format_money


class MoneyBackAdmin(ProposingAdmin):
    """Base of the pages below: read only.

    Acts that move no money call a service directly; those that move money are proposed.
    """

    ordering = ("-id",)
    list_select_related = ("organization",)

    @admin.display(description="Amount", ordering="amount_micro")
    def amount(self, row: Any) -> str:
        return format_money(row.amount_micro, row.currency)


@admin.register(Refund)
class RefundAdmin(MoneyBackAdmin):
    owner_paths = (("requested_by__owner__pk", None),)  # the requesting person may own cars as well
    list_display = ("public_id", "organization", "amount", "status", "status_code", "stripe_id", "created_at")
    list_filter = ("status",)
    search_fields = ("public_id", "stripe_id", "organization__name")

    def proposals(self, row: Refund) -> Sequence[tuple[str, dict[str, Any]]]:
        """Offer to resolve a refund whose command was given up with an unknown outcome.

        Resolved, it counts as sent if Stripe has it; if not, the money returns to the wallet.
        """
        given_up = row.status == Refund.Status.REQUESTED and row.command.status == StripeCommand.Status.DEAD
        return [(Approval.Kind.RESOLVE_REFUND, {"subject": row.public_id})] if given_up else []


@admin.register(CardDispute)
class CardDisputeAdmin(MoneyBackAdmin):
    owner_paths = (("top_up__transfer__credit__owner_id", None),)
    list_display = (
        "stripe_id",
        "organization",
        "amount",
        "reason",
        "status",
        "evidence_due_at",
        "evidence_at",
        "withdrawn_at",
        "reinstated_at",
        "written_off_at",
    )
    list_filter = ("status", "reason")
    search_fields = ("stripe_id", "organization__name")
    actions = ("answer", "lift")

    def proposals(self, row: CardDispute) -> Sequence[tuple[str, dict[str, Any]]]:
        """Offer to write off what the customer still owes after a lost chargeback."""
        owes = row.status == CardDispute.Status.LOST and debts.debt(row).owed_micro > 0
        return [(Approval.Kind.WRITE_OFF, {"subject": row.public_id})] if owes else []

    @admin.action(description="Answer the bank with evidence", permissions=["money"])
    def answer(self, request: HttpRequest, rows: QuerySet[CardDispute]) -> TemplateResponse | None:
        """Show the selected chargeback and ask for the text to submit to its bank.

        Handles exactly one: a bank accepts evidence once, so each chargeback gets a text of its own.
        """
        chosen, text = list(rows.select_related("organization", "top_up")[:2]), request.POST.get("text", "")
        if len(chosen) > 1:
            messages.error(request, "Select one dispute: the bank of each one gets an answer of its own.")
            return None
        if "confirmed" in request.POST and chosen:
            try:
                chargebacks.submit_evidence(dispute=chosen[0], text=text, actor=signed_in(request))
            except DomainError as error:
                messages.error(request, error.message)
            else:
                messages.success(request, f"{chosen[0]}: the answer will be sent to the bank.")
                return None
        context = {**self.admin_site.each_context(request), "title": "Answer the bank", "opts": self.opts}
        context |= {"rows_shown": chosen, "text": text, "action": "answer", "longest": chargebacks.EVIDENCE_MAX}
        context |= {"debts": [debts.debt(row) for row in chosen]}
        return TemplateResponse(request, "admin/card_dispute_answer.html", context)

    @admin.action(description="Let the organization order again despite the dispute", permissions=["money"])
    def lift(self, request: HttpRequest, rows: QuerySet[CardDispute]) -> None:
        """Lift the suspension of each organization."""
        for row in rows:
            suspensions.lift(organization=row.organization, actor=signed_in(request))
            messages.success(request, f"{row.organization} may order again.")


@admin.register(PromoCredit)
class PromoCreditAdmin(MoneyBackAdmin):
    owner_paths = (("granted_by__owner__pk", None),)
    list_display = ("organization", "amount", "reason", "granted_by", "created_at")
    search_fields = ("organization__name", "reason")
