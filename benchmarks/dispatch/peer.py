"""One round of the peer: a full queue of Celery tasks that do nothing, emptied by one prefork worker."""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass

import redis

from benchmarks.dispatch.measure import CpuWatch
from benchmarks.dispatch.noop import QUEUE, app, noop
from benchmarks.dispatch.site import Site
from marketplace.local import embedded
from marketplace.local.embedded.process import EmbeddedError, Identity, log_tail, spawn

UNACKED = "unacked"  # kombu's Redis hash of deliveries that are not acknowledged yet
POLL_S = 0.01
TIMEOUT_S = 600.0


@dataclass(frozen=True)
class PeerRound:
    """The figures of one round of the peer."""

    tasks: int
    seconds: float
    cpu: dict[str, float]

    @property
    def rate(self) -> float:
        return self.tasks / self.seconds


def run_peer(site: Site, *, tasks: int, concurrency: int) -> PeerRound:
    """Fill the queue, start the worker, and time it from the first message to the last acknowledgement.

    Raises EmbeddedError if the queue is not empty after TIMEOUT_S.
    """
    client = redis.Redis.from_url(os.environ["PEER_BROKER_URL"])
    client.flushdb()
    with app.producer_or_acquire() as producer:
        for number in range(tasks):
            noop.apply_async((number,), producer=producer)
    assert client.llen(QUEUE) == tasks
    log_path = site.log_path("noop")
    log_path.unlink(missing_ok=True)
    worker = spawn(
        [
            sys.executable,
            "-m",
            "celery",
            "-A",
            "benchmarks.dispatch.noop",
            "worker",
            "-c",
            str(concurrency),
            "-l",
            "warning",
            "--without-gossip",
            "--without-mingle",
        ],
        log_path=log_path,
        environment=os.environ,
        cwd=embedded.REPOSITORY,
        dies_with_parent=True,
    )
    try:
        started = _wait(lambda: client.llen(QUEUE) < tasks, every_s=0.001, log=log_path)
        watch = CpuWatch({"noop worker": worker.pid, "redis": site.pids()["redis"]})
        ended = _wait(lambda: not client.llen(QUEUE) and not client.hlen(UNACKED), every_s=POLL_S, log=log_path)
        return PeerRound(tasks, ended - started, watch.read())
    finally:
        identity = Identity.of(worker.pid)
        if identity:
            identity.stop(grace_s=15)
        worker.wait()


def _wait(check: object, *, every_s: float, log: object) -> float:
    deadline = time.monotonic() + TIMEOUT_S
    while not check():  # type: ignore[operator]
        if time.monotonic() > deadline:
            raise EmbeddedError(f"the peer did not empty its queue.\n{log_tail(log)}")  # type: ignore[arg-type]
        time.sleep(every_s)
    return time.monotonic()
