"""Helpers to make real signed work, close it into a statement, and change and re-sign the statement's package."""

import hashlib
import io
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, timedelta
from pathlib import Path
from typing import Any

import msgspec
from django.db.models import Sum
from django.test import override_settings
from django.utils import timezone

from accounts.models import Owner, OwnerPolicy
from billing.ledger import posting
from billing.ledger.posting import AccountName, Posting
from billing.models import (
    LedgerTransfer,
    Payout,
    RatedUsage,
    Statement,
    StatementEntry,
    StatementLine,
    UsageVoid,
)
from billing.orders import orders, settlement, voids
from billing.rates import cards as rates
from billing.records import package as statement_package
from billing.records import signing_keys
from billing.verifier import format as form
from billing.verifier.keys import fingerprint
from billing.verifier.source import open_source
from billing.verifier.verification import Report, verify
from compute.jobs import jobs
from tests import factories
from tests.factories import Car

COMPUTE_MS = 36_000  # a hundredth of an hour
CENT = 10_000


def work(
    cars: list[Car], *, items: int = 12, unit_items: int = 4, compute_ms: int = COMPUTE_MS, energy_mwh: int = 1
) -> None:
    """Order a job that both cars compute, unit by unit, and settle it.

    Records are really signed, synced and verified.
    """
    customer = factories.make_organization(wallet_micro=10_000_000)
    rates.default_rates()
    job = orders.order_job(
        organization=customer,
        artifact=factories.make_artifact(customer, us_per_item=10**7),
        input_file=factories.make_input(customer, items=items),
        unit_items=unit_items,
    )
    jobs.plan_job(job_id=job.pk)
    job.refresh_from_db()
    with override_settings(METER_CLOCK_SLACK_MS=10**9):
        factories.complete(job, compute_ms=compute_ms, energy_mwh=energy_mwh, cars=cars)
    settlement.settle_usage()


