"""The report of the consent race as Markdown."""

from __future__ import annotations

from benchmarks.consent_race.race import CARS_EACH, OWNERS, Outcome
from benchmarks.machine import described

SHOWN = 10

HOW = """\
## How it is raced

The threads are those of `tests/compute/dispatch/test_consent_race.py`, imported and not copied: deciders give and
withdraw consent at random through the service, dispatchers run the rounds that the worker runs (dispatch, verification,
expiry), and syncers do what the link does (renew, report and receive leases for their cars). They share one PostgreSQL
and no lock in Python except the interpreter's own. A customer keeps units waiting. Meanwhile the main thread checks the
database; a snapshot is one run of a query that must find nothing.

- "By the order of commits": PostgreSQL keeps the time of every commit (`track_commit_timestamp`). No transaction that
  leased under a consent may have committed after the one that withdrew it.
- "By record.at": by the times in the append-only records alone, the last record before each lease must be a consent. A
  record's time is read while its lock is held, a lease's time when its transaction starts. The auditor's query checks
  the same for the record under which the lease was given."""


def markdown(outcome: Outcome, command: str) -> str:
    """Return the report. `command` is the command line that made it."""
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
        f"| snapshots checked | {outcome.looks:,} |",
        f"| **violations** | **{sum(map(len, outcome.violations.values()))}** |",
        "",
    ]


def _turns(outcome: Outcome) -> list[str]:
    rows = [f"| {name} | {turns:,} |" for name, turns in sorted(outcome.turns.items())]
    return ["| thread | turns |", "|--|--:|", *rows, ""]


def _violations(outcome: Outcome) -> list[str]:
    lines = ["## Checks\n"]
    for name, violations in outcome.violations.items():
        examples = f": {'; '.join(violations[:SHOWN])}" if violations else ""
        lines.append(f"- {'**BAD**' if violations else 'ok'} {name}: {len(violations)}{examples}")
    return [*lines, ""]
