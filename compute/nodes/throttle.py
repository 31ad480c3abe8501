"""Limits on the number of tries in a time window, counted in Redis.

Without Redis no try is allowed, because without a count there would be no limit.
"""

import logging

from django.core.cache import cache
from redis.exceptions import RedisError

from core.errors import DomainError

logger = logging.getLogger(__name__)


class TooManyTries(DomainError):
    """Too many tries. Wait a while, then try again."""

    code = "too_many_tries"
    status = 429


class CountUnavailable(DomainError):
    """This is not possible at the moment. Try again in a minute."""

    code = "try_again"
    status = 503


def count(name: str, *, limit: int, period_s: int) -> None:
    """Count one try. Raise TooManyTries after `limit` in `period_s` seconds, and CountUnavailable without Redis."""
    key = f"throttle:{name}"
    try:
        cache.add(key, 0, timeout=period_s)
        tries = cache.incr(key)
    except ValueError:  # the window ended between the two commands
        return
    except (OSError, RedisError) as error:
        logger.warning("tries cannot be counted: %s", error)
        raise CountUnavailable from error
    if tries > limit:
        raise TooManyTries


def forget(name: str) -> None:
    """Take back one counted try, because it was right."""
    try:
        cache.decr(f"throttle:{name}")
    except (ValueError, OSError, RedisError) as error:
        logger.debug("a right try could not be taken back from the count: %s", error)
