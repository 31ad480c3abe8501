"""The page of a customer's monthly spend cap. Every member may read it; admins and finance may change it."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.access.guards import may_move_money, organization_required, signed_in
from accounts.models import Organization
from accounts.owners.forms import add_error
from billing.models import SpendCap
from billing.usage import spend_caps
from billing.views.usage import present_month
from core.errors import DomainError
from core.money import MICRO


class CapForm(forms.Form):
    """The cap in the currency's major unit."""

    monthly = forms.DecimalField(
        decimal_places=2, max_digits=12, min_value=0, error_messages={"min_value": "A cap is zero or more."}
    )


@never_cache
@require_http_methods(["GET", "POST"])
@organization_required
def spend_cap(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Show the cap. POST sets it, or removes it with `action=remove`."""
    if request.method == "GET":
        return _page(request, organization, CapForm())
    if not may_move_money(signed_in(request)):
        raise PermissionDenied("Only an admin or a finance member of your organization may do this.")
    removes, form = request.POST.get("action") == "remove", CapForm(request.POST)
    if removes or form.is_valid():
        micro = None if removes else int(form.cleaned_data["monthly"] * MICRO)
        try:
            spend_caps.set_cap(organization=organization, monthly_micro=micro, actor=signed_in(request))
        except DomainError as error:
            add_error(form, error)
        else:
            messages.success(request, _("The cap is removed.") if removes else _("The cap is set."))
            return redirect("spend_cap")
    return _page(request, organization, form, status=400)


def _page(request: HttpRequest, organization: Organization, form: CapForm, *, status: int = 200) -> HttpResponse:
    row = SpendCap.objects.filter(organization=organization).select_related("changed_by").first()
    context: dict[str, Any] = {
        "may_change": may_move_money(signed_in(request)),
        "month": present_month(organization),
        "currency": organization.currency,
        "form": form,
        "value": form["monthly"].value() if form.is_bound else _major(row),
        "changed_at": row.changed_at if row else None,
    }
    return render(request, "billing/spend_cap.html", context, status=status)


def _major(row: SpendCap | None) -> str:
    return str((Decimal(row.monthly_micro) / MICRO).quantize(Decimal("0.01"))) if row else ""
