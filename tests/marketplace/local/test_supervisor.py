"""When a process is restarted, how the pauses grow, and when restarts stop. The tests set the clock."""

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from marketplace.local.embedded.process import EmbeddedError
from marketplace.local.embedded.supervisor import PAUSES_S, STABLE_S, Supervisor, WatchedProcess


@dataclass
class Process:
    """A process that the test ends, with a clock that the test sets."""

    log_path: Path
    name: str = "it"
    now: float = 0.0
    runs: bool = True
    refuses: bool = False
    takes_s: float = 0.0
    starts: list[float] = field(default_factory=list)

    def start(self) -> None:
        self.starts.append(self.now)
        self.now += self.takes_s
        if self.refuses:
            raise EmbeddedError("no such program\nwith more lines")
        self.runs = True

    def watched(self, **options: bool) -> WatchedProcess:
        return WatchedProcess(self.name, lambda: self.runs, lambda: "was ended", self.start, self.log_path, **options)


@pytest.fixture
def process(tmp_path: Path) -> Process:
    path = tmp_path / "it.log"
    path.write_text("its last words\n")
    return Process(path)


@pytest.fixture
def lines() -> list[str]:
    return []


def watched(process: Process, lines: list[str], **options: bool) -> Supervisor:
    """Return a supervisor that watches the process and writes its messages to `lines`."""
    supervisor = Supervisor(lines.append, clock=lambda: process.now)
    supervisor.add(process.watched(**options))
    return supervisor


def end_until_given_up(process: Process, supervisor: Supervisor) -> None:
    """End the process again as soon as it runs, once per second of its clock, until restarts stop."""
    for _ in range(int(sum(PAUSES_S)) + 10):
        process.runs = False
        supervisor.check_all()
        process.now += 1


def test_a_process_that_ends_is_started_again_at_once_and_named(process, lines):
    supervisor = watched(process, lines)
    supervisor.check_all()
    assert lines == []
    process.runs = False
    supervisor.check_all()
    assert process.runs
    assert lines == ["it was ended. It is started again now."]


def test_a_slow_start_is_reported_when_it_is_done(process, lines):
    process.takes_s, process.runs = 1.5, True
    supervisor = watched(process, lines)
    process.runs = False
    supervisor.check_all()
    assert lines[-1] == "it runs again after 1.5 s."


def test_the_pauses_grow_until_it_is_given_up_with_its_log(process, lines):
    supervisor = watched(process, lines)
    with pytest.raises(EmbeddedError, match=r"it was ended. It has ended 8 times in a row(.|\n)*its last words"):
        end_until_given_up(process, supervisor)
    assert len(process.starts) == len(PAUSES_S)
    pauses = [later - earlier for earlier, later in zip(process.starts, process.starts[1:], strict=False)]
    assert pauses == sorted(pauses)
    assert "its last words" not in "".join(lines)


def test_what_is_not_essential_is_left_down_and_the_rest_goes_on(process, lines):
    supervisor = watched(process, lines, is_essential=False)
    end_until_given_up(process, supervisor)
    supervisor.check_all()
    assert len(process.starts) == len(PAUSES_S)
    assert "The rest continues without it." in lines[-1]
    assert "its last words" in lines[-1]


def test_a_process_that_ran_for_a_while_has_recovered(process, lines):
    supervisor = watched(process, lines)
    for _ in range(2 * len(PAUSES_S)):
        process.now += STABLE_S
        process.runs = False
        supervisor.check_all()
        assert process.runs


def test_a_start_that_fails_counts_as_an_end(process, lines):
    process.refuses = True
    supervisor = watched(process, lines)
    process.runs = False
    supervisor.check_all()
    assert lines[-1] == "it did not start (no such program). It is started again in 1 s (try 2 of 7)."
    process.now += 1
    process.refuses = False
    supervisor.check_all()
    assert process.runs


def test_what_is_forgotten_may_end(process, lines):
    supervisor = watched(process, lines)
    supervisor.forget("it")
    process.runs = False
    supervisor.check_all()
    assert process.starts == []
    assert lines == []
