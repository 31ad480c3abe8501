"""The OCMF records of a package: signed by the platform, one for each run of a car's chain, rising by the energy signed in it."""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from billing.verifier.errors import Finding
from billing.verifier.keys import ocmf_signed
from billing.verifier.records import Tell
from billing.verifier.runs import Run

MWH_PER_KWH = 1_000_000
ALGORITHM = "ECDSA-secp256r1-SHA256"
REGISTER_END = 10**12  # kWh
NUMBER = re.compile(r"T([1-9][0-9]{0,18})")


class Reading(msgspec.Struct, frozen=True):
    TX: str
    RV: Decimal
    RU: str


class Payload(msgspec.Struct, frozen=True):
    PG: str
    MS: str
    ID: str
    RD: list[Reading]


class Signature(msgspec.Struct, frozen=True):
    SA: str
    SD: str


_payload = msgspec.json.Decoder(Payload)
_signature = msgspec.json.Decoder(Signature)


class OcmfRecords:
    """Read once; then asked for each run, in any order."""

    def __init__(self, lines: Iterable[bytes], key: ec.EllipticCurvePublicKey | None, tell: Tell) -> None:
        self._found: dict[tuple[str, int], Payload] = {}
        self._ends: dict[tuple[str, int], Decimal] = {}
        if key is None:
            tell(Finding("ocmf_key", "ocmf", "Its public key is no P-256 key."))
            return
        for number, line in enumerate(lines, start=1):
            self._read(line, key, f"OCMF record {number}", tell)

    def __len__(self) -> int:
        return len(self._found)

    def _read(self, line: bytes, key: ec.EllipticCurvePublicKey, where: str, tell: Tell) -> None:
        payload = _signed_payload(line, key)
        page = NUMBER.fullmatch(payload.PG) if payload else None
        if payload is None or page is None:
            return tell(Finding("ocmf_signature", where, "Unreadable, or not signed with the platform's key."))
        slot = payload.MS, int(page[1])
        if slot in self._found:
            return tell(Finding("ocmf_twice", where, "There is another of the same computer and page."))
        self._found[slot] = payload
        return None

    def check(self, run: Run, tell: Tell) -> None:
        """Is there one record for this run, and does its register rise by the run's energy?"""
        where = f"OCMF record {run.last_seq} of {run.node}"
        payload = self._found.pop((run.node, run.last_seq), None)
        if payload is None:
            return tell(Finding("ocmf_missing", where, "There is none for this work."))
        marks = [(reading.TX, reading.RU) for reading in payload.RD]
        if run.job != payload.ID or marks != [("B", "kWh"), ("E", "kWh")]:
            return tell(
                Finding("ocmf_content", where, "It is of another job, or has not one begin and one end in kWh.")
            )
        begin, end = (reading.RV * MWH_PER_KWH for reading in payload.RD)
        if end - begin != run.energy_mwh:
            tell(Finding("ocmf_energy", where, f"It rises by {end - begin} mWh, signed were {run.energy_mwh}."))
        before = self._ends.get((run.node, run.first_seq - 1))
        if begin < 0 or (before is not None and before != begin):
            tell(Finding("ocmf_register", where, f"It begins at {begin} mWh, the one before it ended at {before}."))
        self._ends[run.node, run.last_seq] = end
        return None

    def check_rest(self, tell: Tell) -> None:
        for node, page in sorted(self._found):
            tell(Finding("ocmf_extra", f"OCMF record {page} of {node}", "No work of this package belongs to it."))


def _signed_payload(line: bytes, key: ec.EllipticCurvePublicKey) -> Payload | None:
    parts = line.split(b"|")
    if len(parts) != 3 or parts[0] != b"OCMF":
        return None
    try:
        signature: Any = _signature.decode(parts[2])
        if signature.SA != ALGORITHM or not ocmf_signed(key, parts[1], bytes.fromhex(signature.SD)):
            return None
        payload = _payload.decode(parts[1])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return payload if all(r.RV.is_finite() and 0 <= r.RV < REGISTER_END for r in payload.RD) else None
