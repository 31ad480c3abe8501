"""The page on which a customer requests a refund of unspent money: what can go to which card, and past refunds."""

import uuid
from collections.abc import Sequence
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import NoReverseMatch, reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.access.guards import finance_required, signed_in
from accounts.models import Organization
from accounts.owners.forms import add_error
from billing.models import CardDispute, Refund, TopUp
from billing.refunds import refunds
from billing.refunds import sources as refund_sources
from core.errors import DomainError
from core.locale import format_money
from core.money import MICRO

ROWS_SHOWN = 50


class RefundForm(forms.Form):
    """The amount in the currency's major unit, and the reason.

    The page contains `key`: a form sent twice makes one refund.
    """

    amount = forms.DecimalField(decimal_places=2, max_digits=12, min_value=0)
    reason = forms.CharField(max_length=200, required=False)
    key = forms.UUIDField()


@never_cache
@require_http_methods(["GET", "POST"])
@finance_required
def refund_request(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Show what can be refunded; POST requests a refund.

    Refused while the organization is suspended: a bank may still claim the money.
    """
    form = RefundForm(request.POST or None)
    if request.method == "GET":
        return _page(request, organization, form)
    if form.is_valid() and organization.status == Organization.Status.SUSPENDED:
        form.add_error(None, _("Nothing can be paid back while your organization is suspended."))
    if form.is_valid():
        try:
            requested = refunds.request(
                organization=organization,
                amount_micro=int(form.cleaned_data["amount"] * MICRO),
                idempotency_key=f"page:{form.cleaned_data['key']}",
                reason=form.cleaned_data["reason"],
                actor=signed_in(request),
            )
        except DomainError as error:
            add_error(form, error)
        else:
            refunds.send(requested)
            messages.success(request, _("The refund is on its way. Banks take five to ten days to show it."))
            return redirect("refund_request")
    return _page(request, organization, form, status=400)


def refund_rows(organization: Organization) -> list[dict[str, Any]]:
    """Return the organization's refunds, newest first, for `billing/_refund_table.html`."""
    refund_rows = Refund.objects.filter(organization=organization).select_related("top_up").order_by("-id")[:ROWS_SHOWN]
    return [
        {
            "at": row.created_at,
            "paid_at": row.top_up.created_at,
            "status": row.status,
            "label": _("Back in the wallet") if row.status == Refund.Status.FAILED else row.get_status_display(),
            "code": row.status_code,
            "amount": format_money(row.amount_micro, row.currency),
            "receipt": _receipt(row),
        }
        for row in refund_rows
    ]


def open_disputes(organization: Organization) -> list[dict[str, Any]]:
    """Return the open chargebacks, newest first, for `billing/_card_disputes.html`."""
    disputes = CardDispute.objects.filter(organization=organization, status__in=CardDispute.OPEN)
    return [
        {
            "paid_at": row.top_up.created_at,
            "amount": format_money(row.amount_micro, row.currency),
            "is_taken": row.withdrawn_at is not None,
        }
        for row in disputes.select_related("top_up").order_by("-id")
    ]


def _page(request: HttpRequest, organization: Organization, form: RefundForm, *, status: int = 200) -> HttpResponse:
    lots = refunds.refundable(organization)
    currency = organization.currency
    context = {
        "form": form,
        "key": form.data.get("key") or uuid.uuid4(),
        "lots": _lots(lots),
        "total": format_money(sum(left for top_up, left in lots), currency),
        "currency": currency,
        "oldest_days": settings.REFUND_MAX_AGE_DAYS,
        "is_suspended": organization.status == Organization.Status.SUSPENDED,
        "disputes": open_disputes(organization),
        "refunds": refund_rows(organization),
    }
    return render(request, "billing/refund.html", context, status=status)


def _lots(lots: Sequence[tuple[TopUp, int]]) -> list[dict[str, Any]]:
    sources = refund_sources.card_names([top_up for top_up, left in lots])
    return [
        {
            "source": sources[top_up.pk],
            "paid_at": top_up.created_at,
            "paid": format_money(top_up.amount_micro, top_up.currency),
            "left": format_money(left, top_up.currency),
        }
        for top_up, left in lots
    ]


def _receipt(row: Refund) -> str:
    """Return the URL of the refund's receipt, or "" until the refund was sent."""
    if row.status not in (Refund.Status.PENDING, Refund.Status.SUCCEEDED):
        return ""
    try:
        return reverse("refund_receipt", args=[row.public_id])
    except NoReverseMatch:
        return ""
