"""The Idempotency-Key header, as in Stripe's API.

A repeated request with the same key and body gets the response to the first one.
"""

import functools
import hashlib
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.models import IdempotencyRecord, Organization
from core.errors import Conflict, DomainError, InvalidInput

KEY_MAX_LENGTH = 255
CLAIM_TRIES = 5
IN_FLIGHT_LIMIT = timedelta(minutes=2)  # after this, a request without a response counts as dead and its key is free

Handler = Callable[..., Response]


def idempotent(handler: Handler) -> Handler:
    """Decorate an APIView method so that a repeated request is not carried out again. `request.auth` is an ApiKey.

    Raises InvalidInput `idempotency_key_missing` without the header, Conflict `idempotency_conflict` for a key used
    with another request, and Conflict `idempotency_in_flight` while the first request runs. A DomainError is stored and
    repeated like a success. A crash (5xx) is not: the key becomes free.
    """

    @functools.wraps(handler)
    def wrapper(view: Any, request: Request, *args: Any, **kwargs: Any) -> Response:
        key = request.headers.get("Idempotency-Key", "")
        if not key or len(key) > KEY_MAX_LENGTH:
            raise InvalidInput(
                f"Send an Idempotency-Key header of 1 to {KEY_MAX_LENGTH} characters.", code="idempotency_key_missing"
            )
        record, stored = _claim(request, key)
        if stored is not None:
            return stored
        try:
            # One transaction for the work and its response: a crash cannot leave work whose response is unknown, which
            # a repeated request would do again.
            with transaction.atomic():
                response = handler(view, request, *args, **kwargs)
                _store(record, response.status_code, response.data)
        except DomainError as error:
            _store(
                record, error.status, {"error": {"code": error.code, "message": error.message, "fields": error.fields}}
            )
            raise
        except BaseException:
            record.delete()
            raise
        return response

    return wrapper


def _claim(request: Request, key: str) -> tuple[IdempotencyRecord, Response | None]:
    """Return the key's record and the stored response, or None if this request is to be carried out."""
    fingerprint = _fingerprint(request)
    organization = request.auth.organization  # type: ignore[union-attr] # HasScope has checked that it is an ApiKey
    record, is_new = _find_or_create(organization, key, fingerprint)
    if is_new:
        return record, None
    if record.fingerprint != fingerprint:
        raise Conflict("This Idempotency-Key was used with another request.", code="idempotency_conflict")
    if record.response_status is not None:
        return record, Response(
            record.response_body, status=record.response_status, headers={"Idempotent-Replayed": "true"}
        )
    stale = IdempotencyRecord.objects.filter(
        pk=record.pk, response_status=None, created_at__lt=timezone.now() - IN_FLIGHT_LIMIT
    )
    if not stale.update(created_at=timezone.now()):
        raise Conflict("The first request with this key is still running.", code="idempotency_in_flight")
    return record, None


def _find_or_create(organization: Organization, key: str, fingerprint: str) -> tuple[IdempotencyRecord, bool]:
    """Return the key's record and whether this call created it.

    Creating can fail because the record exists, and reading then because its request has crashed and deleted it: so try
    again, CLAIM_TRIES times.
    """
    for _ in range(CLAIM_TRIES):
        try:
            with transaction.atomic():
                values = {"organization": organization, "key": key, "fingerprint": fingerprint}
                return IdempotencyRecord.objects.create(**values), True
        except IntegrityError:
            record = IdempotencyRecord.objects.filter(organization=organization, key=key).first()
            if record:
                return record, False
    raise Conflict("The first request with this key is still running.", code="idempotency_in_flight")


def _store(record: IdempotencyRecord, status: int, body: Any) -> None:
    body = json.loads(json.dumps(body, default=str))
    unanswered = IdempotencyRecord.objects.filter(pk=record.pk, response_status=None)
    if not unanswered.update(response_status=status, response_body=body):
        # This request was slower than IN_FLIGHT_LIMIT and another one has taken over the key. Raising rolls our work
        # back, so that it is not done twice.
        raise Conflict("Another request with this key has been answered.", code="idempotency_conflict")


def _fingerprint(request: Request) -> str:
    body = json.dumps(request.data, sort_keys=True, default=str) if request.data else ""
    return hashlib.sha256(f"{request.method} {request.path}\n{body}".encode()).hexdigest()
