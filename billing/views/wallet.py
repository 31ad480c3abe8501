"""Pages of a customer's wallet: its balance, its movements, and top-ups by card on a page of Stripe's."""

import re
import uuid
from decimal import Decimal
from typing import Any
from uuid import UUID

from csp.constants import SELF
from csp.decorators import csp_update
from django import forms
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.access.guards import finance_required, may_move_money, organization_required, signed_in
from accounts.models import Organization
from accounts.owners.forms import add_error
from billing.models import CardTopUp
from billing.topups import recharges, top_ups
from billing.topups.words import reason
from billing.views import refunds
from billing.wallet import history as wallet_history
from billing.wallet import wallets, words
from core.errors import DomainError
from core.locale import format_money
from core.money import MICRO

ROWS_SHOWN = 50
AMOUNT = re.compile(r"\d{1,8}(\.\d{1,2})?")  # in a link, so it is checked before it fills the form
CHOICES = (25, 50, 100, 250)
# Browsers apply `form-action` to the redirect after a form as well, and ours leads to Stripe.
allow_checkout_redirect = csp_update({"form-action": [SELF, settings.STRIPE_CHECKOUT_ORIGIN]})


class TopUpForm(forms.Form):
    """One of CHOICES or another amount, in the currency's major unit.

    The page contains `key`: a form sent twice is one top-up.
    """

    choice = forms.ChoiceField(choices=[(str(n), n) for n in CHOICES] + [("other", "other")], required=False)
    amount = forms.DecimalField(decimal_places=2, max_digits=12, required=False)
    keep = forms.BooleanField(required=False)
    key = forms.UUIDField()

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        chosen = data.get("choice")
        if chosen and chosen != "other":
            data["amount"] = Decimal(chosen)
        elif data.get("amount") is None and "amount" not in self.errors:
            self.add_error("amount", "Say how much.")
        return data


