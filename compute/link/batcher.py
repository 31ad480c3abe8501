"""Collect the syncs of many nodes for a few milliseconds and answer them after one durable transaction."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from compute import protocol

logger = logging.getLogger(__name__)

GATHER_S = 0.003
BATCH_MAX = 500
QUEUE_MAX = 20_000  # further syncs are dropped to bound memory; their senders time out and try again

Reply = Callable[[bytes], Awaitable[None]]
Handle = Callable[[Sequence[protocol.SyncRequest]], Awaitable[list[protocol.SyncResponse]]]


class Batcher:
    """A queue of syncs: `put` each with the function that answers it; `run` processes them until cancelled."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._queue: asyncio.Queue[tuple[protocol.SyncRequest, Reply]] = asyncio.Queue(QUEUE_MAX)

    def put(self, request: protocol.SyncRequest, reply: Reply) -> None:
        """Queue a sync, or drop it with a warning when the queue is full."""
        try:
            self._queue.put_nowait((request, reply))
        except asyncio.QueueFull:
            logger.warning("the queue of syncs is full: one sync is dropped, its node will send it again")

    async def run(self) -> None:
        """Answer syncs in batches until cancelled."""
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
            # One sync may have failed the whole batch. Handled one by one, only that sync stays unanswered.
            logger.exception("a batch of %d syncs failed", len(batch))
            if len(batch) > 1:
                for item in batch:
                    await self._answer([item])
            return
        for (request, reply), response in zip(batch, responses, strict=True):
            try:
                await reply(protocol.pack(response))
            except Exception:
                # The batch is committed. This node will sync again; the other nodes must still be answered.
                logger.warning("could not send the answer to node %s", request.node, exc_info=True)
