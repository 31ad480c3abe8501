"""The package of a statement: a zip with every signed record behind it, written while it is sent.

The zip is never whole in memory or on a disk. The manifest comes last, since it contains the hashes of the files before
it; the platform signs its bytes. `driveway-verify` (billing/verifier) reads the package.
"""

import hashlib
import zipfile
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import IO, cast

import msgspec

from billing.models import Statement
from billing.records import chain as statement_chain
from billing.records import manifest as statement_manifest
from billing.records import ocmf, signing_keys
from billing.records import rows as statement_records
from billing.records.chain import Spans
from billing.verifier import format as form
from billing.verifier.keys import fingerprint
from billing.verifier.runs import Runs, run_of_record
from compute import protocol
from core.money import MICRO

CHUNK_BYTES = 64 * 1024
README_TEXT = Path(__file__).with_name("package_readme.txt")


class _Sink:
    """The file object that zipfile writes to: it keeps bytes until they are taken.

    It has no `tell`, so that zipfile writes each file's size after its content and never goes back.
    """

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self.size = 0

    def write(self, data: bytes) -> int:
        self._parts.append(bytes(data))
        self.size += len(data)
        return len(data)

    def flush(self) -> None:
        pass

    def take(self) -> bytes:
        """Return the bytes written since the last call."""
        data, self._parts, self.size = b"".join(self._parts), [], 0
        return data


@dataclass
class _Collected:
    """What the later files need from the records, collected while the records are streamed."""

    spans: Spans = field(default_factory=Spans)
    nodes: set[str] = field(default_factory=set)
    runs: Runs = field(default_factory=Runs)
    agents: dict[str, str] = field(default_factory=dict)
    tariffs: dict[str, str] = field(default_factory=dict)  # by job


class Package:
    """One package, to be written once from beginning to end."""

    def __init__(self, statement: Statement) -> None:
        self._statement = statement
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(cast(IO[bytes], self._sink), "w", zipfile.ZIP_DEFLATED)
        self._files: dict[str, form.File] = {}

    def chunks(self) -> Iterator[bytes]:
        """Yield the zip file's bytes.

        Reads the database meanwhile with a server-side cursor, so use it in one thread only.
        """
        collected = _Collected()
        yield from self._file(form.README, iter([README_TEXT.read_bytes()]))
        yield from self._file(form.RECORDS, _record_lines(self._statement, collected))
        yield from self._file(form.VOIDS, _void_lines(self._statement, collected))
        chain = statement_chain.read(collected.spans)
        begins = chain.registers((run.node, run.first_seq, run.energy_mwh) for run in collected.runs.finished)
        yield from self._file(form.OCMF_RECORDS, _ocmf_lines(collected, begins))
        yield from self._file(form.OCMF_KEY, iter([signing_keys.ocmf_public_pem()]))
        manifest = msgspec.json.encode(
            statement_manifest.manifest(self._statement, collected.nodes, chain.gaps, self._files)
        )
        yield from self._file(form.MANIFEST, iter([manifest]))
        yield from self._file(form.SEAL, iter([_seal(manifest)]))
        self._zip.close()
        yield self._sink.take()

    def _file(self, name: str, parts: Iterator[bytes]) -> Iterator[bytes]:
        info = zipfile.ZipInfo(name, date_time=self._statement.created_at.timetuple()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16  # a plain file, readable by all
        digest, size = hashlib.sha256(), 0
        # Their size is not known beforehand; without zip64, zipfile fails on a file of more than 2 GiB.
        with self._zip.open(info, "w", force_zip64=name in (form.RECORDS, form.VOIDS)) as file:
            for part in parts:
                file.write(part)
                digest.update(part)
                size += len(part)
                if self._sink.size >= CHUNK_BYTES:
                    yield self._sink.take()
        self._files[name] = form.File(sha256=digest.hexdigest(), size_bytes=size)


def chunks(statement: Statement) -> Iterator[bytes]:
    """Yield the package of a statement in chunks of bytes."""
    return Package(statement).chunks()


def file_name(statement: Statement) -> str:
    """Return the name under which the package is downloaded."""
    return f"driveway-statement-{statement.number}-records.zip"


def _record_lines(statement: Statement, collected: _Collected) -> Iterator[bytes]:
    """Yield each paid record as a line, and collect what later files need."""
    for record in statement_records.paid_records(statement):
        _collect(record, collected)
        yield msgspec.json.encode(record) + b"\n"
    collected.runs.end()


def _collect(record: form.Record, collected: _Collected) -> None:
    payload = protocol.unpack_meter(b64decode(record.record))
    prices, job = record.event.data.prices, record.event.subject
    collected.spans.add(record.node, record.seq)
    collected.nodes.add(record.node)
    collected.runs.add(run_of_record(job, payload))
    collected.agents[record.node] = payload.agent
    collected.tariffs[job] = (
        f"{Decimal(prices.micro_per_hour) / MICRO} {prices.currency}/h, {Decimal(prices.micro_per_kwh) / MICRO} "
        f"{prices.currency}/kWh, owner's share of time {prices.owner_share_permille}/1000"
    )


def _void_lines(statement: Statement, collected: _Collected) -> Iterator[bytes]:
    for void in statement_records.posted_voids(statement):
        collected.nodes.add(void.original.node)
        yield msgspec.json.encode(void) + b"\n"


def _ocmf_lines(collected: _Collected, begins: Iterator[int]) -> Iterator[bytes]:
    """Yield an OCMF record for each run. `begins` are the registers (mWh) at the runs' beginnings."""
    key = signing_keys.ocmf_key()
    for run, begin_mwh in zip(collected.runs.finished, begins, strict=True):
        agent, tariff = collected.agents[run.node], collected.tariffs[run.job]
        reading = ocmf.Reading(run=run, begin_mwh=begin_mwh, agent=agent, tariff=tariff)
        yield ocmf.record(reading, key) + b"\n"


def _seal(manifest: bytes) -> bytes:
    public_key = signing_keys.statement_public_key()
    seal = form.Seal(
        algorithm="Ed25519",
        key_id=fingerprint(public_key),
        public_key=public_key,
        signature=signing_keys.statement_key().sign(form.SIGNING_DOMAIN + manifest).hex(),
    )
    return msgspec.json.encode(seal)
