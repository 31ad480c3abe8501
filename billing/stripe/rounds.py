"""Rounds over many things at Stripe: one that goes wrong is told, and holds up no others."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

from billing.stripe.gateway import StripeUnavailable
from core.errors import DomainError

logger = logging.getLogger(__name__)
T = TypeVar("T")


def work_off(claim: Callable[[], T | None], work: Callable[[T], None], *, limit: int) -> int:
    """Claim and work, one after the other, until nothing is due or `limit` were. How many were taken up.

    One that fails by a fault of ours waits for its lease to end; the others go on, and then the first fault is raised.
    """
    faults: list[Exception] = []
    done = 0
    while done < limit and (claimed := claim()) is not None:
        done += 1
        try:
            work(claimed)
        except Exception as fault:
            logger.exception("%s cannot be worked on", claimed)
            faults.append(fault)
    if faults:
        raise faults[0]
    return done


def look_again(found: Iterable[T], look: Callable[[T], object]) -> None:
    """Ask Stripe about each and act on the answer; what cannot be acted on is logged. Raises StripeUnavailable: ask later."""
    for one in found:
        try:
            look(one)
        except StripeUnavailable:
            raise
        except DomainError:
            logger.exception("%s cannot be acted on", one)
