"""Rounds of withdrawals: every car in a thread of its own, rounds with NATS and rounds without in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import psutil
from django.db import connection

from benchmarks.dispatch.measure import CpuWatch, quantile
from benchmarks.withdrawal.clicks import Click
from benchmarks.withdrawal.fleet import Owned
from benchmarks.withdrawal.load import LoadProcess
from benchmarks.withdrawal.site import switch_nats
from benchmarks.withdrawal.watch import Watch
from benchmarks.withdrawal.withdrawal import Ended, Sample, Withdrawal
from marketplace.local import embedded
from marketplace.local.demo.waiting import wait_until
from marketplace.local.embedded.process import EmbeddedError
from marketplace.local.embedded.stack import Stack

LINK_TIMEOUT_S = 600.0  # the agents' backoff goes up to 30 s, and the machine may be slow
SHOW_EVERY_S = 10.0


@dataclass(frozen=True)
class Plan:
    """One round: which carrier, which click, how many withdrawals."""

    carrier: str
    click: type[Click]
    count: int


@dataclass
class Round:
    """The samples and figures of one round."""

    plan: Plan
    samples: list[Sample] = field(default_factory=list)
    seconds: float = 0.0
    cpu: dict[str, float] = field(default_factory=dict)  # seconds of processor by group


def plans(carriers: Sequence[str], clicks: Sequence[type[Click]], *, count: int, rounds: int) -> list[Plan]:
    """Return `count` withdrawals for each carrier and click, cut into rounds whose order alternates."""
    kinds = [(carrier, click) for carrier in carriers for click in clicks]
    sizes = [count // rounds + (number < count % rounds) for number in range(rounds)]
    return [
        Plan(carrier, click, size)
        for number, size in enumerate(sizes)
        for carrier, click in (reversed(kinds) if number % 2 else kinds)
        if size
    ]


class Runner:
    """Runs rounds, with a thread for each car that withdraws. `others` are cars that only work."""

    def __init__(self, stack: Stack, watch: Watch, cars: list[Owned], others: list[Owned], load: LoadProcess) -> None:
        self.stack, self.watch, self.cars, self.all = stack, watch, cars, [*cars, *others]
        self._load = load

    def run(self, plan: Plan) -> Round:
        """Run one round.

        Raises the exception that ended a car's thread, or EmbeddedError if a process of the site or the load ends.
        """
        switch_nats(self.stack, on=plan.carrier == "nats")
        self._wait_for_link(plan.carrier)
        round_, processors, started = Round(plan), CpuWatch(self._pids()), time.monotonic()
        cars = CarThreads(self, round_)
        try:
            self._show_until(lambda: not cars.alive(), round_, started)
        finally:
            cars.end()
        if cars.errors:
            raise cars.errors[0]
        round_.seconds, round_.cpu = time.monotonic() - started, processors.read()
        return round_

    def at_work(self) -> int:
        """Return how many cars run a unit now."""
        return sum(owned.car.is_running_unit for owned in self.all)

    def _wait_for_link(self, carrier: str) -> None:
        def is_linked(owned: Owned) -> bool:
            status = owned.car.status()
            return status.get("carrier") == carrier and not status.get("withheld")

        if not wait_until(lambda: all(map(is_linked, self.all)), timeout_s=LINK_TIMEOUT_S, poll_s=0.2):
            raise EmbeddedError(f"not all cars connected by {carrier} within {LINK_TIMEOUT_S:.0f} s")

    def _show_until(self, is_over: Callable[[], bool], round_: Round, started: float) -> None:
        shown = started
        while not is_over():
            time.sleep(0.2)
            self.stack.check()
            self._load.check()
            if time.monotonic() - shown >= SHOW_EVERY_S:
                shown = time.monotonic()
                _show(round_, shown - started)
        _show(round_, time.monotonic() - started)

    def _pids(self) -> dict[str, int]:
        servers = {name: server.identity() for name, server in embedded.attached_servers().items()}
        children = self.stack.children.processes if self.stack.children else {}
        return {
            # First: the others are children of this process, and their own entries replace its name for them.
            "benchmark": psutil.Process().pid,
            **{name: identity.pid for name, identity in servers.items() if identity and identity.is_running()},
            **{name: process.pid for name, process in children.items() if process.poll() is None},
            **{owned.car.spec.slug: owned.pid for owned in self.all},
            "load": self._load.process.pid,
            "watch": self.watch.process.pid,
        }


class CarThreads:
    """A thread for each car. The threads take withdrawals of the round until none are left."""

    def __init__(self, runner: Runner, round_: Round) -> None:
        self._runner, self._round = runner, round_
        self._over, self._lock, self._left = threading.Event(), threading.Lock(), round_.plan.count
        self.errors: list[Exception] = []
        self._threads = [threading.Thread(target=self._drive, args=(owned,)) for owned in runner.cars]
        for thread in self._threads:
            thread.start()

    def alive(self) -> bool:
        return any(thread.is_alive() for thread in self._threads)

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _drive(self, owned: Owned) -> None:
        plan = self._round.plan
        try:
            while self._take():
                withdrawal = Withdrawal(
                    owned,
                    plan.click(owned),
                    self._runner.watch,
                    carrier=plan.carrier,
                    over=self._over,
                    at_work=self._runner.at_work,
                )
                self._round.samples.append(withdrawal.run())
        except Ended:
            pass
        except Exception as error:  # raised again by the round
            self.errors.append(error)
            self._over.set()
        finally:
            connection.close()

    def _take(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0


def _show(round_: Round, seconds: float) -> None:
    times = [sample.last_ms / 1000 for sample in round_.samples]
    spread = f"p50 {quantile(times, 0.5):.3f} s, largest {max(times):.3f} s" if times else "none yet"
    wrong = sum(bool(sample.wrong) for sample in round_.samples)
    print(
        f"  {round_.plan.carrier:<5} {round_.plan.click.name:<6} {len(times):>4}/{round_.plan.count}  {seconds:5.0f} "
        f"s  {spread}"
        f"  not obeyed: {wrong}",
        flush=True,
    )
