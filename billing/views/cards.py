"""Pages of a customer's saved cards and of the automatic recharge that charges one of them."""

import uuid
from decimal import Decimal
from typing import Any
from uuid import UUID

from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from accounts.access.guards import finance_required, may_move_money, organization_required, signed_in
from accounts.models import Organization
from billing.models import AutoRecharge, SavedCard
from billing.topups import recharge_settings, recharges, saved_cards
from billing.topups import words as card_words
from billing.topups.words import reason
from billing.views.wallet import allow_checkout_redirect
from core.errors import DomainError
from core.locale import format_money
from core.money import MICRO

DEFAULT_SETTINGS = {"threshold": Decimal(20), "amount": Decimal(50), "monthly_cap": Decimal(200)}
# First word of a service's error code -> the form's field that shows the error.
FIELDS = {"amount": "amount", "threshold": "threshold", "cap": "monthly_cap", "card": "card"}


class RechargeForm(forms.Form):
    """The settings of the automatic recharge. Amounts are in the currency's major unit."""

    is_on = forms.BooleanField(required=False)
    threshold = forms.DecimalField(decimal_places=2, max_digits=12)
    amount = forms.DecimalField(decimal_places=2, max_digits=12)
    monthly_cap = forms.DecimalField(decimal_places=2, max_digits=12)
    card = forms.UUIDField(error_messages={"required": "Choose a card.", "invalid": "Choose a card."})

    def micro(self, name: str) -> int:
        """Return a field's amount in micro-units."""
        return int(self.cleaned_data[name] * MICRO)


@never_cache
@require_http_methods(["GET", "POST"])
@allow_checkout_redirect
@organization_required
def auto_recharge(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Show the cards and the recharge to every member; POST changes the recharge, for admins and finance only."""
    if request.method == "GET":
        return _page(request, organization, RechargeForm(initial=_initial(organization)))
    if not may_move_money(signed_in(request)):
        raise PermissionDenied("Only an admin or a finance member of your organization may do this.")
    form = RechargeForm(request.POST)
    if form.is_valid():
        try:
            row = recharge_settings.change(
                organization=organization,
                is_on=form.cleaned_data["is_on"],
                threshold_micro=form.micro("threshold"),
                amount_micro=form.micro("amount"),
                monthly_cap_micro=form.micro("monthly_cap"),
                card_id=form.cleaned_data["card"],
                actor=signed_in(request),
                resume=True,
            )
        except DomainError as error:
            form.add_error(FIELDS.get(error.code.split("_")[0]), error.message)
        else:
            message = _("The automatic recharge is on.") if row.is_on else _("The automatic recharge is off.")
            messages.success(request, message)
            return redirect("auto_recharge")
    return _page(request, organization, form, status=400)


@never_cache
@require_POST
@finance_required
def saved_card_add(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Redirect to Stripe's page that saves a card or, while Stripe does not answer, to our page that waits for it."""
    try:
        key = UUID(request.POST.get("key", ""))
        card = saved_cards.start(
            organization=organization,
            idempotency_key=f"page:{key}",
            site_url=request.build_absolute_uri("/").rstrip("/"),
            actor=signed_in(request),
        )
    except ValueError:
        messages.error(request, _("This form was not complete. Please try again."))
        return redirect("auto_recharge")
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("auto_recharge")
    saved_cards.open_page(card)
    card.refresh_from_db()
    if card.status == SavedCard.Status.PENDING and card.checkout_url:
        return redirect(card.checkout_url)
    return redirect("saved_card_done", card.public_id)


@never_cache
@require_GET
@finance_required
def saved_card_done(request: HttpRequest, organization: Organization, public_id: UUID) -> HttpResponse:
    """Show a card after Stripe's page. Asks Stripe for the outcome, since its webhook may come later."""
    card = get_object_or_404(SavedCard, organization=organization, public_id=public_id)
    problem = ""
    try:
        card = saved_cards.refresh(card)
    except DomainError as error:
        problem = error.code
    context = {"card": card, "title": card_words.title(card), "problem": problem, "waits": card.status == "pending"}
    template = "billing/_saved_card_state.html" if "fragment" in request.GET else "billing/saved_card.html"
    return render(request, template, context)


@require_POST
@finance_required
def saved_card_default(request: HttpRequest, organization: Organization, public_id: UUID) -> HttpResponse:
    """Make a card the default."""
    card = get_object_or_404(SavedCard, organization=organization, public_id=public_id)
    try:
        saved_cards.make_default(card=card, actor=signed_in(request))
    except DomainError as error:
        messages.error(request, error.message)
    return redirect("auto_recharge")


@require_POST
@finance_required
def saved_card_remove(request: HttpRequest, organization: Organization, public_id: UUID) -> HttpResponse:
    """Remove a card."""
    card = get_object_or_404(SavedCard, organization=organization, public_id=public_id)
    try:
        saved_cards.remove(card=card, actor=signed_in(request))
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, _("The card is removed."))
    return redirect("auto_recharge")


