"""What survives a crash: counters that must not go back, the record chain, unacknowledged reports.

SQLite in WAL mode with full sync: a meter record is on disk before it is reported, and a report stays until
the server has answered it. A unit that was running when the power went leaves nothing here; its lease just
expires.
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
# Sync numbers are reserved in blocks, so that only one sync in so many writes to disk.
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
    """Sums over all records this vehicle has signed."""

    ok: int
    error: int
    cancelled: int
    compute_ms: int
    energy_mwh: int


@dataclass(frozen=True)
class MeterSlot:
    """What the next record needs: its number, the hash of the last one, and the energy carried over."""

    seq: int
    prev: str
    energy_carry_uwh: int


@dataclass(frozen=True)
class Metered:
    """One signed record, its report, and the energy to carry over."""

    report: Report
    energy_carry_uwh: int


class Store:
    """Not for several processes or threads. Every write is durable when the method returns."""

    def __init__(self, state: Path) -> None:
        self._db = sqlite3.connect(state / STORE_FILE, isolation_level=None)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.executescript(_SCHEMA)
        self._sync_seq = self._sync_reserved = self._counter("sync_seq")

    def close(self) -> None:
        self._db.close()

    def next_sync_seq(self, *, above: int = 0) -> int:
        """A number never given before, also across crashes; ``above`` skips to what the server has seen."""
        self._sync_seq = max(self._sync_seq, above) + 1
        if self._sync_seq > self._sync_reserved:
            self._sync_reserved = self._sync_seq + _BLOCK
            self._set("sync_seq", self._sync_reserved)
        return self._sync_seq

    def add_record(self, build: Callable[[MeterSlot], Metered]) -> Report:
        """Extend the chain by the record that ``build`` signs, and keep its report, in one transaction."""
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

    def _keep(self, seq: int, metered: Metered) -> None:
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
        """The oldest reports that fit in ``max_bytes`` together; at least one if there is one."""
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
        """Forget a report that the server has answered; False if it was not waiting. ``is_kept``: it has the record now."""
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            query = "DELETE FROM report WHERE attempt = ? AND fence = ? RETURNING meter_seq"
            done = self._db.execute(query, (attempt, fence)).fetchall()  # at most one: its key says so
            if done and is_kept and done[0][0] > self.kept_seq():
                self._set("kept_seq", done[0][0])
        return bool(done)

    def kept_seq(self) -> int:
        """Number of the newest record that the server has confirmed."""
        return self._counter("kept_seq")

    def continue_after(self, seq: int, digest: str) -> bool:
        """Let the chain go on behind this record; False when it does already."""
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
        """Add to the sums of these (kind, period), in one transaction."""
        if not amounts:
            return
        with self._db:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany(
                "INSERT INTO usage VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET amount = amount + excluded.amount",
                [(kind, period, amount) for (kind, period), amount in amounts.items()],
            )

    def prune_usage(self, kind: str, *, before: str) -> None:
        """Forget sums of periods that sort before this one."""
        self._db.execute("DELETE FROM usage WHERE kind = ? AND period < ?", (kind, before))

    def failures_told(self) -> int:
        """How many failed units an answered sync has told the server of, or need not be told."""
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
