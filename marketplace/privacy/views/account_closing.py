"""Pages on which an owner closes the account, opens it again, asks for an erasure and takes it back."""

from typing import Any

from allauth.account.decorators import reauthentication_required
from django import forms
from django.conf import settings
from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access.guards import owner_required, signed_in
from accounts.models import Owner
from accounts.owners import closing, erasures
from billing.models import LedgerAccount
from billing.payouts import final_payouts
from core.errors import DomainError, NotFound
from core.locale import format_money
from core.privacy import Erasure
from marketplace.privacy import inventory

WORD = "ERASE"
page = require_http_methods(["GET", "POST"])


class ErasureForm(forms.Form):
    """The confirmation of an erasure: a word to type and, if money is still owed (`owed`), a box that gives it up."""

    word = forms.CharField(label=f"Type {WORD} to confirm", max_length=20)
    gives_up = forms.BooleanField(label="I give up what I am still owed", required=False)

    def __init__(self, *args: Any, owed: str, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["word"].widget.attrs |= {"autocomplete": "off", "autocapitalize": "characters"}
        if owed:
            self.fields["gives_up"].label = (
                f"I know that {owed} is owed to me. What cannot be paid within {settings.ERASURE_MONEY_WAIT_DAYS} days "
                "after the day of the erasure will not be paid at all"
            )
            self.fields["gives_up"].required = True
        else:
            del self.fields["gives_up"]

    def clean_word(self) -> str:
        word = str(self.cleaned_data["word"]).strip().upper()
        if word != WORD:
            raise forms.ValidationError(f"Type the word {WORD}.", code="wrong_word")
        return word


@never_cache
@page
@owner_required
@reauthentication_required(allow_get=True)  # type: ignore[untyped-decorator] # allauth has no annotations
def erasure_request(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Show what is destroyed and what is kept, and schedule the erasure.

    Asks for the password and the word ERASE. The owner can take the erasure back for ERASURE_COOLING_OFF_DAYS.
    """
    owed = owed_to(owner)
    form = ErasureForm(request.POST if request.method == "POST" else None, owed=owed)
    if request.method == "POST" and form.is_valid():
        try:
            erasures.request(owner=owner, actor=signed_in(request))
        except DomainError as error:
            form.add_error(None, error.message)
        else:
            messages.success(
                request, "Every consent is withdrawn. You can take the erasure back until the day shown below."
            )
            return redirect("privacy")
    kept = {table.title: table.why for table in inventory.TABLES if table.erasure is Erasure.KEEP}
    context = {
        "form": form,
        "owed": owed,
        "days": settings.ERASURE_COOLING_OFF_DAYS,
        "wait_days": settings.ERASURE_MONEY_WAIT_DAYS,
        "kept": kept.items(),
        "destroyed": destroyed_data(),
        "erasure": erasures.scheduled(owner),
        **_last_payout(owner),
    }
    return render(request, "privacy/erasure.html", context, status=400 if form.errors else 200)


def destroyed_data() -> list[str]:
    """Return what an erasure destroys, in the words of the inventory: whole tables, then single columns."""
    tables = [table.title for table in inventory.TABLES if table.erasure is Erasure.DELETE]
    columns = [
        f"{table.title}: {table.columns[name].what[0].lower()}{table.columns[name].what[1:]}"
        for table in inventory.TABLES
        for name in (table.blanks if table.erasure is Erasure.BLANK else ())
    ]
    return tables + columns


def owed_to(owner: Owner) -> str:
    """Return what the owner is still owed, as text: a sum per currency and work not priced yet; "" if nothing."""
    accounts = LedgerAccount.objects.filter(owner=owner, balance_micro__gt=0)
    balances = ", ".join(format_money(account.balance_micro, account.currency) for account in accounts)
    unchecked = "the pay for work that is still being checked" if final_payouts.has_unpaid_work(owner) else ""
    return " and ".join(filter(None, [balances, unchecked]))


@never_cache
@page
def erasure_cancel(request: HttpRequest, token: str) -> HttpResponse:
    """Take an erasure back, without signing in: the token of the mailed link is enough. GET only shows the button."""
    try:
        erasure = erasures.erasure_of_token(token)
    except NotFound as error:
        raise Http404 from error
    if request.method == "POST":
        try:
            erasures.cancel(request=erasure, actor=None)
        except DomainError as error:
            messages.error(request, error.message)
        else:
            messages.success(
                request, "The erasure is cancelled. Your consents stay withdrawn until you give them again."
            )
            return redirect("privacy" if request.user.is_authenticated else "account_login")
    return render(request, "privacy/erasure_cancel.html", {"erasure": erasure, "token": token})


@never_cache
@page
@owner_required
def account_close(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Show what closing the account does, and close it on POST."""
    if request.method == "POST":
        try:
            ended = closing.close(owner=owner, actor=signed_in(request))
        except DomainError as error:
            messages.error(request, error.message)
        else:
            messages.success(
                request, f"Your account is closed: {ended} consents withdrawn. What you earned is still paid."
            )
        return redirect("privacy")
    return render(request, "privacy/close.html", {"owner": owner, "owed": owed_to(owner), **_last_payout(owner)})


def _last_payout(owner: Owner) -> dict[str, bool]:
    """Return whether the owner can be paid before leaving, and whether a payout is still on its way."""
    return {"can_be_paid": final_payouts.is_possible(owner), "payout_under_way": final_payouts.is_under_way(owner)}


@require_POST
@owner_required
def account_reopen(request: HttpRequest, owner: Owner) -> HttpResponse:
    """Open a closed account again. Its consents stay withdrawn."""
    try:
        closing.reopen(owner=owner, actor=signed_in(request))
    except DomainError as error:
        messages.error(request, error.message)
    else:
        messages.success(
            request, "Your account is open again. Your consents are still withdrawn: decide each one anew."
        )
    return redirect("privacy")
