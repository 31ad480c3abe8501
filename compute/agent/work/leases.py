"""The leases that a node holds: which units may run, until when, and which have ended. Pure: no clock, no tasks."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass

from compute.protocol import Lease, Renewal

Key = tuple[int, int]
_REMEMBERED = 4096
_SHA256 = re.compile(r"[0-9a-f]{64}")
_MAX_MS = 24 * 3600 * 1000


def key_of(item: Lease | Renewal) -> Key:
    """Return (attempt, fence), which identifies a lease."""
    return item.attempt, item.fence


@dataclass
class HeldLease:
    """One held lease. ``started_unix_ms`` is 0 unless its unit runs now; ``expires_s`` is monotonic time.

    ``stop_code`` is the reason why it was stopped. None: it was not stopped. "": it was stopped and nothing is
    reported, because the lease is lost.
    """

    lease: Lease
    expires_s: float
    started_unix_ms: int = 0
    has_begun: bool = False
    stop_code: str | None = None


class LeaseBook:
    """All held leases. Methods that need the present time take it as ``now_s``, in monotonic seconds."""

    def __init__(self) -> None:
        self._held: dict[Key, HeldLease] = {}
        self._over: OrderedDict[Key, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._held)

    def held(self) -> list[HeldLease]:
        """Return the held leases in order of arrival."""
        return list(self._held.values())

    def get(self, key: Key) -> HeldLease | None:
        return self._held.get(key)

    def accept(self, lease: Lease, now_s: float) -> HeldLease | None:
        """Return the lease as new work; None if it is known (its time is extended), has ended or is invalid."""
        key, expires_s = key_of(lease), now_s + lease.expires_in_ms / 1000
        if (known := self._held.get(key)) is not None:
            known.expires_s = max(known.expires_s, expires_s)
            return None
        if key in self._over or expires_s <= now_s or lease_fault(lease):
            return None
        self._held[key] = held = HeldLease(lease, expires_s)
        return held

    def renewals(self) -> tuple[Renewal, ...]:
        """Return the leases to renew: all that were not stopped."""
        live = (held.lease for held in self._held.values() if held.stop_code is None)
        return tuple(Renewal(attempt=lease.attempt, fence=lease.fence) for lease in live)

    def renewed(self, renewals: Iterable[Renewal], sent_s: float, lease_s: float) -> None:
        """Extend these leases by ``lease_s``: the server answered the sync sent at ``sent_s`` that listed them.

        The time counts from sending, so the agent never believes in a lease longer than the server does.
        """
        for renewal in renewals:
            if (held := self._held.get(key_of(renewal))) is not None:
                held.expires_s = max(held.expires_s, sent_s + lease_s)

    def expired(self, now_s: float) -> list[HeldLease]:
        """Return the held leases whose time is over."""
        return [held for held in self._held.values() if held.expires_s <= now_s]

    def end(self, key: Key) -> None:
        """End a lease for good, even one that never arrived: copies that arrive later are ignored."""
        self._held.pop(key, None)
        self._over[key] = None
        while len(self._over) > _REMEMBERED:
            self._over.popitem(last=False)


def lease_fault(lease: Lease) -> str:
    """Return what is invalid in a lease, or "". It comes from the network, so every field is checked."""
    if not (_SHA256.fullmatch(lease.model_sha256) and _SHA256.fullmatch(lease.input_sha256)):
        return "a digest is not 64 hexadecimal digits"
    if min(lease.items, lease.batch, lease.model_bytes, lease.input_bytes, lease.memory_bytes) <= 0:
        return "a size is not positive"
    if not 0 < lease.time_limit_ms <= _MAX_MS or lease.expires_in_ms > _MAX_MS:
        return "a time is out of range"
    if not lease.outputs or len(set(lease.outputs)) != len(lease.outputs):
        return "the outputs are not named once each"
    return ""
