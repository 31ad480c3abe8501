"""The back office's read-only pages of connected accounts and payouts, with links to proposals about payouts."""

from collections.abc import Sequence
from typing import Any

from django.contrib import admin

from accounts.admin.owner_data import OwnerDataAdmin
from billing.admin.base import ProposingAdmin
from billing.models import Approval, ConnectedAccount, Payout, StripeCommand
from core.locale import format_money

Kind, Status = Approval.Kind, Payout.Status


@admin.register(ConnectedAccount)
class ConnectedAccountAdmin(OwnerDataAdmin):
    list_display = ("public_id", "country", "currency", "status", "status_code", "checked_at", "deadline_at")
    list_filter = ("status", "country")
    search_fields = ("public_id", "stripe_id")
    ordering = ("-id",)


@admin.register(Payout)
class PayoutAdmin(ProposingAdmin):
    list_display = ("public_id", "amount", "status", "status_code", "due_at", "paid_at", "bank_status")
    list_filter = ("status", "status_code", "bank_status")
    search_fields = ("public_id", "stripe_transfer_id")
    ordering = ("-id",)

    @admin.display(description="Amount", ordering="amount_micro")
    def amount(self, row: Payout) -> str:
        return format_money(row.amount_micro, row.currency)

    def proposals(self, row: Payout) -> Sequence[tuple[str, dict[str, Any]]]:
        return [(kind, {"subject": row.public_id}) for kind in _kinds(row)]


def _kinds(row: Payout) -> list[str]:
    """Return the kinds of proposals that the payout's state allows.

    Whether a refused transfer certainly did nothing is checked when the approved act is carried out.
    """
    match row.status:
        case Status.SCHEDULED:
            return [Kind.RELEASE_PAYOUT if row.held_at else Kind.HOLD_PAYOUT, Kind.RETURN_PAYOUT]
        case Status.SENDING if row.command and row.command.status == StripeCommand.Status.DEAD:
            return [Kind.RESEND_PAYOUT, Kind.RETURN_PAYOUT]
        case Status.PAID:
            return [Kind.REVERSE_PAYOUT]
    return []
