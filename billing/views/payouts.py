"""Pages of an owner's payouts: the account at Stripe to which they go, and the payouts themselves."""

import uuid
from typing import Any

from csp.constants import SELF
from csp.decorators import csp_update
from django import forms
from django.conf import settings
from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from accounts.access.guards import owner_required, signed_in
from accounts.models import Owner
from accounts.owners.forms import add_error
from billing.models import ConnectedAccount, Payout
from billing.payouts import account_states, final_payouts
from billing.payouts import accounts as connected_accounts
from billing.payouts import words as payout_words
from core import locale
from core.errors import DomainError

PAGE = 25
# Browsers apply `form-action` to the redirect after a form as well, and ours leads to Stripe.
allow_stripe_redirect = csp_update({"form-action": [SELF, settings.STRIPE_CONNECT_ORIGIN]})


class CountryForm(forms.Form):
    """The country, the only thing that we ask an owner ourselves.

    The page contains `key`: a form sent twice makes one account.
    """

    country = forms.ChoiceField(label="Country of your bank account", choices=lambda: countries())
    key = forms.UUIDField(widget=forms.HiddenInput)


def countries() -> list[tuple[str, str]]:
    """Return (code, name) of the countries that we can pay to, ordered by name."""
    names = dict(locale.countries())
    return sorted(((code, names.get(code, code)) for code in settings.PAYOUT_COUNTRIES), key=lambda pair: pair[1])


@never_cache
@require_GET
@allow_stripe_redirect
@owner_required
def payout_account(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Show the state of the account at Stripe, what Stripe still requires, and the link to Stripe's page."""
    return _account_page(request, owner)


@never_cache
@require_POST
@allow_stripe_redirect
@owner_required
def payout_account_start(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Create the account if there is none, and redirect to Stripe's page."""
    account = connected_accounts.account_of(owner)
    if account is None or account.status == ConnectedAccount.Status.FAILED:
        form = CountryForm(request.POST)
        if not form.is_valid():
            return _account_page(request, owner, form)
        try:
            account = connected_accounts.start(
                owner=owner, country=form.cleaned_data["country"], idempotency_key=f"page:{form.cleaned_data['key']}"
            )
        except DomainError as error:
            add_error(form, error)
            return _account_page(request, owner, form)
    connected_accounts.send_now(account)
    account.refresh_from_db()
    return _to_onboarding(request, account)


@never_cache
@require_GET
@owner_required
def payout_account_return(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Ask Stripe for the account's state when the owner returns from its page, which may not be complete yet."""
    account = connected_accounts.account_of(owner)
    try:
        if account:
            connected_accounts.refresh(account=account)
    except DomainError:
        messages.warning(request, "Stripe did not answer just now. This page shows the new state as soon as it does.")
    return redirect("payout_account")


@never_cache
@require_GET
@owner_required
def payout_account_refresh(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Redirect to a new link to Stripe's page: Stripe leads here when a link was used already or is too old."""
    account = connected_accounts.account_of(owner)
    return _to_onboarding(request, account) if account else redirect("payout_account")


@never_cache
@require_POST
@allow_stripe_redirect
@owner_required
def payout_dashboard(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Redirect to the owner's own pages at Stripe: bank account, payments to the bank, tax forms."""
    account = connected_accounts.account_of(owner)
    if account is None:
        return redirect("payout_account")
    try:
        return redirect(connected_accounts.dashboard_url(account=account))
    except DomainError as error:
        return _explain(request, error)


@never_cache
@require_GET
@owner_required
def payout_list(request: HttpRequest, owner: Owner) -> HttpResponse:
    """List the owner's payouts, newest first."""
    paginator = Paginator(Payout.objects.filter(owner=owner).select_related("statement").order_by("-id"), PAGE)
    page = paginator.get_page(request.GET.get("page"))
    account = connected_accounts.account_of(owner)
    context = {
        "page": page,
        "payouts": [_row(payout) for payout in page],
        "has_account": account is not None,
        "is_ready": account is not None and account.status == account.Status.ACTIVE,
        **_terms(owner),
    }
    return render(request, "billing/payout_list.html", context)


@require_POST
@owner_required
def payout_final(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Close the last statement of an owner who leaves, and pay it."""
    try:
        final_payouts.start(owner=owner, actor=signed_in(request))
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(request, "Your last statement is closed, and what it owes you is on its way.")
    return redirect("payout_list")


def _to_onboarding(request: HttpRequest, account: ConnectedAccount) -> HttpResponse:
    urls = {name: request.build_absolute_uri(reverse(f"payout_account_{name}")) for name in ("return", "refresh")}
    try:
        return redirect(
            connected_accounts.onboarding_url(account=account, return_url=urls["return"], refresh_url=urls["refresh"])
        )
    except DomainError as error:
        return _explain(request, error)


def _explain(request: HttpRequest, error: DomainError) -> HttpResponse:
    """Redirect to the account's page, with a message about the error.

    A pending account needs none: the page shows it.
    """
    if error.code != "account_pending":
        messages.error(request, f"Stripe’s page cannot be opened just now. Please try again soon. ({error.code})")
    return redirect("payout_account")


def _account_page(request: HttpRequest, owner: Owner, form: CountryForm | None = None) -> HttpResponse:
    account = connected_accounts.account_of(owner)
    country = owner.country if owner.country in settings.PAYOUT_COUNTRIES else settings.PAYOUT_COUNTRIES[0]
    context = {
        "account": account,
        "country": dict(locale.countries()).get(account.country, account.country) if account else "",
        "requirements": payout_words.requirements(account) if account else [],
        "restriction": payout_words.restriction(account) if account else "",
        "asks": bool(account and account_states.needs_owners_answer(account)),
        "by_stripe": bool(settings.STRIPE_SECRET_KEY),
        "form": form or CountryForm(initial={"country": country, "key": uuid.uuid4()}),
        "email": owner.user.email,
        "name": owner.name,
        **_terms(owner),
    }
    return render(request, "billing/payout_account.html", context, status=400 if form and form.errors else 200)


def _terms(owner: Owner) -> dict[str, Any]:
    return {
        "minimum_micro": settings.PAYOUT_MIN_MICRO,
        "hold_days": settings.PAYOUT_HOLD_DAYS,
        "currency": owner.currency,
    }


def _row(payout: Payout) -> dict[str, Any]:
    return {
        "statement": payout.statement,
        "amount_micro": payout.amount_micro,
        "currency": payout.currency,
        "state": payout_words.state(payout),
        "label": payout.get_status_display(),
        "why": payout_words.why(payout),
        "bank": payout_words.BANK.get(payout.bank_status, "") if payout.status == Payout.Status.PAID else "",
        "due_at": payout.due_at,
        "paid_at": payout.paid_at,
    }
