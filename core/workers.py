"""Wake a worker now instead of at the next beat. A lost wake-up costs at most the beat's interval, never work.

A noun wakes its own app's tasks by name. What other apps may want to know it announces as a fact (`announce`), and whoever
acts on it subscribes a task when Django starts.
"""

import logging
from collections import defaultdict

from celery import current_app
from django.core.cache import cache
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)
PENDING_S = 2  # how long an unanswered wake-up holds back the next ones
# Fact -> tasks to wake. Filled by the apps' `ready`.
SUBSCRIBERS: defaultdict[str, list[str]] = defaultdict(list)


def wake(task: str) -> None:
    """Ask for one run of a task after this transaction commits; many requests before it starts are one."""
    transaction.on_commit(lambda: _send(task))


def begin(task: str) -> None:
    """Note that the task has started: from here on a request means a new run. The task calls it first."""
    cache.delete(f"kick:{task}")


def subscribe(fact: str, task: str) -> None:
    """Wake the task whenever the fact is announced. Twice is once."""
    if task not in SUBSCRIBERS[fact]:
        SUBSCRIBERS[fact].append(task)


def announce(fact: str) -> None:
    """Wake every task that subscribed to the fact, after this transaction commits."""
    for task in SUBSCRIBERS[fact]:
        wake(task)


def _send(task: str) -> None:
    try:
        if cache.add(f"kick:{task}", 1, timeout=PENDING_S):
            current_app.send_task(task, ignore_result=True)
    except (OperationalError, RedisError, OSError) as error:
        logger.warning("no broker to wake %s with (%s): the next beat will run it", task, error)
