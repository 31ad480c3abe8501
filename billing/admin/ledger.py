"""The back office's pages of the ledger: accounts, transfers, and the runs and findings of its checks.

Nothing here moves money.
"""

from typing import Any
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import F, Model, QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString

from accounts.admin.owner_data import OwnerDataAdmin
from accounts.models import User
from billing.ledger import check_runs
from billing.ledger import explorer as ledger_explorer
from billing.ledger.checks import CHECKS
from billing.models import LedgerAccount, LedgerCheck, LedgerDifference, LedgerTransfer
from core.admin import ReadOnlyAdmin
from core.errors import DomainError
from core.locale import format_money

MICRO_PER_CENT = 10_000


class LedgerPageAdmin(OwnerDataAdmin):
    """Base of classes whose row page is our own read-only template (`page_template`) in place of Django's form."""

    page_template = ""

    def page_context(self, request: HttpRequest, row: Any) -> dict[str, Any]:
        """Return what the template shows of the row."""
        raise NotImplementedError

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if request.method != "GET" or not self.has_view_permission(request, row):
            raise PermissionDenied
        if row is None:
            raise Http404
        context = {**self.admin_site.each_context(request), "opts": self.opts, "title": str(row), "row": row}
        return TemplateResponse(request, self.page_template, context | self.page_context(request, row))


class MovementsForm(forms.Form):
    """The filter of an account's transfers. `before` is the page's cursor."""

    kind = forms.ChoiceField(choices=[("", "All kinds"), *LedgerTransfer.Kind.choices], required=False)
    since = forms.DateField(required=False, label="From", widget=forms.DateInput(attrs={"type": "date"}))
    until = forms.DateField(required=False, label="To", widget=forms.DateInput(attrs={"type": "date"}))
    before = forms.IntegerField(required=False, min_value=1, max_value=2**62, widget=forms.HiddenInput)


@admin.register(LedgerAccount)
class LedgerAccountAdmin(LedgerPageAdmin):
    page_template = "admin/ledger_account.html"
    list_display = ("key", "kind", "whose", "balance", "version")
    list_filter = ("kind", "currency")
    list_select_related = ("organization", "owner")
    search_fields = ("key",)
    ordering = ("key",)

    @admin.display(description="Whose")
    def whose(self, account: LedgerAccount) -> str:
        return account_holder(account)

    @admin.display(description="Balance", ordering="balance_micro")
    def balance(self, account: LedgerAccount) -> str:
        """Return the balance on the account's normal side.

        Untracked accounts are summed up, with one query for each.
        """
        return money(ledger_explorer.balances([account])[account.pk], account.currency)

    def page_context(self, request: HttpRequest, row: LedgerAccount) -> dict[str, Any]:
        form = MovementsForm(request.GET)
        filters = {name: value for name, value in form.cleaned_data.items() if value} if form.is_valid() else {}
        page = ledger_explorer.movements(row, **filters)
        without_cursor = {name: value for name, value in filters.items() if name != "before"}
        return {
            "form": MovementsForm(initial=without_cursor) if form.is_valid() else form,
            "balance": money(ledger_explorer.balances([row])[row.pk], row.currency),
            "whose": account_holder(row),
            "movements": [
                (movement, money(movement.amount_micro, row.currency), money(movement.after_micro, row.currency))
                for movement in page.rows
            ],
            "filtered": bool(without_cursor),
            "newer": "before" in filters,
            "first_url": f"?{urlencode(without_cursor)}",
            "older_url": f"?{urlencode(without_cursor | {'before': page.older})}" if page.older else "",
            "accounts_shown": [row.pk, *(movement.other.pk for movement in page.rows)],
        }

    def _rows_shown(self, answer: Any, object_id: Any) -> list[Any]:
        """Return all accounts on the page, for the access log: the other account may be another owner's."""
        shown = (getattr(answer, "context_data", None) or {}).get("accounts_shown")
        return shown or super()._rows_shown(answer, object_id)