def _initial(organization: Organization) -> dict[str, Any]:
    row = recharges.recharge_of(organization)
    if row is None:
        return {"is_on": True, **DEFAULT_SETTINGS}
    return {
        "is_on": row.is_on,
        "threshold": _major(row.threshold_micro),
        "amount": _major(row.amount_micro),
        "monthly_cap": _major(row.monthly_cap_micro),
        "card": row.card.public_id,
    }


def _major(micro: int) -> Decimal:
    return (Decimal(micro) / MICRO).quantize(Decimal("0.01"))


def _page(request: HttpRequest, organization: Organization, form: RechargeForm, *, status: int = 200) -> HttpResponse:
    recharge, cards, currency = (
        recharges.recharge_of(organization),
        saved_cards.cards_of(organization),
        organization.currency,
    )
    used_id = recharge.card_id if recharge and recharge.is_on else None
    context = {
        "may_change": may_move_money(signed_in(request)),
        "by_card": bool(settings.STRIPE_SECRET_KEY),
        "key": uuid.uuid4(),
        "cards": [_card(card, is_used=card.pk == used_id) for card in cards],
        "form": form,
        "values": {name: form[name].value() for name in ("threshold", "amount", "monthly_cap")},
        "chosen": str(form["card"].value() or next((card.public_id for card in cards), "")),
        "wants": bool(form["is_on"].value()),
        "currency": currency,
        "smallest": format_money(settings.TOP_UP_MIN_MICRO, currency, places=0),
        "largest": format_money(settings.TOP_UP_MAX_MICRO, currency, places=0),
        "recharge": _recharge(recharge, currency) if recharge else None,
    }
    return render(request, "billing/cards.html", context, status=status)


def _card(card: SavedCard, *, is_used: bool) -> dict[str, Any]:
    return {
        "public_id": card.public_id,
        "title": card_words.title(card),
        "expiry": card_words.expiry(card),
        "is_default": card.is_default,
        "is_used": is_used,
        "has_expired": card_words.has_expired(card),
        "expires_soon": card_words.expires_soon(card),
    }


def _recharge(recharge: AutoRecharge, currency: str) -> dict[str, Any]:
    """Return the recharge's state and its month: the charges, their sum, and what is left of the cap."""
    month = recharges.month(recharge)
    rows = recharges.charges(recharge, since=month.since_at)
    return {
        "is_on": recharge.is_on,
        "code": recharge.paused_code,
        "reason": reason(recharge.paused_code),
        "paused_at": recharge.paused_at,
        "asks": recharge.paused_code == "authentication_required",
        "amount_plain": _major(recharge.amount_micro),
        "amount": format_money(recharge.amount_micro, currency),
        "threshold": format_money(recharge.threshold_micro, currency),
        "card": card_words.title(recharge.card),
        "month": month.since_at,
        "charged": format_money(month.charged_micro, currency),
        "left": format_money(month.left_micro, currency),
        "cap": format_money(recharge.monthly_cap_micro, currency),
        "is_used_up": month.left_micro < recharge.amount_micro,
        "charges": [
            {
                "public_id": row.public_id,
                "at": row.created_at,
                "amount": format_money(row.amount_micro, row.currency),
                "status": row.status,
                "label": row.get_status_display(),
                "code": row.status_code,
                "card": card_words.title(row.saved_card) if row.saved_card else "",
            }
            for row in rows
        ],
    }
