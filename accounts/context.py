"""A template context processor: the role of the signed-in user."""

from django.http import HttpRequest

from accounts.models import Membership, Operator, Owner


def actor(request: HttpRequest) -> dict[str, object]:
    """Return `actor`: "owner", "organization", "operator" or "" when nobody is signed in.

    It selects the page's navigation only. Permissions are checked in `accounts.access.guards`.
    """
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"actor": ""}
    if Operator.objects.filter(user=user).exists():
        return {"actor": "operator"}
    if Owner.objects.filter(user=user).exists():
        return {"actor": "owner"}
    return {"actor": "organization" if Membership.objects.filter(user=user).exists() else ""}
