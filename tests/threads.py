"""Run the functions of a test at the same time, each in a thread with its own database connection.

For tests whose transactions really commit (`django_db(transaction=True)`).
"""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

from django.db import connection

from core.errors import DomainError
from tests.waiting import PATIENCE_S


def in_threads(*works: Callable[[], Any]) -> list[Any]:
    """Start all functions together and return their results. Exceptions are returned, not raised."""
    results: list[Any] = [None] * len(works)
    start = threading.Barrier(len(works))

    def run(index: int) -> None:
        try:
            start.wait(PATIENCE_S)
            results[index] = works[index]()
        except Exception as error:  # returned to the test, which checks it: a thread would swallow it
            results[index] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(works))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10 * PATIENCE_S)
    return results


def at_once(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Run `work(0)`, `work(1)`, ... together. Return what each returned, or the code of the DomainError that it raised.

    Any other exception is returned as it is.
    """
    results = in_threads(*[partial(work, index) for index in range(count)])
    return [result.code if isinstance(result, DomainError) else result for result in results]
