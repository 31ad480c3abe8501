"""Where owners are paid, and payouts, in the back office: read. What moves money is decided by two, elsewhere."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest

from accounts.access import signed_in
from accounts.owner_data_admin import OwnerDataAdmin
from billing.models import ConnectedAccount, Payout
from billing.services import payouts
from marketplace.core.errors import DomainError
from marketplace.core.money import format_micro


@admin.register(ConnectedAccount)
class ConnectedAccountAdmin(OwnerDataAdmin):
    list_display = ("public_id", "country", "currency", "status", "status_code", "checked_at", "deadline_at")
    list_filter = ("status", "country")
    search_fields = ("public_id", "stripe_id")
    ordering = ("-id",)


@admin.register(Payout)
class PayoutAdmin(OwnerDataAdmin):
    list_display = ("public_id", "amount", "status", "status_code", "due_at", "paid_at", "bank_status")
    list_filter = ("status", "status_code", "bank_status")
    search_fields = ("public_id", "stripe_transfer_id")
    ordering = ("-id",)
    actions = ("schedule_again",)

    @admin.display(description="Amount", ordering="amount_micro")
    def amount(self, row: Payout) -> str:
        return format_micro(row.amount_micro, row.currency)

    @admin.action(description="Ask Stripe anew for transfers that it refused")
    def schedule_again(self, request: HttpRequest, rows: QuerySet[Payout]) -> None:
        for row in rows:
            try:
                payouts.schedule_again(payout=row, actor=signed_in(request))
            except DomainError as error:
                messages.error(request, f"{row}: {error.message}")
