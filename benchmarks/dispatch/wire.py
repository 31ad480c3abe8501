"""What the driver and the light agent exchange. It imports no Django, because the agent's process imports it."""

from __future__ import annotations

import msgspec


class Car(msgspec.Struct):
    """One vehicle's node: its key, its NATS user JWT, and the present values of its counters."""

    node: str
    seed: str  # Ed25519 seed, 32 bytes as hex; used for this run only
    jwt: str
    sync_seq: int
    meter_seq: int
    meter_hash: str


class Orders(msgspec.Struct):
    """The light agent's task.

    `capacity` is the leases that each node offers to hold; `result` is the result of every unit.
    """

    urls: tuple[str, ...]
    capacity: int
    result: bytes
    cars: list[Car]


class Tally(msgspec.Struct):
    """What the light agent counted. It prints this as its last line."""

    leases: int = 0
    reports: int = 0
    syncs: int = 0
    accepted: int = 0
    duplicate: int = 0
    refused: int = 0
    errors: int = 0
    refusal_codes: dict[str, int] = msgspec.field(default_factory=dict)
