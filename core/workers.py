"""Start a Celery task now instead of at its next scheduled run (beat).

A lost wake-up delays work by at most the schedule's interval and never loses work. A module wakes tasks of its own app
by name. News for other apps it announces as a fact (`announce`); an app that acts on the fact subscribes a task to it
when Django starts.
"""

import logging
from collections import defaultdict

from celery import current_app
from django.core.cache import cache
from django.db import transaction
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

logger = logging.getLogger(__name__)
PENDING_S = 2  # for this time, a wake-up whose task has not begun replaces further ones
# Fact -> names of the tasks to wake. Filled from the apps' `ready()`.
SUBSCRIBERS: defaultdict[str, list[str]] = defaultdict(list)


def wake(task: str) -> None:
    """Request a run of a task after this transaction commits. Requests made before the task begins count as one."""
    transaction.on_commit(lambda: _send(task))


def begin(task: str) -> None:
    """Note that the task has begun, so that later requests start a new run.

    The task calls this before it reads its work.
    """
    cache.delete(f"wake:{task}")


def subscribe(fact: str, task: str) -> None:
    """Wake the task whenever the fact is announced. Subscribing twice has no further effect."""
    if task not in SUBSCRIBERS[fact]:
        SUBSCRIBERS[fact].append(task)


def announce(fact: str) -> None:
    """Wake every task subscribed to the fact, after this transaction commits."""
    for task in SUBSCRIBERS[fact]:
        wake(task)


def _send(task: str) -> None:
    try:
        if cache.add(f"wake:{task}", 1, timeout=PENDING_S):
            current_app.send_task(task, ignore_result=True)
    except (OperationalError, RedisError, OSError) as error:
        logger.warning(
            "cannot wake %s, the broker is unreachable (%s): its next scheduled run does the work", task, error
        )
