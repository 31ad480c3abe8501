"""Decorators that restrict pages to owners, organizations and their roles.

Somebody without access gets 404, as for an object that does not exist, so that a response does not reveal what exists.
"""

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponseBase

from accounts.models import Membership, Organization, Owner, User

View = Callable[..., HttpResponseBase]


def signed_in(request: HttpRequest) -> User:
    """Return the signed-in user. Raises Http404 if nobody is, which login_required has ruled out before."""
    if not isinstance(request.user, User):
        raise Http404
    return request.user


def owner_required(view: View) -> View:
    """Pass the signed-in owner as the second argument; other signed-in users get 404."""

    @login_required
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        owner = Owner.objects.filter(user=signed_in(request)).first()
        if owner is None:
            raise Http404
        return view(request, owner, *args, **kwargs)

    return wrapper


def organization_required(view: View) -> View:
    """Pass the signed-in member's organization as the second argument; other signed-in users get 404."""

    @login_required
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        return view(request, organization_of(signed_in(request)), *args, **kwargs)

    return wrapper


def finance_required(view: View) -> View:
    """Like organization_required, for pages that spend or move money: admins and finance only.

    Other members get 403.
    """

    @login_required
    @wraps(view)
    def wrapper(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        organization = organization_of(signed_in(request))
        if not may_move_money(signed_in(request)):
            raise PermissionDenied("Only an admin or a finance member of your organization may do this.")
        return view(request, organization, *args, **kwargs)

    return wrapper


def may_move_money(user: User) -> bool:
    """Return whether the user may spend or move an organization's money. Pages hide such buttons from other members."""
    return Membership.objects.filter(user=user, role__in=[Membership.Role.ADMIN, Membership.Role.FINANCE]).exists()


def organization_of(user: User) -> Organization:
    """Return the organization that the user works for. Raises Http404 if there is none."""
    membership = Membership.objects.filter(user=user).select_related("organization").first()
    if membership is None:
        raise Http404
    return membership.organization
