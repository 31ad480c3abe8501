"""A car's register runs on from record to record; a run is an unbroken piece of its chain spent on one job.

The register of a computer is the sum of the energy of all the records that it has signed, so between the beginning and the
end of a run it rises by exactly that run's energy. One run is one OCMF record.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from compute.protocol import MeterPayload


@dataclass(frozen=True)
class Run:
    node: str
    job: str
    first_seq: int
    last_seq: int
    energy_mwh: int
    started_unix_ms: int
    ended_unix_ms: int
    methods: frozenset[str]

    def joined(self, other: "Run") -> "Run | None":
        """Both as one, if the other follows this one in the chain and is of the same job."""
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


def piece(job: str, payload: MeterPayload) -> Run:
    """One record is the shortest run."""
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
    """Takes records by computer and number; `finished` are the runs that have ended."""

    finished: list[Run] = field(default_factory=list)
    _open: Run | None = None

    def add(self, one: Run) -> None:
        joined = self._open.joined(one) if self._open else None
        if self._open and not joined:
            self.finished.append(self._open)
        self._open = joined or one

    def end(self) -> list[Run]:
        if self._open:
            self.finished.append(self._open)
            self._open = None
        return self.finished


def runs(pieces: Iterable[Run]) -> Iterator[Run]:
    gathered = Runs()
    for one in pieces:
        gathered.add(one)
        yield from gathered.finished
        gathered.finished.clear()
    yield from gathered.end()
