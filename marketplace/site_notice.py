"""A template context processor: the line at the top of every page, if the settings have one."""

from django.conf import settings
from django.http import HttpRequest


def site_notice(request: HttpRequest) -> dict[str, str]:
    """Return {"site_notice": settings.SITE_NOTICE}."""
    return {"site_notice": settings.SITE_NOTICE}
