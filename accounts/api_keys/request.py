"""The organization that an API request acts for."""

from rest_framework.request import Request

from accounts.models import ApiKey, Organization


def organization_of(request: Request) -> Organization:
    """Return the organization of the request's API key. Raises TypeError if the view does not use HasScope."""
    key = request.auth
    if not isinstance(key, ApiKey):
        raise TypeError("The request has no API key: the view must use HasScope.")
    return key.organization
