"""Reliable cancellation of asyncio tasks, for the link and the agent."""

import asyncio
from collections.abc import Iterable
from typing import Any

REPEAT_S = 0.1


async def cancel_all(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel the tasks, every 0.1 s again, until all have ended.

    Once is not enough: before Python 3.12 `asyncio.wait_for`, used in libraries, may swallow a cancellation.
    """
    pending = set(tasks)
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=REPEAT_S)
