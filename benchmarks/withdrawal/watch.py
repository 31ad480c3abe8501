"""Watch agents' child processes from outside, every 5 ms, in a process of its own: nothing relies on the agent's
reports.

A process's CPU clock (clock_getcpuclockid(3)) counts nanoseconds and stands still while the process does not run. For
each child this keeps the end of the last interval in which its clock moved, which is never before its last instruction,
and the start of that interval, so that the uncertainty is known. All times are CLOCK_MONOTONIC, one clock for all
processes of a machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path

PERIOD_S = 0.005
SCAN_EVERY = 4  # samples between two scans for new processes
# A child that disappears between two samples may have run until then, unless it had been idle for at least this long.
STILL_NS = 250_000_000
FORGET_NS = 600_000_000_000  # a child is forgotten this long after it is gone
END_S = 30.0


@dataclass
class Child:
    """A descendant of an agent.

    `moved_ns` is when its clock was last seen to have moved, `before_ns` is the sample before that, and `read_bytes` is
    all that it had read from files and pipes by then.
    """

    pid: int
    seen_ns: int
    cpu_ns: int
    before_ns: int
    moved_ns: int
    gone_ns: int = 0
    sampled_ns: int = 0
    read_bytes: int = 0

    def sample(self) -> None:
        """Read the process's CPU clock, or note that the process is gone."""
        try:
            cpu_ns = time.clock_gettime_ns((~self.pid << 3) | 2)
        except OSError:
            self.gone_ns = time.monotonic_ns()
            if self.gone_ns - self.moved_ns < STILL_NS:
                self.before_ns, self.moved_ns = self.sampled_ns, self.gone_ns
            return
        now = time.monotonic_ns()
        if cpu_ns != self.cpu_ns:
            self.cpu_ns, self.before_ns, self.moved_ns = cpu_ns, self.sampled_ns, now
            self.read_bytes = _read_bytes(self.pid) or self.read_bytes
        self.sampled_ns = now


class Sampler:
    """The watching process: `add` agents, `sample` all their descendants, `scan` for new ones."""

    def __init__(self) -> None:
        self.agents: dict[int, dict[int, Child]] = {}
        self._known: set[int] = set()

    def add(self, agent: int) -> None:
        self.agents[agent] = {}
        self._known = set()

    def drop(self, agent: int) -> None:
        self.agents.pop(agent, None)

    def sample(self) -> None:
        for children in self.agents.values():
            for child in children.values():
                if not child.gone_ns:
                    child.sample()

    def scan(self) -> None:
        """Find new descendants. Only processes that were not there at the last scan are asked for their parent."""
        pids = {int(name) for name in os.listdir("/proc") if name.isdigit()}
        for pid in sorted(pids - self._known):
            parent = _parent(pid)
            for agent, children in self.agents.items():
                if parent == agent or (parent in children and not children[parent].gone_ns):
                    now = time.monotonic_ns()
                    children[pid] = Child(pid, now, 0, now, now, sampled_ns=now)
        self._known = pids
        self._forget()

    def _forget(self) -> None:
        long_ago = time.monotonic_ns() - FORGET_NS
        for children in self.agents.values():
            for pid in [pid for pid, child in children.items() if 0 < child.gone_ns < long_ago]:
                del children[pid]

    def look(self, agent: int) -> list[dict[str, int]]:
        """Return all children of an agent."""
        return [asdict(child) for child in self.agents[agent].values()]


def _parent(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        return int(Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[1])
    return 0


def _read_bytes(pid: int) -> int:
    """Return `rchar` of proc(5), which counts all reads, also those without a disk; 0 if the process is gone."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return int(Path(f"/proc/{pid}/io").read_text().split()[1])
    return 0


def main() -> None:
    """Answer lines ("add 12", "look 12", "drop 12") by one line of JSON each, until the end of the input."""
    with contextlib.suppress(PermissionError):
        os.nice(-10)  # the uncertainty of the measurement is how late a sample is
    sampler, due, count = Sampler(), time.monotonic(), 0
    descriptor, buffer = sys.stdin.fileno(), b""
    while True:
        if select.select([descriptor], [], [], max(0.0, due - time.monotonic()))[0]:
            data = os.read(descriptor, 65536)
            if not data:
                return
            *lines, buffer = (buffer + data).split(b"\n")
            for line in lines:
                word, _, agent = line.decode().partition(" ")
                answer = getattr(sampler, word)(int(agent))
                print(json.dumps(answer or []), flush=True)
        if time.monotonic() >= due:
            sampler.sample()
            if count % SCAN_EVERY == 0:
                sampler.scan()
            count, due = count + 1, time.monotonic() + PERIOD_S


class Watch:
    """Context manager that runs the watching process. Several threads may use it."""

    def __enter__(self) -> Watch:
        self._asking = threading.Lock()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.withdrawal.watch"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            process_group=0,
        )
        return self

    def __exit__(self, *exception: object) -> None:
        """Close its input, which ends it; this also happens if this process is killed."""
        self.process.stdin.close()  # type: ignore[union-attr] # both are pipes
        try:
            self.process.wait(END_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def add(self, agent: int) -> None:
        self._ask(f"add {agent}")

    def drop(self, agent: int) -> None:
        self._ask(f"drop {agent}")

    def look(self, agent: int) -> list[Child]:
        """Return all children of this agent, including those that ended in the last ten minutes."""
        return [Child(**fields) for fields in self._ask(f"look {agent}")]

    def _ask(self, line: str) -> list[dict[str, int]]:
        with self._asking:
            self.process.stdin.write(f"{line}\n")  # type: ignore[union-attr]
            self.process.stdin.flush()  # type: ignore[union-attr]
            answer = self.process.stdout.readline()  # type: ignore[union-attr]
        if not answer:
            raise RuntimeError("the watching process has ended")
        children: list[dict[str, int]] = json.loads(answer)
        return children


if __name__ == "__main__":
    main()
