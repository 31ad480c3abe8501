"""What the driver tells the light agent. No Django here: the agent process imports this."""

from __future__ import annotations

import msgspec


class Car(msgspec.Struct):
    """One vehicle's node: its key, its NATS user JWT, and where its counters stand."""

    node: str
    seed: str  # Ed25519, 32 bytes as hex; made for this run and thrown away with it
    jwt: str
    sync_seq: int
    meter_seq: int
    meter_hash: str


class Orders(msgspec.Struct):
    """`capacity` is the leases that each node offers to hold; `result` the bytes that every unit answers."""

    urls: tuple[str, ...]
    capacity: int
    result: bytes
    cars: list[Car]


class Tally(msgspec.Struct):
    """What the agent counted, printed as its last line."""

    leases: int = 0
    reports: int = 0
    syncs: int = 0
    accepted: int = 0
    duplicate: int = 0
    refused: int = 0
    errors: int = 0
    refusal_codes: dict[str, int] = msgspec.field(default_factory=dict)