@never_cache
@require_GET
@allow_checkout_redirect
@organization_required
def wallet(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Show the wallet. `?amount=50.00`, as in links from mails, fills in the form."""
    amount = request.GET.get("amount", "")
    form = TopUpForm({"choice": "other", "amount": amount}) if AMOUNT.fullmatch(amount) else TopUpForm()
    return _page(request, organization, form, is_asked=form.is_bound)


@never_cache
@require_POST
@allow_checkout_redirect
@finance_required
def top_up_start(request: HttpRequest, organization: Organization) -> HttpResponse:
    """Start a top-up and redirect to Stripe's page or, while Stripe does not answer, to our page that waits for it."""
    form = TopUpForm(request.POST)
    if form.is_valid():
        try:
            top_up = top_ups.start(
                organization=organization,
                amount_micro=int(form.cleaned_data["amount"] * MICRO),
                idempotency_key=f"page:{form.cleaned_data['key']}",
                site_url=request.build_absolute_uri("/").rstrip("/"),
                actor=signed_in(request),
                saves_card=form.cleaned_data["keep"],
            )
        except DomainError as error:
            add_error(form, error)
        else:
            top_ups.open_page(top_up)
            top_up.refresh_from_db()
            return redirect(top_up.page_url) if top_up.page_url else redirect("top_up_pay", top_up.public_id)
    return _page(request, organization, form, status=400)


@never_cache
@require_GET
@organization_required
def top_up_pay(request: HttpRequest, organization: Organization, public_id: UUID) -> HttpResponse:
    """Show a top-up's state, with the link to pay it while it can be paid."""
    return _top_up(request, organization, public_id)


@never_cache
@require_GET
@organization_required
def top_up_done(request: HttpRequest, organization: Organization, public_id: UUID) -> HttpResponse:
    """Show a top-up after Stripe's page. Asks Stripe for the outcome, since its webhook may come later."""
    top_up = get_object_or_404(CardTopUp, organization=organization, public_id=public_id)
    problem = ""
    try:
        top_ups.refresh(top_up)
    except DomainError as error:
        problem = error.code
    return _top_up(request, organization, public_id, came_from="done", problem=problem)


@never_cache
@require_GET
@organization_required
def top_up_left(request: HttpRequest, organization: Organization, public_id: UUID) -> HttpResponse:
    """Show a top-up after a person left Stripe's page without paying."""
    return _top_up(request, organization, public_id, came_from="left")


def _page(
    request: HttpRequest, organization: Organization, form: TopUpForm, *, is_asked: bool = False, status: int = 200
) -> HttpResponse:
    currency = organization.currency
    summary = wallets.summary(organization)
    may_pay = may_move_money(signed_in(request))
    context = {
        "wallet": {
            "balance": format_money(summary.balance_micro, currency),
            "held": format_money(summary.held_micro, currency),
            "available": format_money(summary.available_micro, currency),
            "promo": format_money(summary.promo_micro, currency) if summary.promo_micro else "",
            "owed": format_money(summary.owed_micro, currency) if summary.owed_micro else "",
        },
        "form": TopUpForm() if is_asked else form,
        "key": form.data.get("key") or uuid.uuid4(),
        "chosen": form.data.get("choice", "50"),
        "amount": form.data.get("amount", ""),
        "keeps": bool(form.data.get("keep")),
        "choices": [{"value": str(n), "label": format_money(n * MICRO, currency, places=0)} for n in CHOICES],
        "smallest": format_money(settings.TOP_UP_MIN_MICRO, currency, places=0),
        "largest": format_money(settings.TOP_UP_MAX_MICRO, currency, places=0),
        "currency": currency,
        "by_card": bool(settings.STRIPE_SECRET_KEY),
        "may_pay": may_pay,
        "recharge": _recharge(organization),
        "top_ups": [_row(row, currency, may_pay) for row in wallet_history.top_ups(organization, limit=ROWS_SHOWN)],
        "refunds": refunds.refund_rows(organization),
        "disputes": refunds.open_disputes(organization),
        "moves": [_move(row, currency) for row in wallet_history.movements(organization, limit=ROWS_SHOWN)],
    }
    return render(request, "billing/wallet.html", context, status=status)


def _recharge(organization: Organization) -> dict[str, Any]:
    """Return a summary of the automatic recharge."""
    row = recharges.recharge_of(organization)
    if row is None or not row.is_on:
        return {"is_on": False}
    return {
        "is_on": True,
        "is_paused": bool(row.paused_code),
        "amount": format_money(row.amount_micro, organization.currency),
        "threshold": format_money(row.threshold_micro, organization.currency),
        "left": format_money(recharges.month(row).left_micro, organization.currency),
    }


def _top_up(
    request: HttpRequest, organization: Organization, public_id: UUID, *, came_from: str = "", problem: str = ""
) -> HttpResponse:
    row = get_object_or_404(CardTopUp, organization=organization, public_id=public_id)
    labels = dict(CardTopUp.Status.choices)
    context = {
        "top_up": row,
        "amount": format_money(row.amount_micro, row.currency),
        "available": format_money(wallets.summary(organization).available_micro, organization.currency),
        "may_pay": may_move_money(signed_in(request)),
        "reason": reason(row.status_code),
        "came_from": came_from,
        "problem": problem,
        "waits": row.status in ("created", "processing") or (came_from == "done" and row.status == "open"),
        "events": [{"at": event.at, "label": labels[event.to_status]} for event in row.events.all()],
    }
    template = "billing/_top_up_state.html" if "fragment" in request.GET else "billing/top_up.html"
    return render(request, template, context)


def _row(row: wallet_history.TopUpRow, currency: str, may_pay: bool) -> dict[str, Any]:
    return {
        "public_id": row.public_id,
        "by": row.by,
        "status": row.status,
        "status_label": row.status_label,
        "amount": format_money(row.amount_micro, currency),
        "note": row.note,
        "at": row.at,
        "page_url": row.page_url if may_pay else "",
    }


def _move(row: wallet_history.Movement, currency: str) -> dict[str, Any]:
    label_in, label_out = words.MOVEMENT_LABELS.get(row.kind, (row.kind, row.kind))
    return {
        "label": label_in if row.amount_micro > 0 else label_out,
        "is_promo": row.is_promo and row.kind != "promo",
        "amount": ("+" if row.amount_micro > 0 else "") + format_money(row.amount_micro, currency),
        "after": format_money(row.after_micro, currency),
        "at": row.at,
        "reference": row.reference,
    }
