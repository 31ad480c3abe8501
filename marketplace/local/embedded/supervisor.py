"""Start processes again that ended by themselves, after pauses that grow, and give up on one that keeps ending."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from marketplace.local.embedded.process import EmbeddedError, log_tail

# Seconds to wait before each start in a row. After the last one the supervisor gives up.
PAUSES_S = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
SLOW_START_S = 0.1  # a start that takes longer (servers are waited for) is reported when it is done
STABLE_S = 60.0  # a process that ran for so long has recovered: its next end is again the first


@dataclass(frozen=True)
class WatchedProcess:
    """A process to watch: how to tell that it runs, why it ended, and how to start it again.

    `start` raises EmbeddedError when it fails. When an essential process is given up, so is everything.
    """

    name: str
    is_running: Callable[[], bool]
    exit_reason: Callable[[], str]
    start: Callable[[], None]
    log_path: Path
    is_essential: bool = True


@dataclass
class _Watch:
    """What the supervisor remembers about a process."""

    process: WatchedProcess
    started_at: float
    failures: int = 0
    due_at: float | None = None  # when it is started again
    is_given_up: bool = False


@dataclass
class Supervisor:
    """Watches processes whenever `check_all` is called. `report` gets a line for each end, each start and each giving up."""

    report: Callable[[str], None]
    clock: Callable[[], float] = time.monotonic
    _watches: dict[str, _Watch] = field(default_factory=dict)

    def add(self, process: WatchedProcess) -> None:
        """Watch a process that was just started."""
        self._watches[process.name] = _Watch(process, self.clock())

    def forget(self, name: str) -> None:
        """Stop watching a process, which may then end."""
        self._watches.pop(name, None)

    def check_all(self) -> None:
        """Start what has ended and is due. Raises EmbeddedError when an essential process is given up."""
        for watch in list(self._watches.values()):
            if not watch.is_given_up:
                self._check(watch)

    def _check(self, watch: _Watch) -> None:
        if watch.due_at is None:
            if watch.process.is_running():
                if self.clock() - watch.started_at >= STABLE_S:
                    watch.failures = 0
                return
            if self.clock() - watch.started_at >= STABLE_S:
                watch.failures = 0
            self._note_failure(watch, watch.process.exit_reason())
        if watch.due_at is not None and self.clock() >= watch.due_at:
            self._start(watch)

    def _note_failure(self, watch: _Watch, why: str) -> None:
        """Plan the next start, or give up."""
        name = watch.process.name
        watch.failures += 1
        if watch.failures > len(PAUSES_S):
            self._give_up(watch, why)
            return
        pause_s = PAUSES_S[watch.failures - 1]
        watch.due_at = self.clock() + pause_s
        when = f"in {pause_s:g} s (try {watch.failures} of {len(PAUSES_S)})" if pause_s else "now"
        self.report(f"{name} {why}. It is started again {when}.")

    def _start(self, watch: _Watch) -> None:
        watch.due_at, began_at = None, self.clock()
        try:
            watch.process.start()
        except EmbeddedError as error:
            self._note_failure(watch, f"did not start ({str(error).splitlines()[0]})")
            return
        watch.started_at = self.clock()
        if watch.started_at - began_at >= SLOW_START_S:
            self.report(f"{watch.process.name} runs again after {watch.started_at - began_at:.1f} s.")

    def _give_up(self, watch: _Watch, why: str) -> None:
        watch.is_given_up = True
        name = watch.process.name
        text = f"{name} {why}. It has ended {watch.failures} times in a row and is not started again."
        if watch.process.is_essential:
            raise EmbeddedError(f"{text}\n{log_tail(watch.process.log_path)}")
        self.report(f"{text} The rest continues without it.\n{log_tail(watch.process.log_path)}")
