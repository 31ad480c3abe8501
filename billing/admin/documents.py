"""The back office's read-only pages of statements and invoices."""

from django.contrib import admin

from accounts.admin.owner_data import OwnerDataAdmin
from billing.models import Invoice, InvoiceLine, Statement, StatementLine
from core.admin import ReadOnlyAdmin
from core.locale import format_money


class StatementLines(admin.TabularInline[StatementLine, Statement]):
    model = StatementLine
    fields = readonly_fields = (
        "kind",
        "vehicle",
        "service_month",
        "is_late",
        "attempts",
        "compute_ms",
        "amount_micro",
        "note",
    )
    extra, max_num, can_delete = 0, 0, False


class InvoiceLines(admin.TabularInline[InvoiceLine, Invoice]):
    model = InvoiceLine
    fields = readonly_fields = ("kind", "description", "items", "compute_ms", "energy_mwh", "amount_micro")
    extra, max_num, can_delete = 0, 0, False


@admin.register(Statement)
class StatementAdmin(OwnerDataAdmin):
    inlines = (StatementLines,)
    list_display = ("owner", "number", "period_start_at", "period_end_at", "earned", "paid_out", "carried")
    list_select_related = ("owner",)
    search_fields = ("public_id",)
    ordering = ("-id",)

    @admin.display(description="Earned")
    def earned(self, row: Statement) -> str:
        return format_money(row.earned_micro, row.currency)

    @admin.display(description="Paid out")
    def paid_out(self, row: Statement) -> str:
        return format_money(row.paid_out_micro, row.currency)

    @admin.display(description="Carried")
    def carried(self, row: Statement) -> str:
        return format_money(row.carried_micro, row.currency)


@admin.register(Invoice)
class InvoiceAdmin(ReadOnlyAdmin):
    inlines = (InvoiceLines,)
    list_display = ("organization", "number", "period_start_at", "period_end_at", "total")
    list_select_related = ("organization",)
    search_fields = ("public_id", "organization__name")
    ordering = ("-id",)

    @admin.display(description="Total")
    def total(self, row: Invoice) -> str:
        return format_money(row.total_micro, row.currency)
