"""Run all checks of a package, in one pass over its records."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, TypeVar

import msgspec

from billing.verifier import format as form
from billing.verifier import keys, records, sums
from billing.verifier.chains import Chains, MissingRange
from billing.verifier.errors import Finding, Unreadable
from billing.verifier.ocmf import OcmfRecords
from billing.verifier.records import CheckedRecord
from billing.verifier.runs import run_of_record, runs
from billing.verifier.source import Digest, Source
from billing.verifier.sums import Quantities, Sums

T = TypeVar("T")
FINDINGS_KEPT = 1_000


@dataclass
class Report:
    """The result of all checks.

    `findings` are the first FINDINGS_KEPT problems, `findings_count` is the number of all.
    """

    statement: form.StatementFigures
    owner: str
    issuer: str
    platform_key: str
    platform_key_pinned: bool
    nodes: list[form.Node]
    keys_pinned: bool
    findings: list[Finding] = field(default_factory=list)
    findings_count: int = 0
    records: int = 0
    links: int = 0
    missing: list[MissingRange] = field(default_factory=list)
    gaps: list[form.Gap] = field(default_factory=list)
    voids: int = 0
    ocmf: int = 0
    total: Quantities = field(default_factory=Quantities)
    stated_micro: int = 0  # entries without records, such as corrections by operators
    costs_settled: int = 0  # records with a tariff that was computed back from the cost

    @property
    def holds(self) -> bool:
        """Whether everything that was paid follows from what was signed."""
        return not self.findings_count

    def add(self, finding: Finding) -> None:
        """Add a finding."""
        self.findings_count += 1
        if len(self.findings) < FINDINGS_KEPT:
            self.findings.append(finding)


def verify(source: Source, *, node_keys: Iterable[str] = (), platform_key: str = "") -> Report:
    """Check a package and return the report. Raises Unreadable.

    `node_keys` are the public keys (hex) that the owner read in the cars, and `platform_key` is the platform's
    published one; without them, the keys in the package are trusted.
    """
    raw = source.read(form.MANIFEST)
    manifest = _decoded(form.MANIFEST, raw, form.Manifest)
    seal = _decoded(form.SEAL, source.read(form.SEAL), form.Seal)
    pinned = set(node_keys)
    report = Report(
        statement=manifest.statement,
        owner=manifest.owner,
        issuer=manifest.issuer,
        platform_key=seal.public_key,
        platform_key_pinned=bool(platform_key),
        nodes=manifest.nodes,
        keys_pinned=bool(pinned),
        gaps=manifest.gaps,
    )
    _check_seal(raw, seal, platform_key, report)
    _check_node_keys(manifest.nodes, pinned, report)
    _check_files(source, manifest, _check_records(source, manifest, report), report)
    return report


def _check_seal(raw: bytes, seal: form.Seal, platform_key: str, report: Report) -> None:
    is_valid = keys.is_signed(seal.public_key, form.SIGNING_DOMAIN + raw, bytes.fromhex(seal.signature))
    if not is_valid or seal.key_id != keys.fingerprint(seal.public_key):
        report.add(Finding("platform_signature", form.MANIFEST, "The platform's signature of this file is not valid."))
    if platform_key and seal.public_key != platform_key:
        report.add(
            Finding("platform_key", form.SEAL, "The package is signed with another key than the one that you gave.")
        )


def _check_node_keys(nodes: list[form.Node], pinned: set[str], report: Report) -> None:
    for values in ([node.id for node in nodes], [node.public_key for node in nodes]):
        if len(values) != len(set(values)):
            report.add(Finding("node_twice", form.MANIFEST, "A computer or a key is named twice."))
    for node in nodes:
        if pinned and node.public_key not in pinned:
            report.add(Finding("node_key", f"computer {node.id}", "Its key is not one of those that you gave."))


def _check_records(source: Source, manifest: form.Manifest, report: Report) -> dict[str, Digest]:
    """Check records, OCMF records and voids in one pass over each file.

    Return the digests of the files read to their end.
    """
    digests: dict[str, list[Digest]] = {form.RECORDS: [], form.VOIDS: [], form.OCMF_RECORDS: []}
    key = keys.ocmf_key(source.read(form.OCMF_KEY))
    ocmf = OcmfRecords(source.lines(form.OCMF_RECORDS, digests[form.OCMF_RECORDS]), key, report.add)
    report.ocmf = len(ocmf)
    nodes, tally, chains = {node.id: node for node in manifest.nodes}, Sums(), Chains()
    lines = source.lines(form.RECORDS, digests[form.RECORDS])
    signed_records = _signed_records(lines, nodes, manifest.statement.currency, tally, chains, report)
    for run in runs(run_of_record(signed.record.event.subject, signed.payload) for signed in signed_records):
        ocmf.check(run, report.add)
    ocmf.check_rest(report.add)
    chains.check_named(manifest.gaps, report.add)
    _check_voids(source.lines(form.VOIDS, digests[form.VOIDS]), nodes, manifest, tally, report)
    sums.check(manifest, tally, report.add)
    report.links, report.missing, report.total = chains.links, chains.missing, tally.total
    proven = {*tally.transfers, *tally.voided}
    report.stated_micro = sum(
        entry.amount_micro for entry in manifest.entries if entry.transfer not in proven and entry.kind != "payout"
    )
    return {name: found[0] for name, found in digests.items() if found}


def _signed_records(
    lines: Iterable[bytes], nodes: dict[str, form.Node], currency: str, tally: Sums, chains: Chains, report: Report
) -> Iterator[CheckedRecord]:
    """Check each record, add it to the sums, and yield those with a valid signature.

    Records must be in order of computer and number, so that a repeated one is found without remembering them all.
    """
    last, attempts = ("", 0), set[int]()
    for line in lines:
        record = _decoded(form.RECORDS, line, form.Record)
        where = f"record {record.seq} of {record.node}"
        if (record.node, record.seq) <= last:
            report.add(Finding("record_twice", where, "The record is there twice, or out of order."))
        if record.event.data.attempt in attempts:
            report.add(Finding("attempt_twice", where, f"Attempt {record.event.data.attempt} is paid twice."))
        last = (record.node, record.seq)
        attempts.add(record.event.data.attempt)
        report.records += 1
        report.costs_settled += "settled" in (record.costs.tariff_from, record.costs.wear_from)
        tally.add(record)  # also an invalid one: the sums are compared with what the statement paid
        checked = records.check(record, nodes, currency, report.add)
        if checked:
            chains.add(checked, report.add)
            yield checked


def _check_voids(
    lines: Iterable[bytes], nodes: dict[str, form.Node], manifest: form.Manifest, tally: Sums, report: Report
) -> None:
    corrections = {entry.transfer for entry in manifest.entries if entry.kind == "correction"}
    originals: set[tuple[str, int]] = set()
    for line in lines:
        void = _decoded(form.VOIDS, line, form.Void)
        original = void.original
        where = f"void {void.id}"
        if void.transfer not in corrections:
            report.add(Finding("void", where, "Its transfer is not a correction of this statement."))
        if (original.node, original.seq) in originals:
            report.add(Finding("void_twice", where, "The record is taken back twice."))
        originals.add((original.node, original.seq))
        report.voids += 1
        tally.add_void(void, report.add)
        records.check(original, nodes, manifest.statement.currency, report.add)


def _check_files(source: Source, manifest: form.Manifest, digests: dict[str, Digest], report: Report) -> None:
    if set(manifest.files) != set(form.SEALED_FILES) or source.names() != set(form.FILES):
        report.add(Finding("files", form.MANIFEST, "The files that it names are not the files in the package."))
    for name in form.SEALED_FILES:
        stated = manifest.files.get(name)
        found = digests.get(name) or source.digest(name)
        if stated is None or (stated.sha256, stated.size_bytes) != (found.sha256, found.size_bytes):
            report.add(Finding("file_changed", name, "This is not the file that the platform signed."))


def _decoded(name: str, data: bytes, kind: type[T]) -> T:
    """Decode JSON into a struct of format.py. Raises Unreadable `malformed`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Unreadable("malformed", f"{name} is not what the platform writes: {error}.") from error


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as a JSON document for programs."""
    return {
        "holds": report.holds,
        "verdict": "recomputed = paid" if report.holds else "recomputed != paid",
        "findings_count": report.findings_count,
        **{
            name: msgspec.to_builtins(getattr(report, name))
            for name in (
                "statement",
                "owner",
                "issuer",
                "platform_key",
                "platform_key_pinned",
                "keys_pinned",
                "nodes",
                "records",
                "links",
                "missing",
                "gaps",
                "voids",
                "ocmf",
                "total",
                "stated_micro",
                "costs_settled",
                "findings",
            )
        },
    }
