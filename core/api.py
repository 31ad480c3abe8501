"""The JSON shape of every API error, and cursor pagination."""

import logging
from typing import Any

from django.core.exceptions import PermissionDenied, RequestDataTooBig
from django.db import DatabaseError
from django.http import Http404
from rest_framework import exceptions, serializers, status
from rest_framework.pagination import CursorPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView, set_rollback

from core.errors import DomainError, NotFound, from_database

logger = logging.getLogger(__name__)


def error_body(code: str, message: str, fields: Any = None) -> dict[str, Any]:
    """Return `{"error": {"code", "message", "fields"}}`, the body of every error response."""
    return {"error": {"code": code, "message": message, "fields": fields or {}}}


def exception_handler(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the response for an error that a view raised, or None: Django then answers 500. REST framework calls this.

    Handles DomainErrors, errors raised by the database's rules, and the errors of Django and REST framework.
    """
    if isinstance(error, DatabaseError):
        error = from_database(error) or error
    if isinstance(error, RequestDataTooBig):
        error = BodyTooLarge()
    if isinstance(error, DomainError):
        set_rollback()
        return Response(error_body(error.code, error.message, error.fields), status=error.status)
    if isinstance(error, Http404):
        error = exceptions.NotFound("No such object.")
    elif isinstance(error, PermissionDenied):
        error = exceptions.PermissionDenied()
    if not isinstance(error, exceptions.APIException):
        return None
    set_rollback()
    headers = {}
    if authenticate := getattr(error, "auth_header", None):
        headers["WWW-Authenticate"] = authenticate
    if wait := getattr(error, "wait", None):
        headers["Retry-After"] = str(int(wait))
    return Response(_drf_body(error), status=error.status_code, headers=headers)


def _drf_body(error: exceptions.APIException) -> dict[str, Any]:
    if isinstance(error, exceptions.ValidationError):
        fields = error.detail if isinstance(error.detail, dict) else {"body": error.detail}
        return error_body("invalid_input", "Some fields are not valid.", fields)
    code = {
        status.HTTP_401_UNAUTHORIZED: "unauthenticated",
        status.HTTP_403_FORBIDDEN: "forbidden",
        status.HTTP_404_NOT_FOUND: "not_found",
        status.HTTP_405_METHOD_NOT_ALLOWED: "method_not_allowed",
        status.HTTP_415_UNSUPPORTED_MEDIA_TYPE: "unsupported_media_type",
        status.HTTP_429_TOO_MANY_REQUESTS: "rate_limited",
    }.get(error.status_code, "bad_request")
    return error_body(code, str(error.detail))


class BodyTooLarge(DomainError):
    """The body is larger than this endpoint takes."""

    code = "too_large"
    status = 413


class NewestFirst(CursorPagination):
    """Pages of 50 rows (`limit` asks for up to 200), newest first; `next` and `previous` are opaque links."""

    page_size = 50
    max_page_size = 200
    page_size_query_param = "limit"
    ordering = "-id"


def page_response(view: APIView, request: Request, rows: Any, out: type[serializers.Serializer[Any]]) -> Response:
    """Return one page of rows, newest first, serialized by `out`.

    Raises NotFound for a cursor that we did not issue.
    """
    paginator = NewestFirst()
    try:
        page_rows: Any = paginator.paginate_queryset(rows, request, view=view)
    except ValueError as error:  # a forged cursor: its position is not an id
        raise NotFound("There is no such page.") from error
    return paginator.get_paginated_response(out(page_rows, many=True).data)
