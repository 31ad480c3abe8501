"""Who is asking, for pages. A stranger to an object gets 404, like for one that does not exist."""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase

from accounts.models import Membership, Organization, Owner, User

View = Callable[..., HttpResponseBase]


def signed_in(request: HttpRequest) -> User:
    if not isinstance(request.user, User):  # login_required refused before
        raise Http404
    return request.user


def owner_required(view: View) -> View:
    """Passes the signed-in owner as the second argument; anybody else signed in gets 404."""

    @login_required
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        owner = Owner.objects.filter(user=signed_in(request)).first()
        if owner is None:
            raise Http404
        return view(request, owner, *args, **kwargs)

    return wrapper


def organization_required(view: View) -> View:
    """Passes the signed-in member's organization as the second argument; anybody else signed in gets 404."""

    @login_required
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return view(request, organization_of(signed_in(request)), *args, **kwargs)

    return wrapper


def finance_required(view: View) -> View:
    """As organization_required, for what spends or moves money: admins and finance. Other members get 403."""

    @login_required
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        organization = organization_of(signed_in(request))
        if not may_move_money(signed_in(request)):
            raise PermissionDenied("Only an admin or somebody of finance may do this.")
        return view(request, organization, *args, **kwargs)

    return wrapper


def may_move_money(user: User) -> bool:
    """Pages hide from others what they could not do."""
    return Membership.objects.filter(user=user, role__in=[Membership.Role.ADMIN, Membership.Role.FINANCE]).exists()


def organization_of(user: User) -> Organization:
    membership = Membership.objects.filter(user=user).select_related("organization").first()
    if membership is None:
        raise Http404
    return membership.organization
