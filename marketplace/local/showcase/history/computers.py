"""The computers that did the work of the made-up month. Their signed records say that they are made up."""

import hashlib
import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from accounts.models import OwnerPolicy, Vehicle
from compute import protocol
from compute.agent.state.hardware import describe
from compute.models import Node
from compute.nodes import nodes
from compute.sync import sync
from marketplace.local.showcase.history.plan import AT_ONCE

AGENT = "made-up history"


@dataclass
class Computer:
    """A node with the key that signs its records, and the head of its chain."""

    node: Node
    key: Ed25519PrivateKey
    policy_version: int
    seq: int = 0
    meter_seq: int = 0
    meter_hash: str = protocol.GENESIS_HASH

    def request(self, **fields: object) -> protocol.SyncRequest:
        """Return the next sync of this computer, which takes AT_ONCE units at a time."""
        self.seq += 1
        values = {"available": True, "capacity": AT_ONCE, "policy_version": self.policy_version, **fields}
        return protocol.SyncRequest(node=str(self.node.public_id), seq=self.seq, **values)  # type: ignore[arg-type]

    def report(
        self, lease: protocol.Lease, result: bytes, *, started_at: datetime, took: "UnitCost"
    ) -> protocol.Report:
        """Return a signed report of a lease: `result`, computed from `started_at` on."""
        self.meter_seq += 1
        ended_at = started_at + timedelta(milliseconds=took.compute_ms)
        record = protocol.meter_bytes(
            protocol.MeterPayload(
                v=1,
                node=str(self.node.public_id),
                seq=self.meter_seq,
                prev=self.meter_hash,
                attempt=lease.attempt,
                fence=lease.fence,
                model=lease.model_sha256,
                input=lease.input_sha256,
                output=hashlib.sha256(result).hexdigest(),
                items=lease.items,
                outcome="ok",
                started_unix_ms=int(started_at.timestamp() * 1000),
                ended_unix_ms=int(ended_at.timestamp() * 1000),
                compute_ms=took.compute_ms,
                compute_method="cpu_time",
                energy_mwh=took.energy_mwh,
                energy_method="model",
                agent=AGENT,
                layers=(),
            )
        )
        self.meter_hash = protocol.meter_hash(record)
        signature = self.key.sign(protocol.signed_bytes(record))
        return protocol.Report(
            attempt=lease.attempt, fence=lease.fence, outcome="ok", record=record, signature=signature, result=result
        )


@dataclass(frozen=True)
class UnitCost:
    """What a unit took: milliseconds and milliwatt-hours."""

    compute_ms: int
    energy_mwh: int

    @classmethod
    def about(cls, planned_ms: int, power_mw: int, rng: random.Random) -> "UnitCost":
        """Return time and energy near those planned, since no two units take the same."""
        compute_ms = round(planned_ms * rng.uniform(0.88, 1.12))
        return cls(compute_ms, round(compute_ms * power_mw / 3_600_000 * rng.uniform(0.8, 1.1)))


def connect(vehicle: Vehicle) -> Computer:
    """Connect a made-up computer, of this machine's class, to the vehicle."""
    key = Ed25519PrivateKey.generate()
    node = nodes.create_node(
        vehicle=vehicle,
        public_key=key.public_key().public_bytes_raw().hex(),
        hardware=msgspec.structs.replace(describe("simulated"), cores=AT_ONCE, layers=()),
        agent_version=AGENT,
        actor=vehicle.owner.user,
        method="pairing",
    )
    return Computer(node, key, OwnerPolicy.objects.get(vehicle=vehicle).version)


def sync_all(requests: Sequence[protocol.SyncRequest]) -> list[protocol.SyncResponse]:
    """Send the requests and return the answers. Raises RuntimeError if one is refused."""
    answers = sync.handle(requests, carrier="https")
    errors = [answer.error for answer in answers if answer.error]
    errors += [ack.code for answer in answers for ack in answer.acks if ack.status != "accepted"]
    if errors:
        raise RuntimeError(f"the site refused made-up work: {sorted(set(errors))}")
    return answers
