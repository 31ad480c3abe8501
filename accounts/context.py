"""Template context: who is looking at the page."""

from django.http import HttpRequest

from accounts.models import Membership, Operator, Owner


def actor(request: HttpRequest) -> dict[str, object]:
    """`actor` is "owner", "organization", "operator" or "" and steers the navigation, nothing else."""
    user = getattr(request, "user", None)
    if user is None or not user.is_authenticated:
        return {"actor": ""}
    if Operator.objects.filter(user=user).exists():
        return {"actor": "operator"}
    if Owner.objects.filter(user=user).exists():
        return {"actor": "owner"}
    return {"actor": "organization" if Membership.objects.filter(user=user).exists() else ""}
