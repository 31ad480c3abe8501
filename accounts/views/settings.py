"""The page with an owner's settings: name, country, format of dates and numbers, and optional mails."""

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods

from accounts.access.guards import owner_required, signed_in
from accounts.mails.kinds import KINDS, SETTABLE
from accounts.models import Owner
from accounts.owners import owners
from accounts.owners.forms import add_error
from core import locale
from core.errors import DomainError


def locale_choices() -> list[tuple[str, str]]:
    """Return pairs (locale, its name in its own language)."""
    shown = {name: locale.parse(name).get_display_name() or name for name in locale.LOCALES}
    return [(name, title[:1].upper() + title[1:]) for name, title in shown.items()]


class SettingsForm(forms.Form):
    name = forms.CharField(max_length=120, label="Your name", widget=forms.TextInput(attrs={"autocomplete": "name"}))
    country = forms.ChoiceField(
        choices=locale.countries,
        label="Country",
        help_text="Where you live. It is written into your consent records.",
    )
    locale = forms.ChoiceField(
        choices=locale_choices,
        label="Dates and figures",
        help_text="How dates, energy and money are written. The text stays English.",
    )
    time_zone = forms.ChoiceField(
        choices=lambda: [(name, name.replace("_", " ")) for name in locale.time_zones()],
        label="Time zone",
        help_text="For times on these pages and in mails, and for schedules of cars without their own time zone.",
    )
    mails = forms.MultipleChoiceField(
        required=False,
        label="Mails that you want",
        widget=forms.CheckboxSelectMultiple,
        choices=[(name, kind.title) for name, kind in SETTABLE.items()],
    )


@never_cache
@require_http_methods(["GET", "POST"])
@owner_required
def owner_settings(request: HttpRequest, owner: Owner) -> HttpResponse:
    form = SettingsForm(request.POST if request.method == "POST" else None, initial=_initial(owner))
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        try:
            owners.update_settings(
                owner=owner,
                actor=signed_in(request),
                name=values["name"],
                country=values["country"],
                time_zone=values["time_zone"],
                locale_name=values["locale"],
                mails_off=[kind for kind in SETTABLE if kind not in values["mails"]],
            )
        except DomainError as error:
            add_error(form, error)
        else:
            messages.success(request, "Saved.")
            return redirect("owner_settings")
    always = [kind.title for kind in KINDS.values() if not kind.optional]
    status = 400 if request.method == "POST" else 200
    context = {
        "form": form,
        "always": always,
        "now": timezone.now(),
        "currency": owner.currency,
        "sample_micro": 1_234_567_890,
        "sample_mwh": 12_345_600,
    }
    return render(request, "accounts/owner_settings.html", context, status=status)


def _initial(owner: Owner) -> dict[str, object]:
    return {
        "name": owner.name,
        "country": owner.country,
        "locale": owner.locale,
        "time_zone": owner.time_zone,
        "mails": [kind for kind in SETTABLE if kind not in owner.mails_off],
    }
