"""Helpers that make rows with the ORM: customers, owners, cars, jobs and usage, without running any work."""

import hashlib
import itertools
from dataclasses import dataclass
from datetime import timedelta

from django.utils import timezone

from accounts.consents import consents
from accounts.models import Organization, Owner, OwnerPolicy, User, Vehicle
from billing.chargebacks import sweep as disputed_payments
from billing.ledger import posting
from billing.ledger.posting import AccountName, Posting
from billing.models import JobOrder, LedgerAccount, PromoCredit, RateCard
from billing.orders.orders import order_job
from billing.payouts import reversals
from billing.refunds import outcomes as refund_outcomes
from billing.wallet import wallets
from compute.models import (
    Attempt,
    HardwareClass,
    InferenceJob,
    InputFile,
    MeterRecord,
    ModelArtifact,
    Node,
    NodePresence,
    UsageRecord,
    WorkUnit,
)
from tests.database import sqlstate_of

__all__ = ["sqlstate_of"]
HOUR_MS = 3_600_000
_numbers = itertools.count(100_000)  # all of one length, so that names sort in the order in which they were made


def number() -> int:
    return next(_numbers)


def digest(*words: object) -> str:
    return hashlib.sha256(repr(words).encode()).hexdigest()


def make_organization(*, currency: str = "USD", top_up_micro: int = 0) -> Organization:
    organization = Organization.objects.create(name=f"Customer {number()}", currency=currency)
    if top_up_micro:
        top_up(organization, top_up_micro)
    return organization


def top_up(organization: Organization, amount_micro: int, key: str = "") -> None:
    key = key or f"test-{number()}"
    wallets.top_up(
        organization=organization,
        amount_micro=amount_micro,
        method="manual",
        reference=f"bank {organization.pk} {key}",
        idempotency_key=key,
        actor=None,
    )


def give_credit(organization: Organization, amount_micro: int) -> None:
    """Post promotional credit and write its row."""
    kinds = LedgerAccount.Kind
    promotion = AccountName(kind=kinds.PROMOTION, currency=organization.currency)
    wallet = AccountName(kind=kinds.PROMO_WALLET, currency=organization.currency, organization_id=organization.pk)
    accounts = posting.accounts([promotion, wallet])
    key = f"{number()}"
    (transfer,) = posting.post(
        [
            Posting(
                kind="promo",
                debit=accounts[promotion],
                credit=accounts[wallet],
                amount_micro=amount_micro,
                idempotency_key=f"promo:{organization.pk}:{key}",
            )
        ]
    ).transfers
    PromoCredit.objects.create(
        organization=organization,
        amount_micro=amount_micro,
        currency=organization.currency,
        reason="a test",
        idempotency_key=key,
        transfer=transfer,
    )


def balance(organization: Organization, kind: str) -> int:
    """Return the balance of one of the organization's accounts; 0 if it does not exist yet."""
    account = LedgerAccount.objects.filter(organization=organization, kind=kind).first()
    return account.balance_micro if account else 0


def make_class(*, slowness_permille: int = 1000, **fields: object) -> HardwareClass:
    return HardwareClass.objects.create(
        slug=f"class-{number()}",
        title="A class",
        machine="x86_64",
        isa="avx2",
        provider="CPUExecutionProvider",
        onnxruntime="1.31.0",
        slowness_permille=slowness_permille,
        **fields,
    )


def make_card(hardware_class: HardwareClass, *, price: int = 100_000, share: int = 700, **fields: object) -> RateCard:
    fields.setdefault("valid_from_at", timezone.now() - timedelta(days=1))
    return RateCard.objects.create(
        hardware_class=hardware_class, price_micro_per_hour=price, owner_share_permille=share, **fields
    )


def make_node(hardware_class: HardwareClass, *, tariff: int = 180_000, wear: int = 60_000) -> Node:
    """Make an owner with one vehicle, its consent to run jobs, and an active node."""
    user = User.objects.create(email=f"owner{number()}@example.com")
    owner = Owner.objects.create(user=user, name=f"Owner {number()}")
    return add_node(owner, hardware_class, tariff=tariff, wear=wear)


def add_node(owner: Owner, hardware_class: HardwareClass, *, tariff: int = 180_000, wear: int = 60_000) -> Node:
    vehicle = Vehicle.objects.create(owner=owner, label=f"Car {number()}", vin_hash=digest(number()), vin_last4="0000")
    OwnerPolicy.objects.create(vehicle=vehicle, tariff_micro_per_kwh=tariff, wear_micro_per_kwh=wear)
    consents.decide(vehicle=vehicle, purpose="run_jobs", decision="given", actor=owner.user, method="test")
    node = Node.objects.create(vehicle=vehicle, hardware_class=hardware_class, public_key=digest("key", number()))
    NodePresence.objects.create(node=node)
    return node


