"""Agree on the end of the record chain after the marketplace has lifted a suspension: the newest record on the server.

The server sends that record itself. It must carry this car's signature and must not be older than the newest record
that the server has confirmed. So nobody can make a car sign a second record under a number that counts. Waiting reports
are sent first.
"""

from __future__ import annotations

import logging

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from compute import protocol
from compute.agent.state.store import Store
from compute.protocol import Chain, MeterPayload

log = logging.getLogger(__name__)


class ChainEnd:
    """The agreed end of the chain. ``agreed`` goes into the next sync: the hash of its last record, or ""."""

    def __init__(self, *, node: str, public_key: Ed25519PublicKey, store: Store) -> None:
        self.agreed = ""
        self._node, self._public_key, self._store = node, public_key, store

    def process(self, chain: Chain | None) -> bool:
        """Process the `chain` of an answer. Return whether there is a new hash to send.

        None means that the server has nothing to agree on (any more).
        """
        previous = self.agreed
        self.agreed = "" if chain is None else self._continue_after(chain)
        return bool(self.agreed) and self.agreed != previous

    def _continue_after(self, chain: Chain) -> str:
        """Continue the chain after the server's record if that is safe. Return its hash, or ""."""
        if self._store.unacknowledged_count():
            return ""  # the waiting reports may be newer than the server's record
        payload = self._verified(chain)
        if payload is None or payload.seq < self._store.kept_seq():
            log.error("The marketplace sent a record that cannot be the end of this vehicle's chain: it is ignored.")
            return ""
        digest = protocol.meter_hash(chain.record)
        if self._store.continue_after(payload.seq, digest):
            log.warning("The chain continues after record %d, the newest one on the server.", payload.seq)
        return digest

    def _verified(self, chain: Chain) -> MeterPayload | None:
        """Return the record's payload if this node signed it, else None."""
        try:
            self._public_key.verify(chain.signature, protocol.signed_bytes(chain.record))
            payload = protocol.unpack_meter(chain.record)
        except (InvalidSignature, msgspec.DecodeError):
            return None
        return payload if payload.node == self._node else None
