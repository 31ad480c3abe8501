"""The agent's durable state in SQLite: counters that never go back, the chain of meter records, unacknowledged reports.

WAL mode with full sync: a meter record is on disk before it is reported, and a report stays until the server has
answered it. A unit that runs during a power failure leaves no record; its lease expires on the server.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

from compute import protocol
from compute.protocol import Policy, Report

STORE_FILE = "agent.db"
# Sync numbers are reserved in blocks, so that only one sync in _BLOCK writes to disk.
_BLOCK = 64
_SCHEMA = """
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS text (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS report (
    meter_seq INTEGER PRIMARY KEY, attempt INTEGER NOT NULL, fence INTEGER NOT NULL, message BLOB NOT NULL,
    UNIQUE (attempt, fence)
);
CREATE TABLE IF NOT EXISTS usage (
    kind TEXT NOT NULL, period TEXT NOT NULL, amount INTEGER NOT NULL, PRIMARY KEY (kind, period)
) WITHOUT ROWID;
"""


@dataclass(frozen=True)
class Totals:
    """Sums over all meter records that this vehicle has signed."""

    ok: int
    error: int
    cancelled: int
    compute_ms: int
    energy_mwh: int


@dataclass(frozen=True)
class MeterSlot:
    """The place of the next record in the chain: its number, the hash of the last one, and the energy carried over."""

    seq: int
    prev: str
    energy_carry_uwh: int


@dataclass(frozen=True)
class SignedRecord:
    """One signed record, its report, and the energy to carry over."""

    report: Report
    energy_carry_uwh: int


class Store:
    """The database of one agent, for one process and one thread. Every write is durable when the method returns."""

    def __init__(self, state: Path) -> None:
        self._db = sqlite3.connect(state / STORE_FILE, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        self._sync_seq = self._sync_reserved = self._counter("sync_seq")

    def close(self) -> None:
        self._db.close()

    def next_sync_seq(self, *, above: int = 0) -> int:
        """Return a number that was never returned before, also before a crash, and that is greater than ``above``.

        ``above`` is the newest number that the server has seen.
        """
        self._sync_seq = max(self._sync_seq, above) + 1
        if self._sync_seq > self._sync_reserved:
            self._sync_reserved = self._sync_seq + _BLOCK
            self._set("sync_seq", self._sync_reserved)
        return self._sync_seq

    def add_record(self, build: Callable[[MeterSlot], SignedRecord]) -> Report:
        """Append the record that ``build`` signs to the chain and store its report, in one transaction.

        Return the report.
        """
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            slot = MeterSlot(
                self._counter("meter_seq") + 1,
                self._text("meter_hash").decode() or protocol.GENESIS_HASH,
                self._counter("energy_carry_uwh"),
            )
            metered = build(slot)
            self._keep(slot.seq, metered)
        return metered.report

    def _keep(self, seq: int, metered: SignedRecord) -> None:
        report, record = metered.report, protocol.unpack_meter(metered.report.record)
        self._set("meter_seq", seq)
        self._set_text("meter_hash", protocol.meter_hash(report.record).encode())
        self._set("energy_carry_uwh", metered.energy_carry_uwh)
        self._add(f"units_{report.outcome}", 1)
        self._add("compute_ms", record.compute_ms)
        self._add("energy_mwh", record.energy_mwh)
        self._db.execute(
            "INSERT INTO report VALUES (?, ?, ?, ?)",
            (seq, report.attempt, report.fence, msgspec.msgpack.encode(report)),
        )

    def unacknowledged(self, *, max_bytes: int) -> tuple[Report, ...]:
        """Return the oldest reports that together fit into ``max_bytes``; at least one if there is one."""
        reports: list[Report] = []
        room = max_bytes
        for (message,) in self._db.execute("SELECT message FROM report ORDER BY meter_seq"):
            room -= len(message)
            if reports and room < 0:
                break
            reports.append(msgspec.msgpack.decode(message, type=Report))
        return tuple(reports)

    def unacknowledged_count(self) -> int:
        return int(self._db.execute("SELECT count(*) FROM report").fetchone()[0])

    def has_report(self, attempt: int, fence: int) -> bool:
        query = "SELECT 1 FROM report WHERE attempt = ? AND fence = ?"
        return self._db.execute(query, (attempt, fence)).fetchone() is not None

    def acknowledge(self, attempt: int, fence: int, *, is_kept: bool = True) -> bool:
        """Delete a report that the server has answered. Return False if it was not waiting.

        ``is_kept``: the server has the record in its chain, so `kept_seq` advances.
        """
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            query = "DELETE FROM report WHERE attempt = ? AND fence = ? RETURNING meter_seq"
            deleted = self._db.execute(query, (attempt, fence)).fetchall()  # at most one: (attempt, fence) is unique
            if deleted and is_kept and deleted[0][0] > self.kept_seq():
                self._set("kept_seq", deleted[0][0])
        return bool(deleted)

    def kept_seq(self) -> int:
        """Return the number of the newest record that the server has confirmed."""
        return self._counter("kept_seq")

    def continue_after(self, seq: int, digest: str) -> bool:
        """Make this record the end of the chain. Return False if it is the end already."""
        if (self._counter("meter_seq"), self._text("meter_hash").decode()) == (seq, digest):
            return False
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._set("meter_seq", seq)
            self._set_text("meter_hash", digest.encode())
        return True

    def totals(self) -> Totals:
        return Totals(
            ok=self._counter("units_ok"),
            error=self._counter("units_error"),
            cancelled=self._counter("units_cancelled"),
            compute_ms=self._counter("compute_ms"),
            energy_mwh=self._counter("energy_mwh"),
        )

    def policy(self) -> Policy | None:
        data = self._text("policy")
        return msgspec.msgpack.decode(data, type=Policy) if data else None

    def set_policy(self, policy: Policy) -> None:
        self._set_text("policy", msgspec.msgpack.encode(policy))

    def usage(self, kind: str, period: str) -> int:
        query = "SELECT amount FROM usage WHERE kind = ? AND period = ?"
        row = self._db.execute(query, (kind, period)).fetchone()
        return int(row[0]) if row else 0

    def add_usage(self, amounts: Mapping[tuple[str, str], int]) -> None:
        """Add ``amounts`` to the sums by (kind, period), in one transaction."""
        if not amounts:
            return
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT INTO usage VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount",
                [(kind, period, amount) for (kind, period), amount in amounts.items()],
            )

    def prune_usage(self, kind: str, *, before: str) -> None:
        """Delete the sums of a kind for periods that sort before ``before``."""
        self._db.execute("DELETE FROM usage WHERE kind = ? AND period < ?", (kind, before))

    def failures_told(self) -> int:
        """Return how many failed units were reported in answered syncs or need not be reported."""
        return self._counter("failures_told")

    def set_failures_told(self, total: int) -> None:
        if total != self.failures_told():
            self._set("failures_told", total)

    def _counter(self, name: str) -> int:
        row = self._db.execute("SELECT value FROM counter WHERE name = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def _set(self, name: str, value: int) -> None:
        self._db.execute("INSERT OR REPLACE INTO counter VALUES (?, ?)", (name, value))

    def _add(self, name: str, value: int) -> None:
        self._set(name, self._counter(name) + value)

    def _text(self, name: str) -> bytes:
        row = self._db.execute("SELECT value FROM text WHERE name = ?", (name,)).fetchone()
        return bytes(row[0]) if row else b""

    def _set_text(self, name: str, value: bytes) -> None:
        self._db.execute("INSERT OR REPLACE INTO text VALUES (?, ?)", (name, value))
