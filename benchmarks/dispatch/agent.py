"""The light agent: one process that acts as many vehicles, with real keys, connections, signatures and chains.

It runs no inference. Each vehicle has its own NATS connection with its own JWT, keeps one sync in flight at a time,
collects reports for a batch, and repeats a report until it is acknowledged, as the real agent does. Its counters are
kept in memory, not on disk.

It is started with the path of an `Orders` file. It connects, prints "ready", works after a line on stdin, and ends
after the next line.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import sys
import time
from pathlib import Path
from typing import Any

import msgspec
import nats.errors
import uvloop
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from nats.aio.client import Client

from benchmarks.dispatch.wire import Car, Orders, Tally
from compute import protocol

COALESCE_S = 0.01  # as in the real agent
REPORTS_BYTES = protocol.NATS_MAX_PAYLOAD_BYTES - 16384  # as in the real agent
REQUEST_TIMEOUT_S = 10.0
COMPUTE_MS, ENERGY_MWH = 10, 1


class Vehicle:
    """One vehicle of the light agent."""

    def __init__(self, car: Car, orders: Orders, tally: Tally) -> None:
        self.car, self.tally, self.capacity = car, tally, orders.capacity
        self.urls, self.result = list(orders.urls), orders.result
        self.digest = hashlib.sha256(orders.result).hexdigest()
        self.key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(car.seed))
        self.client = Client()
        self.subject = protocol.sync_subject(car.node)
        self.reports: dict[int, protocol.Report] = {}  # by attempt, oldest first
        self.over: set[int] = set()  # answered attempts: a late copy of their lease is ignored
        self.wake = asyncio.Event()
        self.stopping = False

    async def connect(self) -> None:
        await self.client.connect(
            servers=self.urls,
            user_jwt_cb=self.car.jwt.encode,
            signature_cb=lambda nonce: base64.b64encode(self.key.sign(nonce.encode())),
            inbox_prefix=protocol.inbox_prefix(self.car.node),
            allow_reconnect=False,
        )
        await self.client.subscribe(protocol.command_subject(self.car.node), cb=self.pushed)
        await self.client.flush()

    async def pushed(self, message: Any) -> None:
        self.take(protocol.unpack_push(message.data).leases)

    def take(self, leases: tuple[protocol.Lease, ...]) -> None:
        for lease in leases:
            if lease.attempt not in self.reports and lease.attempt not in self.over:
                self.tally.leases += 1
                self.reports[lease.attempt] = self.report(lease)
        if leases:
            self.wake.set()

    def report(self, lease: protocol.Lease) -> protocol.Report:
        """Return a signed report. Where the real agent would fetch, run and meter, the answer is known beforehand."""
        now = time.time_ns() // 1_000_000
        payload = protocol.MeterPayload(
            v=protocol.VERSION,
            node=self.car.node,
            seq=self.car.meter_seq + 1,
            prev=self.car.meter_hash,
            attempt=lease.attempt,
            fence=lease.fence,
            model=lease.model_sha256,
            input=lease.input_sha256,
            output=self.digest,
            items=lease.items,
            outcome="ok",
            started_unix_ms=now - COMPUTE_MS,
            ended_unix_ms=now,
            compute_ms=COMPUTE_MS,
            compute_method="cpu_time",
            energy_mwh=ENERGY_MWH,
            energy_method="model",
            agent="benchmark",
            layers=("rlimits",),
        )
        record = protocol.meter_bytes(payload)
        self.car.meter_seq, self.car.meter_hash = payload.seq, protocol.meter_hash(record)
        return protocol.Report(
            attempt=lease.attempt,
            fence=lease.fence,
            outcome="ok",
            record=record,
            signature=self.key.sign(protocol.signed_bytes(record)),
            result=self.result,
        )

    async def run(self) -> None:
        """Sync until `stop` is called, then report the vehicle as unavailable."""
        while not self.stopping:
            pause_s = await self.sync(available=True)
            if not self.reports:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.wake.wait(), pause_s)
                    await asyncio.sleep(COALESCE_S)
            self.wake.clear()
        await self.sync(available=False)
        await self.client.close()

    def stop(self) -> None:
        self.stopping = True
        self.wake.set()

    async def sync(self, *, available: bool) -> float:
        """Send one request and handle its response. Return the seconds until the next one."""
        self.car.sync_seq += 1
        reports = self.batch() if available else ()
        request = protocol.SyncRequest(
            node=self.car.node,
            seq=self.car.sync_seq,
            available=available,
            policy_version=1,
            reports=reports,
            capacity=self.capacity if available else 0,
        )
        self.tally.syncs += 1
        self.tally.reports += len(reports)
        try:
            answer = await self.client.request(self.subject, protocol.pack(request), timeout=REQUEST_TIMEOUT_S)
        except (nats.errors.Error, TimeoutError):
            self.tally.errors += 1
            return 1.0
        response = protocol.unpack_response(answer.data)
        if response.error:
            self.tally.errors += 1
        self.settle(response.acks)
        self.take(response.leases)
        return response.next_sync_ms / 1000

    def batch(self) -> tuple[protocol.Report, ...]:
        """Return the oldest reports that fit into one message."""
        room, reports = REPORTS_BYTES, []
        for report in self.reports.values():
            room -= len(report.record) + len(report.signature) + len(report.result) + 64
            if room < 0:
                break
            reports.append(report)
        return tuple(reports)

    def settle(self, acks: tuple[protocol.Ack, ...]) -> None:
        """Forget acknowledged reports and count the acknowledgements."""
        for ack in acks:
            self.reports.pop(ack.attempt, None)
            self.over.add(ack.attempt)
            setattr(self.tally, ack.status, getattr(self.tally, ack.status) + 1)
            if ack.status == "refused":
                self.tally.refusal_codes[ack.code] = self.tally.refusal_codes.get(ack.code, 0) + 1


async def main(path: Path) -> None:
    """Connect the vehicles of an `Orders` file, work between two lines of input, and print the counters as JSON."""
    orders = msgspec.json.decode(path.read_bytes(), type=Orders)
    tally = Tally()
    vehicles = [Vehicle(car, orders, tally) for car in orders.cars]
    for vehicle in vehicles:
        await vehicle.connect()
    await tell("ready")
    await line()
    loops = [asyncio.create_task(vehicle.run()) for vehicle in vehicles]
    end_of_work = asyncio.create_task(line())
    await asyncio.wait([end_of_work, *loops], return_when=asyncio.FIRST_COMPLETED)
    for vehicle in vehicles:
        vehicle.stop()
    await asyncio.gather(*loops)
    await tell(msgspec.json.encode(tally).decode())


async def line() -> None:
    """Wait for a line on stdin."""
    await asyncio.to_thread(sys.stdin.readline)


async def tell(text: str) -> None:
    """Print a line at once."""
    print(text, flush=True)


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
