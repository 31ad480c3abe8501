"""The client of Stripe's API, and the only way to call it: never inside a transaction, and with errors of our own.

The SDK is imported inside functions: the import takes most of a second, and most processes never call Stripe.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from django.conf import settings
from django.db import transaction

from billing.stripe.gateway.errors import (
    CardDeclined,
    StripeMisconfigured,
    StripeMissing,
    StripeRefused,
    StripeUnavailable,
    StripeUnknownOutcome,
)
from core.errors import DomainError

if TYPE_CHECKING:
    from stripe import HTTPClient, StripeClient, StripeError

R = TypeVar("R")
API_VERSION = "2026-10-28.endive"  # the version that this package is written for; a test compares it with the SDK's
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 20.0


def client() -> StripeClient:
    """Return a client for the key in the settings. Raises StripeMisconfigured if there is none."""
    from stripe import StripeClient

    if not settings.STRIPE_SECRET_KEY:
        raise StripeMisconfigured("STRIPE_SECRET_KEY is not set.")
    return StripeClient(
        settings.STRIPE_SECRET_KEY,
        stripe_version=API_VERSION,
        base_addresses={"api": settings.STRIPE_API_BASE},
        max_network_retries=0,  # the outbox retries, and remembers earlier attempts
        http_client=http_client(),
    )


def http_client() -> HTTPClient:
    """Return the HTTP client with our timeouts. Tests replace this function."""
    from stripe import RequestsClient

    return RequestsClient(timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S))


def write(work: Callable[[StripeClient], R]) -> R:
    """Call Stripe to change something and return what `work` returns.

    Raises StripeRefused or its subclass StripeMissing, CardDeclined, and StripeUnavailable or its subclass
    StripeMisconfigured when nothing was done; StripeUnknownOutcome when we cannot know.
    """
    return _call(work, StripeUnknownOutcome)


def read(work: Callable[[StripeClient], R]) -> R:
    """Call Stripe to read something and return what `work` returns.

    Raises StripeMissing, StripeRefused, StripeUnavailable.
    """
    return _call(work, StripeUnavailable)


def _call(work: Callable[[StripeClient], R], lost: type[DomainError]) -> R:
    from stripe import StripeError

    # A network call inside a transaction would hold its locks for seconds. `durable` raises when we are inside one.
    with transaction.atomic(durable=True):
        pass
    try:
        return work(client())
    except StripeError as error:
        raise _domain_error(error, lost) from error


def _domain_error(error: StripeError, lost: type[DomainError]) -> DomainError:
    """Convert an error of the SDK to one of ours; `lost` is the class for a request whose outcome is unknown."""
    import stripe

    text, fields = error.user_message or str(error), _fields(error)
    if isinstance(error, stripe.CardError):
        return CardDeclined(text, **fields)
    if isinstance(error, stripe.RateLimitError):
        return StripeUnavailable(text, **fields)
    if isinstance(error, (stripe.AuthenticationError, stripe.PermissionError)):
        return StripeMisconfigured(text, **fields)
    status = error.http_status
    # No answer, a failure inside Stripe, or (409) an earlier request under the same key is still running.
    if status is None or status >= 500 or status == 409:
        return lost(text, **fields)
    return (StripeMissing if status == 404 else StripeRefused)(text, **fields)


def _fields(error: StripeError) -> dict[str, Any]:
    """Return what helps an operator: Stripe's codes and request id, no personal data of the payer."""
    decline = getattr(error.error, "decline_code", None) if error.error else None
    found = {"stripe_code": error.code, "decline_code": decline, "request": error.request_id}
    return {name: value for name, value in found.items() if value}
