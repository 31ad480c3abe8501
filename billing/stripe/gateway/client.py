"""The client of Stripe's API, and the one way to call it: never inside a transaction, errors by what they mean for us.

The SDK is imported on demand: that takes most of a second, and most processes never talk to Stripe.
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
API_VERSION = "2026-10-28.endive"  # what the fields below were written for; a test compares it with the SDK's own
CONNECT_TIMEOUT_S, READ_TIMEOUT_S = 5.0, 20.0


def client() -> StripeClient:
    """A client for the key in the settings. Raises StripeMisconfigured without one."""
    from stripe import StripeClient

    if not settings.STRIPE_SECRET_KEY:
        raise StripeMisconfigured("STRIPE_SECRET_KEY is not set.")
    return StripeClient(
        settings.STRIPE_SECRET_KEY,
        stripe_version=API_VERSION,
        base_addresses={"api": settings.STRIPE_API_BASE},
        max_network_retries=0,  # the outbox retries, with a memory
        http_client=http_client(),
    )


def http_client() -> HTTPClient:
    """Tests put their own in its place."""
    from stripe import RequestsClient

    return RequestsClient(timeout=(CONNECT_TIMEOUT_S, READ_TIMEOUT_S))


def write(work: Callable[[StripeClient], R]) -> R:
    """Call Stripe to change something.

    Raises StripeRefused (CardDeclined, StripeMissing) and StripeUnavailable (StripeMisconfigured) when nothing was
    done, and StripeUnknownOutcome when we cannot know.
    """
    return _call(work, StripeUnknownOutcome)


def read(work: Callable[[StripeClient], R]) -> R:
    """Call Stripe to look at something. Raises StripeMissing, StripeRefused, StripeUnavailable."""
    return _call(work, StripeUnavailable)


def _call(work: Callable[[StripeClient], R], lost: type[DomainError]) -> R:
    from stripe import StripeError

    with transaction.atomic(durable=True):  # sends nothing; refuses to be inside another transaction
        pass
    try:
        return work(client())
    except StripeError as error:
        raise _meaning(error, lost) from error


def _meaning(error: StripeError, lost: type[DomainError]) -> DomainError:
    import stripe

    text, fields = error.user_message or str(error), _fields(error)
    if isinstance(error, stripe.CardError):
        return CardDeclined(text, **fields)
    if isinstance(error, stripe.RateLimitError):
        return StripeUnavailable(text, **fields)
    if isinstance(error, (stripe.AuthenticationError, stripe.PermissionError)):
        return StripeMisconfigured(text, **fields)
    status = error.http_status
    if status is None or status >= 500 or status == 409:  # no answer, a broken one, or the first try still runs
        return lost(text, **fields)
    return (StripeMissing if status == 404 else StripeRefused)(text, **fields)


def _fields(error: StripeError) -> dict[str, Any]:
    """What helps an operator, and nothing of the payer."""
    decline = getattr(error.error, "decline_code", None) if error.error else None
    found = {"stripe_code": error.code, "decline_code": decline, "request": error.request_id}
    return {name: value for name, value in found.items() if value}
