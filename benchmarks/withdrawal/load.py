"""The load, a process of its own: a customer who keeps ordering and paying for jobs, and clients that poll the API."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import numpy as np

from benchmarks.dispatch.measure import quantile
from benchmarks.withdrawal.model import inputs
from marketplace.local.demo import funding
from marketplace.local.demo.customer import ApiError, Customer
from marketplace.local.embedded.process import EmbeddedError, log_tail

OPEN_STATES = ("queued", "running", "assembling")
JOB_UNITS = 12
LOOK_EVERY_S = 2.0
END_S = 300.0  # the longest wait for unfinished requests at the end
REFUSED = 3  # exit code when an order is refused


@dataclass(frozen=True)
class Orders:
    """The load's task, the first line of its input. `backlog` is the number of units that should always be waiting."""

    url: str
    api_key: str
    model: str
    unit_items: int
    backlog: int
    requests_per_s: float
    pollers: int


@dataclass
class Tally:
    """What the load counted. It prints this at its end."""

    jobs: int = 0
    requests: int = 0
    errors: int = 0
    p50_ms: float = 0.0
    p99_ms: float = 0.0
    times_ms: list[float] = field(default_factory=list)


class Load:
    """The threads that order and poll until `over` is set."""

    def __init__(self, orders: Orders) -> None:
        self.orders, self.tally, self.over = orders, Tally(), threading.Event()
        self.jobs: list[str] = []
        work = [self._order, *[self._poll] * orders.pollers]
        self.threads = [threading.Thread(target=target, daemon=True) for target in work]

    def run(self) -> Tally:
        """Order and poll until the input ends. Return what was counted."""
        for thread in self.threads:
            thread.start()
        sys.stdin.read()
        self.over.set()
        for thread in self.threads:
            thread.join(END_S / 2)
        times = self.tally.times_ms or [0.0]
        self.tally.p50_ms, self.tally.p99_ms, self.tally.times_ms = quantile(times, 0.5), quantile(times, 0.99), []
        return self.tally

    def _order(self) -> None:
        """Order whenever few units wait.

        A refused order ends the process: without work there is no benchmark.
        """
        customer = Customer(self.orders.url, self.orders.api_key)
        try:
            while True:
                self._order_if_low(customer)
                if self.over.wait(LOOK_EVERY_S):
                    return
        except Exception as error:  # a thread that dies unnoticed would leave the cars without work
            print(f"The customer stopped ordering: {error}", file=sys.stderr, flush=True)
            os._exit(REFUSED)

    def _order_if_low(self, customer: Customer) -> None:
        """Order if few units wait.

        Raises ApiError if the order is refused and PortalError if paying fails. If the server is unreachable or fails,
        it is asked again later.
        """
        try:
            if self._waiting(customer) < self.orders.backlog:
                funding.top_up(customer)
                self._submit(customer)
        except (ApiError, httpx.TransportError) as error:
            if isinstance(error, ApiError) and error.status < httpx.codes.INTERNAL_SERVER_ERROR:
                raise
            self.tally.errors += 1
            print(f"load: {error!r}", file=sys.stderr, flush=True)

    def _waiting(self, customer: Customer) -> int:
        """Return the number of unfinished units in our open jobs. Ended jobs are forgotten."""
        jobs = [customer.job(job) for job in self.jobs]
        self.jobs = [job["id"] for job in jobs if job["status"] in OPEN_STATES]
        return sum(JOB_UNITS - job["units_accepted"] for job in jobs if job["status"] in ("queued", "running"))

    def _submit(self, customer: Customer) -> None:
        self.tally.jobs += 1
        with tempfile.NamedTemporaryFile(suffix=".npy") as file:
            np.save(file, inputs(JOB_UNITS * self.orders.unit_items, self.tally.jobs), allow_pickle=False)
            file.flush()
            uploaded = customer.upload_input(Path(file.name))
        body = {"model": self.orders.model, "input_file": uploaded["id"], "unit_items": self.orders.unit_items}
        self.jobs.append(customer.order(str(uuid.uuid4()), **body)["id"])

    def _poll(self) -> None:
        customer, pause_s = (
            Customer(self.orders.url, self.orders.api_key),
            self.orders.pollers / self.orders.requests_per_s,
        )
        while not self.over.wait(pause_s):
            jobs = list(self.jobs)
            for ask in (customer.wallet, *[lambda job=job: customer.job(job) for job in jobs[:2]]):
                started = time.monotonic()
                try:
                    ask()
                except (ApiError, httpx.TransportError):
                    self.tally.errors += 1
                self.tally.requests += 1
                self.tally.times_ms.append(1000 * (time.monotonic() - started))
                if self.over.wait(pause_s):
                    return


class LoadProcess:
    """Context manager that runs the load as a process, used by the benchmark's own process."""

    def __init__(self, orders: Orders, log: Path) -> None:
        self._orders, self._log = orders, log

    def __enter__(self) -> LoadProcess:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.withdrawal.load"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                process_group=0,
            )
        self.process.stdin.write(json.dumps(asdict(self._orders)) + "\n")  # type: ignore[union-attr] # both are pipes
        self.process.stdin.flush()  # type: ignore[union-attr]
        return self

    def check(self) -> None:
        """Raise EmbeddedError with the end of its log if the process has ended by itself."""
        if self.process.poll() is not None:
            raise EmbeddedError(f"The load has ended ({self.process.returncode}).\n{log_tail(self._log)}")

    def end(self) -> Tally:
        """Stop the process and return what it counted. Raises EmbeddedError if it had ended before."""
        self.check()
        answer, _ = self.process.communicate(timeout=END_S)
        if not answer:
            self.check()
        return Tally(**json.loads(answer))

    def __exit__(self, *exception: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def main() -> None:
    """Read the orders from stdin, run the load, and print what it counted."""
    orders = Orders(**json.loads(sys.stdin.readline()))
    print(json.dumps(asdict(Load(orders).run())), flush=True)


if __name__ == "__main__":
    main()
