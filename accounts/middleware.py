"""Middleware that sets the signed-in owner's locale and time zone for a request."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from accounts.models import Owner, User
from core import locale


class OwnerLocale:
    """Use the locale and time zone of the signed-in owner; requests of everybody else use the defaults.

    A streamed response is generated after this middleware has returned, so it must not contain localized text.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with locale.override(*_locale_and_zone(request)):
            return self._get_response(request)


def _locale_and_zone(request: HttpRequest) -> tuple[str, str]:
    if not isinstance(request.user, User):
        return locale.DEFAULT, "UTC"
    found = Owner.objects.filter(user=request.user).values_list("locale", "time_zone").first()
    return found or (locale.DEFAULT, "UTC")
