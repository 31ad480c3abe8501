"""Runs: unbroken sequences of a computer's records about one job. Each run becomes one OCMF record.

A computer's register is the sum of the energy of all records that it has signed. Between the beginning and the end of a
run it therefore rises by exactly the run's energy.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from compute.protocol import MeterPayload


@dataclass(frozen=True)
class Run:
    """An unbroken sequence of one computer's records about one job. `methods` are how the energy was measured."""

    node: str
    job: str
    first_seq: int
    last_seq: int
    energy_mwh: int
    started_unix_ms: int
    ended_unix_ms: int
    methods: frozenset[str]

    def joined(self, other: "Run") -> "Run | None":
        """Return both as one run if the other follows this one in the chain and is of the same job, or else None."""
        if (other.node, other.job, other.first_seq) != (self.node, self.job, self.last_seq + 1):
            return None
        return Run(
            self.node,
            self.job,
            self.first_seq,
            other.last_seq,
            self.energy_mwh + other.energy_mwh,
            min(self.started_unix_ms, other.started_unix_ms),
            max(self.ended_unix_ms, other.ended_unix_ms),
            self.methods | other.methods,
        )


def run_of_record(job: str, payload: MeterPayload) -> Run:
    """Return the run of one record."""
    return Run(
        payload.node,
        job,
        payload.seq,
        payload.seq,
        payload.energy_mwh,
        payload.started_unix_ms,
        payload.ended_unix_ms,
        frozenset({payload.energy_method}),
    )


@dataclass
class Runs:
    """Joins records, added in order of computer and number, to runs. `finished` are the runs that have ended."""

    finished: list[Run] = field(default_factory=list)
    _open: Run | None = None

    def add(self, record_run: Run) -> None:
        """Add the run of one more record."""
        joined = self._open.joined(record_run) if self._open else None
        if self._open and not joined:
            self.finished.append(self._open)
        self._open = joined or record_run

    def end(self) -> list[Run]:
        """End the last run and return all finished ones."""
        if self._open:
            self.finished.append(self._open)
            self._open = None
        return self.finished


def runs(pieces: Iterable[Run]) -> Iterator[Run]:
    """Yield the runs of records that come in order of computer and number."""
    joiner = Runs()
    for record_run in pieces:
        joiner.add(record_run)
        yield from joiner.finished
        joiner.finished.clear()
    yield from joiner.end()
