"""Check a package's OCMF records: signed by the platform, one for each run, rising by the run's energy."""

import re
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec

from billing.verifier.errors import Finding
from billing.verifier.keys import is_ocmf_signed
from billing.verifier.records import AddFinding
from billing.verifier.runs import Run

MWH_PER_KWH = 1_000_000
ALGORITHM = "ECDSA-secp256r1-SHA256"
REGISTER_END = 10**12  # kWh
NUMBER = re.compile(r"T([1-9][0-9]{0,18})")


class Reading(msgspec.Struct, frozen=True):
    """A reading: its mark (B begin, E end), the register's value and its unit."""

    TX: str
    RV: Decimal
    RU: str


class Payload(msgspec.Struct, frozen=True):
    """The fields of a payload that are checked: page number, meter serial (the computer), the job, and the readings."""

    PG: str
    MS: str
    ID: str
    RD: list[Reading]


class Signature(msgspec.Struct, frozen=True):
    """The signature's algorithm and its data in hex."""

    SA: str
    SD: str


_payload = msgspec.json.Decoder(Payload)
_signature = msgspec.json.Decoder(Signature)


class OcmfRecords:
    """The OCMF records of a package, all read and verified at once. `check` then takes each run's record.

    Pass the runs of a computer in the order of its chain: each record must begin where the one before it ended.
    """

    def __init__(self, lines: Iterable[bytes], key: ec.EllipticCurvePublicKey | None, add_finding: AddFinding) -> None:
        self._payloads: dict[tuple[str, int], Payload] = {}
        self._ends: dict[tuple[str, int], Decimal] = {}
        if key is None:
            add_finding(Finding("ocmf_key", "ocmf", "The public key is not a P-256 key."))
            return
        for number, line in enumerate(lines, start=1):
            self._read(line, key, f"OCMF record {number}", add_finding)

    def __len__(self) -> int:
        return len(self._payloads)

    def _read(self, line: bytes, key: ec.EllipticCurvePublicKey, where: str, add_finding: AddFinding) -> None:
        payload = _signed_payload(line, key)
        page = NUMBER.fullmatch(payload.PG) if payload else None
        if payload is None or page is None:
            return add_finding(Finding("ocmf_signature", where, "Unreadable, or not signed with the platform's key."))
        slot = payload.MS, int(page[1])
        if slot in self._payloads:
            return add_finding(
                Finding("ocmf_twice", where, "There is another record with the same computer and page number.")
            )
        self._payloads[slot] = payload
        return None

    def check(self, run: Run, add_finding: AddFinding) -> None:
        """Check that one record belongs to the run, and that its register rises by the run's energy.

        Findings go to `add_finding`.
        """
        where = f"OCMF record {run.last_seq} of {run.node}"
        payload = self._payloads.pop((run.node, run.last_seq), None)
        if payload is None:
            return add_finding(Finding("ocmf_missing", where, "There is no OCMF record for this work."))
        marks = [(reading.TX, reading.RU) for reading in payload.RD]
        if run.job != payload.ID or marks != [("B", "kWh"), ("E", "kWh")]:
            return add_finding(
                Finding("ocmf_content", where, "It names another job, or has not exactly one begin and one end in kWh.")
            )
        begin, end = (reading.RV * MWH_PER_KWH for reading in payload.RD)
        if end - begin != run.energy_mwh:
            sentence = f"The register rises by {end - begin} mWh, but the car signed {run.energy_mwh} mWh."
            add_finding(Finding("ocmf_energy", where, sentence))
        before = self._ends.get((run.node, run.first_seq - 1))
        if begin < 0 or (before is not None and before != begin):
            add_finding(
                Finding("ocmf_register", where, f"It begins at {begin} mWh, the one before it ended at {before}.")
            )
        self._ends[run.node, run.last_seq] = end
        return None

    def check_rest(self, add_finding: AddFinding) -> None:
        """Report the records that no run has taken. Findings go to `add_finding`."""
        for node, page in sorted(self._payloads):
            add_finding(
                Finding("ocmf_extra", f"OCMF record {page} of {node}", "It belongs to no work in this package.")
            )


def _signed_payload(line: bytes, key: ec.EllipticCurvePublicKey) -> Payload | None:
    """Return the payload of a record, or None if it cannot be read or is not signed with the key."""
    parts = line.split(b"|")
    if len(parts) != 3 or parts[0] != b"OCMF":
        return None
    try:
        signature: Any = _signature.decode(parts[2])
        if signature.SA != ALGORITHM or not is_ocmf_signed(key, parts[1], bytes.fromhex(signature.SD)):
            return None
        payload = _payload.decode(parts[1])
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return payload if all(r.RV.is_finite() and 0 <= r.RV < REGISTER_END for r in payload.RD) else None
