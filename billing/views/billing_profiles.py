"""The page of a customer's billing profile: name and address on invoices, and the threshold of low-balance mails."""

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
from accounts.organizations.selectors import money_people
from accounts.owners.forms import add_error
from billing.invoices import profiles as billing_profiles
from billing.invoices.profiles import MAX_LENGTHS
from billing.models import BillingProfile
from core.errors import DomainError
from core.money import MICRO


class ProfileForm(forms.Form):
    """The billing profile. `low_balance` is in the currency's major unit; empty for no mails."""

    legal_name = forms.CharField(max_length=MAX_LENGTHS["legal_name"], required=False)
    address = forms.CharField(max_length=MAX_LENGTHS["address"], required=False)
    tax_id = forms.CharField(max_length=MAX_LENGTHS["tax_id"], required=False)
    low_balance = forms.DecimalField(
        decimal_places=2,
        max_digits=12,
        min_value=0,
        required=False,
        error_messages={"min_value": "A threshold is zero or more."},
    )


@never_cache
@require_http_methods(["GET", "POST"])
@organization_required
def billing_profile(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Show the profile to every member; POST changes it, for admins and finance only."""
    if request.method == "GET":
        return _page(request, organization, ProfileForm(initial=_initial(billing_profiles.profile_of(organization))))
    if not may_move_money(signed_in(request)):
        raise PermissionDenied("Only an admin or a finance member of your organization may do this.")
    form = ProfileForm(request.POST)
    if form.is_valid():
        wanted = dict(form.cleaned_data)
        low = wanted.pop("low_balance")
        try:
            billing_profiles.change(
                organization=organization,
                low_balance_micro=None if low is None else int(low * MICRO),
                actor=signed_in(request),
                **wanted,
            )
        except DomainError as error:
            add_error(form, error)
        else:
            messages.success(request, _("Saved. Invoices and receipts name it from now on."))
            return redirect("billing_profile")
    return _page(request, organization, form, status=400)


def _initial(row: BillingProfile) -> dict[str, str]:
    low = row.low_balance_micro
    return {
        "legal_name": row.legal_name,
        "address": row.address,
        "tax_id": row.tax_id,
        "low_balance": "" if low is None else str((Decimal(low) / MICRO).quantize(Decimal("0.01"))),
    }


def _page(request: HttpRequest, organization: Organization, form: ProfileForm, *, status: int = 200) -> HttpResponse:
    context: dict[str, Any] = {
        "may_change": may_move_money(signed_in(request)),
        "name": organization.name,
        "currency": organization.currency,
        "form": form,
        "values": {name: form[name].value() or "" for name in form.fields},
        "longest": MAX_LENGTHS,
        "people": money_people(organization),
    }
    return render(request, "billing/billing_profile.html", context, status=status)
