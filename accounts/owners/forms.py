"""Forms for signing up, adding a vehicle and creating an API key."""

from typing import Any

from django import forms
from django.http import HttpRequest

from accounts.models import Scope, User
from accounts.owners import owners, registration


class SignupForm(forms.Form):
    """The questions that we add to allauth's sign-up form: role and name. It never asks for consent."""

    role = forms.ChoiceField(
        choices=[("owner", "I own vehicles and want to earn"), ("organization", "I want to run AI models")],
        widget=forms.RadioSelect,
        label="What is this account for?",
    )
    name = forms.CharField(max_length=120, label="Your name, or your organization's")

    def signup(self, request: HttpRequest, user: User) -> None:
        """Register the new user as an owner or as the admin of a new organization. allauth calls this."""
        name = self.cleaned_data["name"]
        user.name = name
        user.save(update_fields=["name"])
        if self.cleaned_data["role"] == "owner":
            locale_name, time_zone = owners.guess_locale(request.headers.get("Accept-Language", ""))
            registration.register_owner(user=user, name=name, locale_name=locale_name, time_zone=time_zone)
        else:
            registration.register_organization(user=user, name=name)


class VehicleForm(forms.Form):
    label = forms.CharField(max_length=60)
    make_model = forms.CharField(max_length=80, required=False)
    vin = forms.CharField(min_length=17, max_length=17)


class ApiKeyForm(forms.Form):
    name = forms.CharField(max_length=60)
    scopes = forms.MultipleChoiceField(choices=Scope.choices, widget=forms.CheckboxSelectMultiple)
    expires_in_days = forms.IntegerField(min_value=1, max_value=3650, required=False)

    def clean_scopes(self) -> list[str]:
        return list(self.cleaned_data["scopes"])


def add_error(form: forms.Form, error: Any) -> None:
    """Show the message of a DomainError at the top of the form."""
    form.add_error(None, error.message)
