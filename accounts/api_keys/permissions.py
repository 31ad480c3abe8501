"""Permissions of API requests by the scopes of their key."""

from typing import Any

from rest_framework.exceptions import MethodNotAllowed, NotAuthenticated, PermissionDenied
from rest_framework.permissions import BasePermission
from rest_framework.request import Request

from accounts.models import ApiKey


class HasScope(BasePermission):
    """Requires the scope that the view names: `required_scope`, or `required_scopes` (HTTP method -> scope).

    A view that names none refuses every request. HEAD needs the scope of GET.
    """

    def has_permission(self, request: Request, view: Any) -> bool:
        if not isinstance(request.auth, ApiKey):
            raise NotAuthenticated("This request needs an API key.")
        method = request.method or ""
        if not hasattr(view, method.lower()):
            raise MethodNotAllowed(method)
        by_method: dict[str, str] = getattr(view, "required_scopes", {})
        scope = by_method.get("GET" if method == "HEAD" else method) or getattr(view, "required_scope", None)
        if scope is None or scope not in request.auth.scopes:
            raise PermissionDenied(f"This API key lacks the scope {scope}.")
        return True
