"""Limits on how often somebody may try: counted in Redis, in windows. Without Redis nobody may, for no count is no limit."""

import logging

from django.core.cache import cache
from redis.exceptions import RedisError

from core.errors import DomainError

logger = logging.getLogger(__name__)


class TooMany(DomainError):
    """Too many tries. Wait a while, then try again."""

    code = "too_many_tries"
    status = 429


class Uncounted(DomainError):
    """This cannot be done at the moment. Try again in a minute."""

    code = "try_again"
    status = 503


def count(name: str, *, limit: int, period_s: int) -> None:
    """Count one try. Raises TooMany beyond `limit` in a window of `period_s`, also for a right one; Uncounted without Redis."""
    key = f"throttle:{name}"
    try:
        cache.add(key, 0, timeout=period_s)
        tries = cache.incr(key)
    except ValueError:  # the window ended between the two
        return
    except (OSError, RedisError) as error:
        logger.warning("tries cannot be counted: %s", error)
        raise Uncounted from error
    if tries > limit:
        raise TooMany


def forget(name: str) -> None:
    """Take back one counted try, which turned out to be a right one."""
    try:
        cache.decr(f"throttle:{name}")
    except (ValueError, OSError, RedisError) as error:
        logger.debug("a try stays counted: %s", error)
