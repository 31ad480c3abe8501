"""Gathers syncs of many nodes for a few milliseconds and answers them after one durable transaction."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from compute import protocol

logger = logging.getLogger(__name__)

GATHER_S = 0.003
BATCH_MAX = 500
QUEUE_MAX = 20_000  # beyond this the oldest senders time out and try again: memory stays bounded

Reply = Callable[[bytes], Awaitable[None]]
Handle = Callable[[Sequence[protocol.SyncRequest]], Awaitable[list[protocol.SyncResponse]]]


class Batcher:
    """`put` requests with how to answer each; `run` until cancelled."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._queue: asyncio.Queue[tuple[protocol.SyncRequest, Reply]] = asyncio.Queue(QUEUE_MAX)

    def put(self, request: protocol.SyncRequest, reply: Reply) -> None:
        try:
            self._queue.put_nowait((request, reply))
        except asyncio.QueueFull:
            logger.warning("too many syncs waiting: one dropped, its node will ask again")

    async def run(self) -> None:
        while True:
            batch = [await self._queue.get()]
            await asyncio.sleep(GATHER_S)
            while len(batch) < BATCH_MAX and not self._queue.empty():
                batch.append(self._queue.get_nowait())
            await self._answer(batch)

    async def _answer(self, batch: list[tuple[protocol.SyncRequest, Reply]]) -> None:
        try:
            responses = await self._handle([request for request, _ in batch])
        except Exception:
            # One bad sync must not silence the others: alone, only it stays unanswered.
            logger.exception("a batch of %d syncs failed", len(batch))
            if len(batch) > 1:
                for item in batch:
                    await self._answer([item])
            return
        for (request, reply), response in zip(batch, responses, strict=True):
            try:
                await reply(protocol.pack(response))
            except Exception:
                # All of it is written: this node asks again and is told the same, the others must still be answered.
                logger.warning("no answer to node %s went out", request.node, exc_info=True)