@admin.register(LedgerTransfer)
class LedgerTransferAdmin(LedgerPageAdmin):
    page_template = "admin/ledger_transfer.html"
    owner_paths = (("debit__owner_id", None), ("credit__owner_id", None))
    list_display = ("id", "kind", "amount", "from_account", "to_account", "posted_at", "idempotency_key")
    list_filter = ("kind", ("posted_at", admin.DateFieldListFilter), "currency")
    list_select_related = ("debit", "credit")
    search_fields = ("idempotency_key",)  # makes Django show the field; get_search_results does the search
    search_help_text = "A public id, or the beginning of an idempotency key"
    ordering = ("-id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset & ledger_explorer.find(term) if term else queryset), False

    @admin.display(description="Amount", ordering="amount_micro")
    def amount(self, transfer: LedgerTransfer) -> str:
        return money(transfer.amount_micro, transfer.currency)

    @admin.display(description="Debit", ordering="debit__key")
    def from_account(self, transfer: LedgerTransfer) -> SafeString:
        return link(transfer.debit)

    @admin.display(description="Credit", ordering="credit__key")
    def to_account(self, transfer: LedgerTransfer) -> SafeString:
        return link(transfer.credit)

    def page_context(self, request: HttpRequest, row: LedgerTransfer) -> dict[str, Any]:
        return {
            "title": f"Transfer {row.pk}",
            "amount": money(row.amount_micro, row.currency),
            "sides": [
                ("Debit", row.debit, account_holder(row.debit), link(row.debit)),
                ("Credit", row.credit, account_holder(row.credit), link(row.credit)),
            ],
            "belongings": [(related.label, link(related.row)) for related in ledger_explorer.related_rows(row)],
            "meta": sorted(row.meta.items()),
        }


class OpenFilter(admin.SimpleListFilter):
    """Filter of differences: still found by the latest check (open), or no longer (gone)."""

    title, parameter_name = "state", "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("open", "Open"), ("gone", "Gone")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if self.value() in ("open", "gone"):
            return queryset.filter(gone_at__isnull=self.value() == "open")
        return queryset


@admin.register(LedgerDifference)
class LedgerDifferenceAdmin(ReadOnlyAdmin):
    """Differences as the checks found them. An operator can edit the note, and nothing else."""

    list_display = ("check_name", "subject", "expected", "actual", "first_seen", "last_seen", "gone_at", "note")
    list_filter = (OpenFilter, "check_name")
    list_select_related = ("first_seen", "last_seen")
    search_fields = ("subject", "note")
    fields = (
        "check_name",
        "says",
        "subject",
        "expected",
        "actual",
        "first_seen",
        "last_seen",
        "gone_at",
        "note",
    )
    readonly_fields = fields[:-1]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).order_by(F("gone_at").desc(nulls_first=True), "-id")

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return admin.ModelAdmin.has_change_permission(self, request, obj)

    @admin.display(description="What is checked")
    def says(self, row: LedgerDifference) -> str:
        return CHECKS.get(row.check_name, ("",))[0]

    @admin.display(description="Expected", ordering="expected_micro")
    def expected(self, row: LedgerDifference) -> str:
        return f"{row.expected_micro:,}"

    @admin.display(description="Found", ordering="actual_micro")
    def actual(self, row: LedgerDifference) -> str:
        return f"{row.actual_micro:,}"

    def save_model(self, request: HttpRequest, obj: LedgerDifference, form: Any, change: bool) -> None:
        assert isinstance(request.user, User)
        try:
            check_runs.note(difference=obj, text=form.cleaned_data["note"], actor=request.user)
        except DomainError as error:
            messages.error(request, error.message)


@admin.register(LedgerCheck)
class LedgerCheckAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "checks", "differences", "took_ms")
    ordering = ("-id",)


def account_holder(account: LedgerAccount) -> str:
    """Return who an account belongs to: a customer's name, an owner's number, or Driveway."""
    if account.organization:
        return account.organization.name
    return f"Owner {account.owner_id}" if account.owner_id else "Driveway"


def money(amount_micro: int | None, currency: str) -> str:
    """Format an amount to the last micro-unit, since the ledger's pages must not round. Return "" for None."""
    if amount_micro is None:
        return ""
    return format_money(amount_micro, currency, places=6 if amount_micro % MICRO_PER_CENT else 2)


def link(row: Model) -> SafeString:
    """Return a link to the row's page in the back office, or the row's name if it has no page."""
    name = f"admin:{row._meta.app_label}_{row._meta.model_name}_change"
    try:
        return format_html('<a href="{}">{}</a>', reverse(name, args=[row.pk]), row)
    except NoReverseMatch:
        return format_html("{}", row)


def open_differences() -> dict[str, Any]:
    """Return, for the back office's front page, the number of open differences and the latest check."""
    return {
        "open": LedgerDifference.objects.filter(gone_at=None).count(),
        "latest": LedgerCheck.objects.order_by("-id").first(),
    }
