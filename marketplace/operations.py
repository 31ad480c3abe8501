"""The back office: Django's admin site behind allauth's sign-in, without the models that operators must not see."""

from typing import Any

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import Http404, HttpRequest, HttpResponseBase
from django.template.response import TemplateResponse

from accounts.access import reason as access_reason
from accounts.admin.owner_data import check_site
from billing.admin.ledger import open_differences

# Models taken off the site: they hold secrets of second factors, or rows that only allauth should write.
HIDDEN = (Group, EmailAddress, Authenticator)


def operations_site() -> admin.AdminSite:
    """Return Django's admin site, changed in place. Staff sign in through allauth.

    Django's own login form has neither rate limits nor a second factor; allauth's has both.
    Raises ImproperlyConfigured if a registered page could show owners' data without asking for a reason.
    """
    site = admin.site
    site.site_header = site.site_title = "Driveway operations"
    site.index_title = "Operations"
    site.login = secure_admin_login(site.login)  # type: ignore[method-assign]
    site.autocomplete_view = _no_autocomplete  # type: ignore[method-assign, assignment]
    _show_reason(site)
    _show_differences(site)
    for model in HIDDEN:
        if site.is_registered(model):
            site.unregister(model)
    check_site(site)
    return site


def _no_autocomplete(request: HttpRequest) -> HttpResponseBase:
    """Answer 404 instead of Django's autocomplete view, which no form of ours uses.

    It would list owners' names to any member of staff without asking for a reason.
    """
    raise Http404


def _show_reason(site: admin.AdminSite) -> None:
    """Add `access_reason` to every page: the reason that this member of staff gave for reading owners' data."""
    django_context = site.each_context

    def each_context(request: HttpRequest) -> dict[str, Any]:
        return {**django_context(request), "access_reason": access_reason.current_reason(request)}

    site.each_context = each_context  # type: ignore[method-assign]


def _show_differences(site: admin.AdminSite) -> None:
    """Add `ledger` to the front page: what the ledger check found, or None for staff who may not see it."""
    django_index = site.index

    def index(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        may_see = request.user.has_perm("billing.view_ledgerdifference")
        return django_index(request, {**(extra_context or {}), "ledger": open_differences() if may_see else None})

    site.index = index  # type: ignore[method-assign]
