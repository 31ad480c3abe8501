"""Wake a worker now instead of at the next beat. A kick lost costs at most the beat's interval, never work."""

import logging

from celery import current_app
from django.core.cache import cache
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)
PENDING_S = 2  # how long an unanswered kick holds back the next ones


def kick(task: str) -> None:
    """Ask for one run of a task after this transaction commits; many kicks before it starts are one."""
    transaction.on_commit(lambda: _send(task))


def _send(task: str) -> None:
    try:
        if cache.add(f"kick:{task}", 1, timeout=PENDING_S):
            current_app.send_task(task, ignore_result=True)
    except (OperationalError, RedisError, OSError) as error:
        logger.warning("no broker to kick %s with (%s): the next beat will do it", task, error)


def begin(task: str) -> None:
    """Called by the task as it starts: from here on a new kick means a new run."""
    cache.delete(f"kick:{task}")
