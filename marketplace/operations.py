"""The back office: Django's admin behind allauth's sign-in, with only what operators should see."""

from allauth.account.decorators import secure_admin_login
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from django.contrib import admin
from django.contrib.auth.models import Group

# Secrets of second factors, and rows that only allauth should write.
HIDDEN = (Group, EmailAddress, Authenticator)


def operations_site() -> admin.AdminSite:
    """Django's own login form knows neither rate limits nor a second factor: allauth's does."""
    site = admin.site
    site.site_header = site.site_title = "Driveway operations"
    site.index_title = "Operations"
    site.login = secure_admin_login(site.login)  # type: ignore[method-assign]
    for model in HIDDEN:
        if site.is_registered(model):
            site.unregister(model)
    return site
