"""Write OCMF records (Open Charge Metering Format 1.4), `OCMF|<payload>|<signature>`: one for each run of a chain.

A run is an unbroken sequence of records of one job. docs/metering.md explains the fields.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from billing.verifier.ocmf import ALGORITHM, MWH_PER_KWH
from billing.verifier.runs import Run

FORMAT_VERSION = "1.4"
ACTIVE_ENERGY_IMPORT = "01-00:01.08.00*FF"  # OBIS code
# "Informative", not "synchronised": the platform checks the car's clock to within minutes only.
TIME_STATUS = "I"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_UNIX_MS = 253_402_300_799_999  # the end of the year 9999
TARIFF_MAX, FIRMWARE_MAX = 250, 32


@dataclass(frozen=True)
class Reading:
    """A run, and what its record needs in addition."""

    run: Run
    begin_mwh: int  # the car's energy register when the run began
    agent: str
    tariff: str


def record(reading: Reading, key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return the record's bytes. The same reading gives the same bytes: the signature is deterministic (RFC 6979)."""
    payload = _payload(reading)
    der = key.sign(payload, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    signature = {"SA": ALGORITHM, "SE": "hex", "SM": "application/x-der", "SD": der.hex()}
    return b"OCMF|" + payload + b"|" + msgspec.json.encode(signature)


def _payload(reading: Reading) -> bytes:
    run = reading.run
    # The readings are written by hand: their values are decimal numbers with six places, which a float would not keep.
    fields = msgspec.json.encode(
        {
            "FV": FORMAT_VERSION,
            "GI": "Driveway",
            "GS": "platform",
            "PG": f"T{run.last_seq}",
            "MV": "Driveway",
            "MM": "agent: " + ", ".join(sorted(run.methods)),
            "MS": run.node,
            "MF": reading.agent[:FIRMWARE_MAX],
            "IS": False,
            "IL": "NONE",
            "IF": [],
            "IT": "UNDEFINED",
            "ID": run.job,
            "TT": reading.tariff[:TARIFF_MAX],
        }
    )
    begin = _reading("B", run.started_unix_ms, reading.begin_mwh)
    end = _reading("E", run.ended_unix_ms, reading.begin_mwh + run.energy_mwh)
    # A `|` would end the payload. Only the fields that a car says of itself could contain one.
    return fields[:-1].replace(b"|", b"/") + b',"RD":[' + begin + b"," + end + b"]}"


def _reading(mark: str, unix_ms: int, energy_mwh: int) -> bytes:
    whole, rest = divmod(energy_mwh, MWH_PER_KWH)
    return (
        f'{{"TM":"{_time(unix_ms)}","TX":"{mark}","RV":{whole}.{rest:06d},"RI":"{ACTIVE_ENERGY_IMPORT}",'
        f'"RU":"kWh","RT":"DC","EF":"","ST":"G"}}'
    ).encode()


def _time(unix_ms: int) -> str:
    at = EPOCH + timedelta(milliseconds=min(max(unix_ms, 0), LAST_UNIX_MS))
    return f"{at:%Y-%m-%dT%H:%M:%S},{at.microsecond // 1000:03d}+0000 {TIME_STATUS}"
