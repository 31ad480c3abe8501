import asyncio

from compute.cancellation import cancel_all
from tests.waiting import PATIENCE_S


async def test_a_task_that_swallowed_its_cancellation_is_ended_all_the_same():
    """Before Python 3.12 `asyncio.wait_for` swallows it when its awaitable ends in the same turn of the event loop."""
    swallowed = 0

    async def stubborn() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 2:
                    raise

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    async with asyncio.timeout(PATIENCE_S):
        await cancel_all([task])
    assert task.cancelled()
    assert swallowed == 2


async def test_nothing_to_cancel_returns_at_once():
    async def done() -> None: ...

    task = asyncio.create_task(done())
    await task
    await cancel_all([task])
    await cancel_all([])
