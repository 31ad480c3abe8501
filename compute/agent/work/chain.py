"""Where the chain of records goes on after the marketplace lifted a suspension: behind the newest record that both have.

The server names it by the record itself. It must be this car's own, by its signature, and never one before what the server has
confirmed: so nobody can make a car sign twice under a number that counts. Reports that wait are told first.
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
    """``agreed`` is what the next sync says of it: the hash of the record behind which we go on, or ""."""

    def __init__(self, *, node: str, public_key: Ed25519PublicKey, store: Store) -> None:
        self.agreed = ""
        self._node, self._public_key, self._store = node, public_key, store

    def heard(self, chain: Chain | None) -> bool:
        """Take up what an answer says; whether there is something new to say. None: nothing is to be agreed any more."""
        before = self.agreed
        self.agreed = "" if chain is None else self._taken_up(chain)
        return bool(self.agreed) and self.agreed != before

    def _taken_up(self, chain: Chain) -> str:
        if self._store.unacknowledged_count():
            return ""  # they may belong behind it
        payload = self._own(chain)
        if payload is None or payload.seq < self._store.kept_seq():
            log.error("The marketplace named an end of our records that cannot be: we do not go on from there.")
            return ""
        digest = protocol.meter_hash(chain.record)
        if self._store.continue_after(payload.seq, digest):
            log.warning("We go on after record %d, the newest that the marketplace has of us.", payload.seq)
        return digest

    def _own(self, chain: Chain) -> MeterPayload | None:
        try:
            self._public_key.verify(chain.signature, protocol.signed_bytes(chain.record))
            payload = protocol.unpack_meter(chain.record)
        except (InvalidSignature, msgspec.DecodeError):
            return None
        return payload if payload.node == self._node else None
