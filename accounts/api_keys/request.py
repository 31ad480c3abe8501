"""Who sends an API request."""

from rest_framework.request import Request

from accounts.models import ApiKey, Organization


def organization_of(request: Request) -> Organization:
    """Return the organization of the API key that signed the request. Raises TypeError where HasScope was left out."""
    key = request.auth
    if not isinstance(key, ApiKey):
        raise TypeError("no API key")
    return key.organization