def close_statement(owner: Owner, *, pay: bool = False) -> Statement:
    """Close a statement by hand from all transfers on the owner's payable account that are on no statement yet."""
    payable = posting.account(AccountName(kind="payable", currency="USD", owner_id=owner.pk))
    last = Statement.objects.filter(owner=owner).order_by("-number").first()
    opening = last.carried_micro if last else 0
    if pay:
        payable.refresh_from_db()
        _pay(owner, payable.balance_micro // CENT * CENT)
    moved = list(
        LedgerTransfer.objects.filter(debit=payable).union(LedgerTransfer.objects.filter(credit=payable)).order_by("id")
    )
    new = [t for t in moved if not StatementEntry.objects.filter(transfer=t).exists()]
    signed = {t: t.amount_micro if t.credit_id == payable.pk else -t.amount_micro for t in new}
    sums: dict[str, int] = defaultdict(int)
    for transfer, amount in signed.items():
        group = {"share": "earned", "verification": "earned", "payout": "paid_out"}.get(transfer.kind, "corrected")
        sums[group] += amount
    rated = RatedUsage.objects.filter(owner_transfer__in=[t.pk for t in new])
    total = rated.aggregate(
        ms=Sum("usage__compute_ms"), mwh=Sum("usage__energy_mwh"), cost=Sum("energy_cost_nano"), wear=Sum("wear_nano")
    )
    start = last.period_end_at if last else timezone.now() - timedelta(days=31)
    statement = Statement.objects.create(
        owner=owner,
        number=(last.number if last else 0) + 1,
        currency="USD",
        period_start_at=start,
        period_end_at=start + timedelta(days=30),
        opening_micro=opening,
        earned_micro=sums["earned"],
        corrected_micro=sums["corrected"],
        other_micro=0,
        paid_out_micro=-sums["paid_out"],
        carried_micro=opening + sum(signed.values()),
        energy_cost_nano=total["cost"] or 0,
        wear_nano=total["wear"] or 0,
        compute_ms=total["ms"] or 0,
        energy_mwh=total["mwh"] or 0,
        attempts=rated.count(),
    )
    StatementEntry.objects.bulk_create(
        StatementEntry(statement=statement, transfer_id=t.pk, amount_micro=amount) for t, amount in signed.items()
    )
    _lines(statement, rated)
    for transfer, amount in signed.items():
        if transfer.kind == "correction":
            StatementLine.objects.create(
                statement=statement, kind="correction", service_month=start.date().replace(day=1), amount_micro=amount
            )
    payout = next((t for t in new if t.kind == "payout"), None)
    if payout:
        Payout.objects.create(
            statement=statement,
            owner=owner,
            amount_micro=payout.amount_micro,
            currency="USD",
            due_at=timezone.now(),
            posting_id=payout.pk,
        )
    return statement


def _lines(statement: Statement, rated: Any) -> None:
    groups: dict[Any, list[RatedUsage]] = defaultdict(list)
    for row in rated.select_related("usage", "owner_transfer"):
        kind = "work" if row.owner_transfer.kind == "share" else "check"
        month = row.usage.created_at.astimezone(UTC).date().replace(day=1)
        groups[kind, row.usage.vehicle_id, row.usage.hardware_class_id, month].append(row)
    for (kind, vehicle, hardware_class, month), rows in groups.items():
        StatementLine.objects.create(
            statement=statement,
            kind=kind,
            vehicle_id=vehicle,
            hardware_class_id=hardware_class,
            service_month=month,
            attempts=len(rows),
            compute_ms=sum(r.usage.compute_ms for r in rows),
            energy_mwh=sum(r.usage.energy_mwh for r in rows),
            amount_micro=sum(r.owner_micro for r in rows),
            energy_cost_nano=sum(r.energy_cost_nano for r in rows),
            wear_nano=sum(r.wear_nano for r in rows),
        )


def _pay(owner: Owner, amount_micro: int) -> None:
    places = [AccountName(kind=kind, currency="USD", owner_id=owner.pk) for kind in ("payable", "in_transit")]
    accounts = posting.accounts(places)
    posting.post(
        [
            Posting(
                kind="payout",
                debit=accounts[places[0]],
                credit=accounts[places[1]],
                amount_micro=amount_micro,
                idempotency_key=f"payout:test-{factories.number()}",
            )
        ]
    )


def void(rated: RatedUsage, reason: str = "the customer's model was wrong") -> UsageVoid:
    row = voids.void(rated=rated, reason=reason, actor=None)
    voids.settle_voids()
    return row


def tariff(owner: Owner, micro_per_kwh: int) -> None:
    OwnerPolicy.objects.filter(vehicle__owner=owner).update(tariff_micro_per_kwh=micro_per_kwh)


def package(statement: Statement) -> bytes:
    return b"".join(statement_package.chunks(statement))


def unpacked(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as file:
        return {name: file.read(name) for name in file.namelist()}


def packed(files: dict[str, bytes] | Iterable[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in files.items() if isinstance(files, dict) else files:
            file.writestr(name, data)
    return buffer.getvalue()


def sealed(
    files: dict[str, bytes], change: Callable[[dict[str, Any]], None] = lambda manifest: None
) -> dict[str, bytes]:
    """Recompute the hashes of changed files and sign the manifest again, as a dishonest platform would."""
    manifest = msgspec.json.decode(files[form.MANIFEST])
    for name in form.SEALED_FILES:
        data = files[name]
        manifest["files"][name] = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data)}
    change(manifest)
    raw = msgspec.json.encode(manifest)
    key = signing_keys.statement_public_key()
    signature = signing_keys.statement_key().sign(form.SIGNING_DOMAIN + raw).hex()
    seal = {"algorithm": "Ed25519", "key_id": fingerprint(key), "public_key": key, "signature": signature}
    return {**files, form.MANIFEST: raw, form.SEAL: msgspec.json.encode(seal)}


def with_record(files: dict[str, bytes], change: Callable[[dict[str, Any]], None], index: int = 0) -> dict[str, bytes]:
    """Return the files with one line of records.jsonl changed."""
    lines = [msgspec.json.decode(line) for line in files[form.RECORDS].splitlines()]
    change(lines[index])
    return {**files, form.RECORDS: b"".join(msgspec.json.encode(line) + b"\n" for line in lines)}


def checked(data: bytes | dict[str, bytes], folder: Path, **options: Any) -> Report:
    path = folder / "records.zip"
    path.write_bytes(data if isinstance(data, bytes) else packed(data))
    with open_source(path) as source:
        return verify(source, **options)


def codes(report: Report) -> set[str]:
    return {finding.code for finding in report.findings}