def make_artifact(organization: Organization, *, us_per_item: int = 1_000_000) -> ModelArtifact:
    return ModelArtifact.objects.create(
        organization=organization,
        name="model",
        sha256=digest(number()),
        size_bytes=1,
        status=ModelArtifact.Status.ADMITTED,
        inputs=[{"name": "x", "dtype": "float32", "shape": [None, 4]}],
        us_per_item=us_per_item,
    )


def make_input(organization: Organization, *, items: int = 3600) -> InputFile:
    return InputFile.objects.create(
        organization=organization,
        sha256=digest(number()),
        size_bytes=16 * items,
        format="npy",
        tensors={"": {"dtype": "float32", "shape": [items, 4]}},
        items=items,
    )


def make_job(organization: Organization, *, items: int = 3600) -> InferenceJob:
    """Make a job without an order."""
    return InferenceJob.objects.create(
        organization=organization,
        artifact=make_artifact(organization),
        input_file=make_input(organization, items=items),
        items=items,
        unit_items=items,
    )


def order(organization: Organization, *, items: int = 3600, us_per_item: int = 1_000_000, **fields: object) -> JobOrder:
    """Order a job and return its order: by default 3,600 items of a second each in one unit, which is an hour of
    compute and costs 0.10 at the market's price.
    """
    fields.setdefault("unit_items", items)
    job = order_job(
        organization=organization,
        artifact=make_artifact(organization, us_per_item=us_per_item),
        input_file=make_input(organization, items=items),
        **fields,
    )
    return job.order


def make_attempt(job: InferenceJob, node: Node, *, unit: WorkUnit | None = None) -> Attempt:
    """Make a leased attempt, of a new unit unless one is given."""
    if unit is None:
        index = WorkUnit.objects.filter(job=job).count()
        unit = WorkUnit.objects.create(
            job=job, index=index, first_item=index, items=1, input_sha256="0" * 64, input_bytes=1
        )
    return Attempt.objects.create(
        unit=unit,
        job=job,
        node=node,
        vehicle=node.vehicle,
        owner=node.vehicle.owner,
        consent_record=node.vehicle.consents.get(purpose="run_jobs").record,
        fence=unit.attempts.count() + 1,
        expires_at=timezone.now() + timedelta(seconds=15),
    )


def make_usage(
    job: InferenceJob,
    node: Node,
    *,
    compute_ms: int = HOUR_MS,
    energy_mwh: int = 0,
    copy_of: UsageRecord | None = None,
) -> UsageRecord:
    """Make a valid attempt and its unsettled usage record: canonical, or a copy that checks another (`copy_of`)."""
    attempt = make_attempt(job, node, unit=copy_of.attempt.unit if copy_of else None)
    for status in (Attempt.Status.REPORTED, Attempt.Status.VALID):
        Attempt.objects.filter(pk=attempt.pk).update(status=status)
    node.refresh_from_db()
    body = repr((node.pk, node.presence.meter_seq)).encode()
    record = MeterRecord.objects.create(
        node=node,
        attempt=attempt,
        seq=node.presence.meter_seq + 1,
        prev_hash=node.presence.meter_hash,
        hash=hashlib.sha256(body).hexdigest(),
        record=body,
        signature=b"",
        outcome="ok",
        compute_ms=compute_ms,
        energy_mwh=energy_mwh,
        energy_method="model",
    )
    NodePresence.objects.filter(pk=node.pk).update(meter_seq=record.seq, meter_hash=record.hash)
    return UsageRecord.objects.create(
        attempt=attempt,
        meter_record=record,
        job=job,
        organization=job.organization,
        owner=node.vehicle.owner,
        vehicle=node.vehicle,
        node=node,
        hardware_class=node.hardware_class,
        is_canonical=copy_of is None,
        items=1,
        compute_ms=compute_ms,
        energy_mwh=energy_mwh,
    )


def end_job(job: InferenceJob, status: str = "cancelled") -> None:
    path = {"cancelled": ["cancelled"], "failed": ["failed"], "completed": ["running", "assembling", "completed"]}
    for step in path[status]:
        InferenceJob.objects.filter(pk=job.pk).update(status=step)


@dataclass
class Market:
    """A hardware class at 0.10 an hour (energy included), two owners with a car each, and a customer with 10.00."""

    hardware_class: HardwareClass
    card: RateCard
    nodes: list[Node]
    organization: Organization


def make_market(*, price: int = 100_000, share: int = 700, top_up_micro: int = 10_000_000, **card: object) -> Market:
    hardware_class = make_class()
    return Market(
        hardware_class=hardware_class,
        card=make_card(hardware_class, price=price, share=share, **card),
        nodes=[make_node(hardware_class), make_node(hardware_class)],
        organization=make_organization(top_up_micro=top_up_micro),
    )


def sweep_money() -> int:
    """Run the sweeps that `billing.sweep_stripe` runs after listing events and movements.

    Return how many objects they saw.
    """
    return refund_outcomes.sweep() + reversals.sweep() + disputed_payments.sweep()
