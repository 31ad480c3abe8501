"""Process many rows or objects of Stripe's in one run: log a failure and continue with the next."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from billing.stripe.gateway import StripeUnavailable
from core.errors import DomainError

logger = logging.getLogger(__name__)
T = TypeVar("T")


def process_claims(claim: Callable[[], T | None], work: Callable[[T], None], *, limit: int) -> int:
    """Claim rows and work on them, one after the other, until none is due or `limit` are done.

    Return how many were claimed. A row whose work raises stays claimed until its lease ends. The others are worked on,
    and then the first exception is raised.
    """
    errors: list[Exception] = []
    count = 0
    while count < limit and (row := claim()) is not None:
        count += 1
        try:
            work(row)
        except Exception as error:
            logger.exception("%s could not be processed", row)
            errors.append(error)
    if errors:
        raise errors[0]
    return count


def refresh_each(items: Iterable[T], refresh: Callable[[T], object]) -> None:
    """Call `refresh` for each item, which asks Stripe about it and acts on the answer. Log DomainErrors and continue.

    Raises StripeUnavailable at once: while Stripe does not answer, asking about the others is of no use.
    """
    for item in items:
        try:
            refresh(item)
        except StripeUnavailable:
            raise
        except DomainError:
            logger.exception("%s cannot be acted on", item)
