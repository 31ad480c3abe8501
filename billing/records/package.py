"""A statement with all that bears it out, as a zip that is written while it is sent: never whole in memory, nor on a disk.

The manifest comes last, since it names the hashes of the files before it; the platform signs its bytes. `driveway-verify`
(billing/verifier) reads it.
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
from billing.verifier.runs import Runs, piece
from compute import protocol
from core.money import MICRO

CHUNK_BYTES = 64 * 1024
README_TEXT = Path(__file__).with_name("package_readme.txt")


class _Sink:
    """What zipfile writes to: bytes wait here until they are taken. It has no `tell`, so sizes follow the files."""

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
        data, self._parts, self.size = b"".join(self._parts), [], 0
        return data


@dataclass
class _Work:
    """What is remembered of the records while they pass."""

    spans: Spans = field(default_factory=Spans)
    nodes: set[str] = field(default_factory=set)
    runs: Runs = field(default_factory=Runs)
    agents: dict[str, str] = field(default_factory=dict)
    tariffs: dict[str, str] = field(default_factory=dict)  # by job


class Package:
    """Write once, from beginning to end."""

    def __init__(self, statement: Statement) -> None:
        self._statement = statement
        self._sink = _Sink()
        self._zip = zipfile.ZipFile(cast(IO[bytes], self._sink), "w", zipfile.ZIP_DEFLATED)
        self._files: dict[str, form.File] = {}

    def chunks(self) -> Iterator[bytes]:
        """The zip file's bytes. Reads the database as it goes, with one cursor: all in one thread."""
        work = _Work()
        yield from self._file(form.README, iter([README_TEXT.read_bytes()]))
        yield from self._file(form.RECORDS, _record_lines(self._statement, work))
        yield from self._file(form.VOIDS, _void_lines(self._statement, work))
        chain = statement_chain.read(work.spans)
        begins = chain.registers((run.node, run.first_seq, run.energy_mwh) for run in work.runs.finished)
        yield from self._file(form.OCMF_RECORDS, _ocmf_lines(work, begins))
        yield from self._file(form.OCMF_KEY, iter([signing_keys.ocmf_public_pem()]))
        manifest = msgspec.json.encode(
            statement_manifest.manifest(self._statement, work.nodes, chain.gaps, self._files)
        )
        yield from self._file(form.MANIFEST, iter([manifest]))
        yield from self._file(form.SEAL, iter([_seal(manifest)]))
        self._zip.close()
        yield self._sink.take()

    def _file(self, name: str, parts: Iterator[bytes]) -> Iterator[bytes]:
        info = zipfile.ZipInfo(name, date_time=self._statement.created_at.timetuple()[:6])
        info.compress_type = zipfile.ZIP_DEFLATED
        info.external_attr = 0o644 << 16
        digest, size = hashlib.sha256(), 0
        with self._zip.open(info, "w", force_zip64=name in (form.RECORDS, form.VOIDS)) as file:
            for part in parts:
                file.write(part)
                digest.update(part)
                size += len(part)
                if self._sink.size >= CHUNK_BYTES:
                    yield self._sink.take()
        self._files[name] = form.File(sha256=digest.hexdigest(), size_bytes=size)


def chunks(statement: Statement) -> Iterator[bytes]:
    """The package of a statement, in pieces."""
    return Package(statement).chunks()


def file_name(statement: Statement) -> str:
    return f"driveway-statement-{statement.number}-records.zip"


def _record_lines(statement: Statement, work: _Work) -> Iterator[bytes]:
    """Each record as a line; `work` gathers what the files after it need."""
    for record in statement_records.paid(statement):
        _note(record, work)
        yield msgspec.json.encode(record) + b"\n"
    work.runs.end()


def _note(record: form.Record, work: _Work) -> None:
    payload = protocol.unpack_meter(b64decode(record.record))
    prices, job = record.event.data.prices, record.event.subject
    work.spans.add(record.node, record.seq)
    work.nodes.add(record.node)
    work.runs.add(piece(job, payload))
    work.agents[record.node] = payload.agent
    work.tariffs[job] = (
        f"{Decimal(prices.micro_per_hour) / MICRO} {prices.currency}/h, {Decimal(prices.micro_per_kwh) / MICRO} "
        f"{prices.currency}/kWh, owner's share of time {prices.owner_share_permille}/1000"
    )


def _void_lines(statement: Statement, work: _Work) -> Iterator[bytes]:
    for void in statement_records.voided(statement):
        work.nodes.add(void.original.node)
        yield msgspec.json.encode(void) + b"\n"


def _ocmf_lines(work: _Work, begins: Iterator[int]) -> Iterator[bytes]:
    key = signing_keys.ocmf_key()
    for run, begin_mwh in zip(work.runs.finished, begins, strict=True):
        reading = ocmf.Reading(run=run, begin_mwh=begin_mwh, agent=work.agents[run.node], tariff=work.tariffs[run.job])
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
