"""The report: printed, and written as a small Markdown file."""

from __future__ import annotations

from benchmarks.consent_race.race import CARS_EACH, OWNERS, Outcome
from benchmarks.machine import described

SHOWN = 10

HOW = """\
## How it is raced

The threads are those of `tests/compute/dispatch/test_consent_race.py`, imported and not copied: deciders give and withdraw consent at
random through the service, dispatchers run the rounds that the worker runs (dispatch, verification, expiry), syncers are the
link's part (renewing, reporting and receiving leases for their cars). All meet in one PostgreSQL, without any lock between
them in Python but the interpreter's own. A customer beside them keeps units waiting. The main thread looks at the database meanwhile; a
snapshot is one of the queries that must find nothing.

- "By the order of commits": PostgreSQL keeps the time of every commit (`track_commit_timestamp`); no transaction that leased under a
  consent may have committed after the one that withdrew it.
- "By record.at": from the times in the append-only records alone, the last act before each lease must be a consent. The act's
  time is read when it holds its lock, a lease's when its transaction starts. The auditor's query asks the same of the record that allowed it."""


def markdown(outcome: Outcome, command: str) -> str:
    parts = [
        "# Consent race: withdrawing while dispatching\n",
        f"Written by `{command}`; see [benchmarks/README.md](../benchmarks/README.md).\n",
        *described("django", "psycopg"),
        f"- Race: {outcome.seconds:.0f} s, {outcome.threads} threads, {OWNERS} owners with {CARS_EACH} cars each\n",
        *_counts(outcome),
        *_turns(outcome),
        *_violations(outcome),
        HOW,
    ]
    return "\n".join(parts) + "\n"


def _counts(outcome: Outcome) -> list[str]:
    acts, attempts = outcome.acts, outcome.attempts
    return [
        "| | |",
        "|--|--:|",
        f"| withdrawals | {acts.get('withdrawn', 0):,} |",
        f"| consents given or renewed | {acts.get('given', 0) + acts.get('renewed', 0):,} |",
        f"| attempts leased | {sum(attempts.values()):,} |",
        f"| attempts cancelled by a withdrawal | {outcome.withdrawn_attempts:,} |",
        f"| attempts by status | {', '.join(f'{n:,} {status}' for status, n in attempts.items())} |",
        f"| units accepted | {outcome.units_accepted:,} |",
        f"| snapshots looked at | {outcome.looks:,} |",
        f"| **violations** | **{sum(map(len, outcome.violations.values()))}** |",
        "",
    ]


def _turns(outcome: Outcome) -> list[str]:
    rows = [f"| {name} | {turns:,} |" for name, turns in sorted(outcome.turns.items())]
    return ["| thread | turns |", "|--|--:|", *rows, ""]


def _violations(outcome: Outcome) -> list[str]:
    lines = ["## Checks\n"]
    for name, found in outcome.violations.items():
        more = f": {'; '.join(found[:SHOWN])}" if found else ""
        lines.append(f"- {'**BAD**' if found else 'ok'} {name}: {len(found)}{more}")
    return [*lines, ""]
