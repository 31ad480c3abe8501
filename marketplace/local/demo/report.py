"""The report. Every claim in it is a check of what the database holds."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from django.db import connection
from django.db.models import Count, Sum

from accounts.models import Owner, Vehicle
from billing.ledger import checks as ledger_checks
from billing.models import JobOrder, RatedUsage
from compute import protocol
from compute.jobs import selectors
from compute.models import Attempt, InferenceJob, MeterRecord, UsageRecord
from core.locale import format_money
from core.money import NANO_PER_MICRO, round_half_even


@dataclass
class Report:
    """Collects lines and checks; `ok` only if every check held."""

    failures: list[str] = field(default_factory=list)

    def line(self, text: str = "") -> None:
        print(text, flush=True)

    def check(self, name: str, holds: bool, detail: str = "") -> None:
        self.line(f"  [{'ok' if holds else 'FAILED'}] {name}{': ' if detail else ''}{detail}")
        if not holds:
            self.failures.append(name)

    @property
    def ok(self) -> bool:
        return not self.failures


def work(report: Report, job: InferenceJob, wall_s: float, carrier: str) -> None:
    attempts = Attempt.objects.filter(job=job)
    outcomes = dict(attempts.values_list("status").annotate(n=Count("id")))
    valid = outcomes.get("valid", 0)
    report.line(
        f"  {job.items} items in {job.units_total} units of {job.unit_items}, {wall_s:.1f} s, carrier {carrier}"
    )
    report.line("  attempts: " + ", ".join(f"{n} {status}" for status, n in sorted(outcomes.items())))
    report.line(
        f"  replication: {valid} valid results for {job.units_accepted} units ({valid / max(1, job.units_accepted):.2f} each)"
    )
    report.check("every unit accepted", job.units_accepted == job.units_total)
    report.check("nothing judged wrong", outcomes.get("invalid", 0) == 0)


def vehicles(report: Report, job: InferenceJob) -> None:
    report.line(f"  {'vehicle':<16} {'owner':<12} {'units':>5} {'compute s':>10} {'Wh':>9}  energy by")
    for row in _by_vehicle(job):
        report.line("  " + row)
    for vehicle in Vehicle.objects.exclude(pk__in=UsageRecord.objects.filter(job=job).values("vehicle")):
        report.line(f"  {vehicle.label:<16} {vehicle.owner.name:<12} {0:>5}")


def _by_vehicle(job: InferenceJob) -> Iterator[str]:
    usage = UsageRecord.objects.filter(job=job).values("vehicle__label", "owner__name", "node").order_by("vehicle_id")
    for row in usage.annotate(units=Count("id"), ms=Sum("compute_ms"), mwh=Sum("energy_mwh")):
        method = (
            MeterRecord.objects.filter(node=row["node"]).order_by("-seq").values_list("energy_method", flat=True)[0]
        )
        yield (
            f"{row['vehicle__label']:<16} {row['owner__name']:<12} {row['units']:>5} {row['ms'] / 1000:>10.2f}"
            f" {row['mwh'] / 1000:>9.3f}  {'a counter (RAPL)' if method == 'rapl' else 'the class model'}"
        )


def money(report: Report, job: InferenceJob) -> None:
    report.line(f"  {'owner':<12} {'gross':>12} {'energy':>12} {'wear':>12} {'net':>12}")
    rated = RatedUsage.objects.filter(usage__job=job)
    for owner in Owner.objects.filter(pk__in=rated.values("usage__owner")).order_by("id"):
        sums = rated.filter(usage__owner=owner).aggregate(
            g=Sum("owner_micro"), e=Sum("energy_cost_nano"), w=Sum("wear_nano")
        )
        gross, energy, wear = sums["g"], *(round_half_even(sums[key], NANO_PER_MICRO) for key in ("e", "w"))
        amounts = [gross, energy, wear, gross - energy - wear]
        report.line(f"  {owner.name:<12} " + " ".join(f"{format_money(amount):>12}" for amount in amounts))
        report.check(f"{owner.name} is paid more than the work cost", amounts[3] > 0)
    order = JobOrder.objects.get(job=job)
    charged = rated.aggregate(n=Sum("charged_micro"))["n"] or 0
    report.line(
        f"  customer charged {format_money(order.charged_micro)}; estimate {format_money(order.estimate_low_micro)}"
        f" to {format_money(order.estimate_high_micro)}; held {format_money(order.held_micro)}"
    )
    report.check("charged = sum of rated usage", order.charged_micro == charged)
    report.check("never above the hold", order.charged_micro <= order.held_micro)
    report.check("order closed, rest of the hold returned", order.status == "closed")
    differences = ledger_checks.recompute()
    report.check("ledger recomputed, differences 0", not differences, "; ".join(map(str, differences[:3])))
    report.check("ledger sum 0", ledger_sum() == 0)
    signed = sum(map(_is_signed, UsageRecord.objects.filter(job=job).select_related("meter_record", "node")))
    report.check(
        "every paid amount is based on a meter record whose signature verifies",
        signed == rated.count(),
        f"{signed} records",
    )


def _is_signed(usage: UsageRecord) -> bool:
    """Return whether the stored bytes verify with the node's public key, as an auditor would check it."""
    record, key = bytes(usage.meter_record.record), bytes.fromhex(usage.node.public_key)
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(
            bytes(usage.meter_record.signature), protocol.signed_bytes(record)
        )
    except InvalidSignature:
        return False
    payload = protocol.unpack_meter(record)
    return payload.attempt == usage.attempt_id and usage.compute_ms <= payload.compute_ms


def ledger_sum() -> int:
    """Return debits minus credits of all transfers. It must be 0, since one row holds both sides."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE(sum(d.amount), 0) FROM ("
            " SELECT debit_id AS account, amount_micro AS amount FROM billing_ledgertransfer"
            " UNION ALL SELECT credit_id, -amount_micro FROM billing_ledgertransfer) d"
            " JOIN billing_ledgeraccount a ON a.id = d.account"
        )
        row = cursor.fetchone()
    return int(row[0]) if row else 0


def consent(report: Report, job: InferenceJob) -> None:
    attempts = Attempt.objects.filter(job=job)
    violations = selectors.consent_violations(job=job)
    records = attempts.values("consent_record").distinct().count()
    report.line(f"  {attempts.count()} attempts under {records} consent records")
    report.check("no attempt was leased without consent in force", violations == 0, f"{violations} violations")
