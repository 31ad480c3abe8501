"""One OCMF record: `OCMF|<payload>|<signature>`, about one run of a car's chain."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from billing.verifier.ocmf import ALGORITHM, MWH_PER_KWH
from billing.verifier.runs import Run

FORMAT_VERSION = "1.4"
ACTIVE_ENERGY_IMPORT = "01-00:01.08.00*FF"
# The car's clock is held to within minutes by the platform, no closer: "informative", not "synchronised".
TIME_STATUS = "I"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LAST_UNIX_MS = 253_402_300_799_999  # the end of the year 9999
TARIFF_MAX, FIRMWARE_MAX = 250, 32


@dataclass(frozen=True)
class Reading:
    """What stands in the record of a run besides the run itself."""

    run: Run
    begin_mwh: int  # of the car's register
    agent: str
    tariff: str


def record(reading: Reading, key: ec.EllipticCurvePrivateKey) -> bytes:
    """The record's bytes. The same reading gives the same bytes: the signature is deterministic (RFC 6979)."""
    payload = _payload(reading)
    der = key.sign(payload, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
    signature = {"SA": ALGORITHM, "SE": "hex", "SM": "application/x-der", "SD": der.hex()}
    return b"OCMF|" + payload + b"|" + msgspec.json.encode(signature)


def _payload(reading: Reading) -> bytes:
    run = reading.run
    # Two lists of fields around the readings: their values are decimal numbers with six places, never floats.
    before = msgspec.json.encode(
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
    # A bar would end the payload: none of these fields can carry one but what a car says of itself.
    return before[:-1].replace(b"|", b"/") + b',"RD":[' + begin + b"," + end + b"]}"


def _reading(mark: str, unix_ms: int, energy_mwh: int) -> bytes:
    whole, rest = divmod(energy_mwh, MWH_PER_KWH)
    return (
        f'{{"TM":"{_time(unix_ms)}","TX":"{mark}","RV":{whole}.{rest:06d},"RI":"{ACTIVE_ENERGY_IMPORT}",'
        f'"RU":"kWh","RT":"DC","EF":"","ST":"G"}}'
    ).encode()


def _time(unix_ms: int) -> str:
    at = EPOCH + timedelta(milliseconds=min(max(unix_ms, 0), LAST_UNIX_MS))
    return f"{at:%Y-%m-%dT%H:%M:%S},{at.microsecond // 1000:03d}+0000 {TIME_STATUS}"
