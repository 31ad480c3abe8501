"""The back office: Django's admin behind allauth's sign-in, with only what operators should see."""

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

# Secrets of second factors, and rows that only allauth should write.
HIDDEN = (Group, EmailAddress, Authenticator)


def operations_site() -> admin.AdminSite:
    """Django's own login form knows neither rate limits nor a second factor: allauth's does.

    Raises ImproperlyConfigured when a page could show owners' data without a reason.
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
    """It would answer any member of staff with owners' names, as JSON, and ask for no reason. No form of ours uses it."""
    raise Http404


def _show_reason(site: admin.AdminSite) -> None:
    plain = site.each_context

    def each_context(request: HttpRequest) -> dict[str, Any]:
        return {**plain(request), "access_reason": access_reason.present(request)}

    site.each_context = each_context  # type: ignore[method-assign]


def _show_differences(site: admin.AdminSite) -> None:
    """On the front page: whether the ledger adds up."""
    plain = site.index

    def index(request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        may_see = request.user.has_perm("billing.view_ledgerdifference")
        return plain(request, {**(extra_context or {}), "ledger": open_differences() if may_see else None})

    site.index = index  # type: ignore[method-assign]
