"""Puts the signed-in owner's locale and time zone in force for one request."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponseBase

from accounts.models import Owner, User
from core import locale


class OwnerLocale:
    """Everybody else, and requests without a session, keep the defaults. Streamed answers are written after it: they say nothing in a locale."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        with locale.use(*_of(request)):
            return self._get_response(request)


def _of(request: HttpRequest) -> tuple[str, str]:
    if not isinstance(request.user, User):
        return locale.DEFAULT, "UTC"
    found = Owner.objects.filter(user=request.user).values_list("locale", "time_zone").first()
    return found or (locale.DEFAULT, "UTC")
