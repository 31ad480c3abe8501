"""Plain functions that create rows as the site does, through its services where there is one."""

import hashlib
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from typing import Any

import httpx
import msgspec
import numpy as np
import safetensors.numpy
from asgiref.sync import async_to_sync
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.db import transaction
from django.utils import timezone

from accounts.api_keys import keys as api_keys
from accounts.consents import consents
from accounts.models import ApiKey, Organization, Owner, Scope, User, Vehicle
from accounts.owners import registration
from accounts.vehicles import vehicles
from billing.invoices import invoices
from billing.ledger import posting
from billing.models import (
    CardTopUp,
    ConnectedAccount,
    Dispute,
    EarningsDay,
    Invoice,
    JobOrder,
    Refund,
    SavedCard,
    Statement,
    StatementLine,
    StripeCommand,
    StripeCustomer,
    TopUp,
)
from billing.orders import settlement
from billing.rates import cards as rates
from billing.refunds import outcomes as refund_outcomes
from billing.refunds import refunds
from billing.stripe import customers as stripe_customers
from billing.topups import top_ups
from billing.wallet import wallets
from compute import blobs, protocol
from compute.agent.carriers.signing import sign_request
from compute.dispatch import dispatch
from compute.jobs import jobs
from compute.models import Attempt, HardwareClass, InferenceJob, InputFile, ModelArtifact, Node, WorkUnit
from compute.nodes import nodes, pairings
from compute.sync import sync
from tests.database import unguarded

PASSWORD = "correct horse battery"
_numbers = itertools.count(100_000)  # all of one length, so that names sort in the order of their creation


def number() -> int:
    """Return a new number. All have the same length."""
    return next(_numbers)


def make_user(email: str = "") -> User:
    """Create a user with the password PASSWORD."""
    return User.objects.create_user(email or f"user{number()}@example.com", PASSWORD)


def make_owner(email: str = "") -> Owner:
    """Create an owner."""
    user = make_user(email)
    return registration.register_owner(user=user, name=user.email.split("@")[0].title())


def make_organization(email: str = "", *, wallet_micro: int = 0) -> Organization:
    """Create a customer, with money in its wallet if `wallet_micro` is given."""
    user = make_user(email)
    organization = registration.register_organization(user=user, name=user.email.split("@")[0].title())
    if wallet_micro:
        top_up(organization, wallet_micro)
    return organization


def top_up(organization: Organization, amount_micro: int) -> None:
    """Put money into a customer's wallet."""
    wallets.top_up(
        organization=organization,
        amount_micro=amount_micro,
        method="manual",
        reference=f"test {number()}",
        idempotency_key=f"test-{number()}",
        actor=None,
    )


def make_card_lot(organization: Organization, amount_micro: int) -> TopUp:
    """Create a top-up that was paid by a saved card, only in our tables."""
    customer, _ = StripeCustomer.objects.get_or_create(organization=organization)
    card = SavedCard.objects.create(
        organization=organization,
        customer=customer,
        payment_method_id=f"pm_test_{number()}",
        brand="Visa",
        last4="4242",
        status="active",
    )
    lot = wallets.top_up(
        organization=organization,
        amount_micro=amount_micro,
        method="stripe",
        reference=f"pi_test_{number()}",
        idempotency_key=f"test-{number()}",
        actor=None,
    )
    command = StripeCommand.objects.create(kind="charge_saved_card", idempotency_key=f"test:{number()}", subject_id=0)
    StripeCommand.objects.filter(pk=command.pk).update(status="done", done_at=timezone.now())
    with unguarded():  # the rules would refuse it: this customer has not allowed automatic recharges
        CardTopUp.objects.create(
            organization=organization,
            customer=customer,
            command=command,
            amount_micro=amount_micro,
            origin="auto",
            currency=organization.currency,
            idempotency_key=f"test-{number()}",
            site_url="",
            status="paid",
            saved_card=card,
            payment_intent_id=lot.reference,
            top_up=lot,
        )
    return lot


def make_refund(organization: Organization, amount_micro: int, *, status: str = "", code: str = "") -> Refund:
    """Request a refund. With a status, record that Stripe answered it."""
    (refund,) = refunds.request(
        organization=organization, amount_micro=amount_micro, idempotency_key=f"test-{number()}", actor=None
    )
    if status:
        with transaction.atomic():
            row = refund_outcomes.lock_refund(refund)
            refund_outcomes.settle(row, stripe_id=f"re_test_{number()}", status=status, code=code)
    return refund


def make_refund_done(organization: Organization, amount_micro: int = 20_000_000) -> Refund:
    """Create a refund that Stripe has made, of a top-up of its own."""
    make_card_lot(organization, amount_micro)
    refund = make_refund(organization, amount_micro, status="succeeded")
    refund.refresh_from_db()
    return refund


def make_card_top_up(organization: Organization, amount_micro: int = 50_000_000) -> CardTopUp:
    """Request a top-up by card; nothing has been sent to Stripe yet."""
    return top_ups.start(
        organization=organization,
        amount_micro=amount_micro,
        idempotency_key=f"test-{number()}",
        site_url="http://testserver",
        actor=None,
    )


def make_paid_top_up(organization: Organization, amount_micro: int = 50_000_000) -> CardTopUp:
    """Create a top-up by card that is paid and in the wallet."""
    row = make_card_top_up(organization, amount_micro)
    row.payment_intent_id = f"pi_{row.pk}"
    row.save()
    with transaction.atomic():
        wallets.credit(row, row.payment_intent_id)
    return row


def make_invoice(organization: Organization) -> Invoice:
    """Create an invoice of everything that is on none yet.

    If that is nothing, the invoice is of one dollar that the platform gives back.
    """
    before = Invoice.objects.filter(organization=organization).count()
    settlement.settle_usage()
    if not invoices.close_due(until=timezone.now()):
        adjustment = posting.platform("adjustment", organization.currency)
        wallet = posting.wallet(organization)
        posting.post(
            [
                posting.Posting(
                    kind="correction",
                    debit=adjustment,
                    credit=wallet,
                    amount_micro=10**6,
                    idempotency_key=f"test:{number()}",
                )
            ]
        )
        invoices.close_due(until=timezone.now())
    return Invoice.objects.get(organization=organization, number=before + 1)


def make_statement(owner: Owner, *, lines: Sequence[dict[str, Any]] = (), **fields: Any) -> Statement:
    """Create a statement of the last month with these fields and lines only; nothing is posted."""
    end = timezone.now()
    zero = dict.fromkeys(
        (
            "opening_micro",
            "earned_micro",
            "corrected_micro",
            "other_micro",
            "paid_out_micro",
            "carried_micro",
            "energy_cost_nano",
            "wear_nano",
            "compute_ms",
            "energy_mwh",
            "attempts",
        ),
        0,
    )
    values = {
        "number": 1,
        "currency": owner.currency,
        "period_start_at": end - timedelta(days=30),
        "period_end_at": end,
        **zero,
        **fields,
    }
    statement = Statement.objects.create(owner=owner, **values)
    StatementLine.objects.bulk_create(StatementLine(statement=statement, **line) for line in lines)
    return statement


def make_earnings_day(vehicle: Vehicle, day: date, *, gross_micro: int, **fields: Any) -> EarningsDay:
    """Create a day of earnings as the settlement rolls it up, without the work behind it."""
    values = {"attempts": 1, "compute_ms": 60_000, "energy_mwh": 500, "energy_cost_nano": 0, "wear_nano": 0, **fields}
    return EarningsDay.objects.create(
        owner=vehicle.owner,
        vehicle=vehicle,
        currency=vehicle.owner.currency,
        day=day,
        gross_micro=gross_micro,
        **values,
    )


def make_connected_account(owner: Owner, *, path: Sequence[str] = ("onboarding",), **fields: Any) -> ConnectedAccount:
    """Create a payout account without Stripe. `path` lists the states that it went through."""
    command = StripeCommand.objects.create(kind="create_account", idempotency_key=f"account:{number()}", subject_id=0)
    account = ConnectedAccount.objects.create(
        owner=owner, command=command, country="DE", currency=owner.currency, stripe_id=f"acct_{number()}"
    )
    for status in path:
        ConnectedAccount.objects.filter(pk=account.pk).update(status=status)
    ConnectedAccount.objects.filter(pk=account.pk).update(checked_at=timezone.now(), **fields)
    account.refresh_from_db()
    return account


def make_saved_card(organization: Organization, *, last4: str = "4242", **fields: Any) -> SavedCard:
    """Create a saved card as Stripe's page leaves it, without Stripe. The first one is the default."""
    with transaction.atomic():
        customer, _ = stripe_customers.customer_of(organization)
    is_first = not organization.saved_cards.filter(status="active").exists()
    values = {"brand": "visa", "exp_month": 12, "exp_year": timezone.now().year + 3, "is_default": is_first, **fields}
    return SavedCard.objects.create(
        organization=organization,
        customer=customer,
        status="active",
        payment_method_id=f"pm_{number()}",
        last4=last4,
        **values,
    )


def make_key(organization: Organization, *, scopes: Sequence[str] | None = None) -> tuple[ApiKey, str]:
    """Create an API key. Return (row, secret text)."""
    return api_keys.create_api_key(
        organization=organization, name="test", scopes=list(scopes or Scope.values), expires_days=1, actor=None
    )


def make_vehicle(owner: Owner | None = None, *, consent: str = "given") -> Vehicle:
    """Create a vehicle. `consent` is "given", "refused" or "" for undecided."""
    owner = owner or make_owner()
    vehicle = vehicles.add_vehicle(
        owner=owner, label=f"Car {number()}", make_model="Test", vin=f"1DRVWAY00{number():08d}", actor=owner.user
    )
    if consent:
        decide(vehicle, consent)
    return vehicle


def decide(vehicle: Vehicle, decision: str, purpose: str = "run_jobs") -> Any:
    """Record the owner's decision about a purpose."""
    return consents.decide(vehicle=vehicle, purpose=purpose, decision=decision, actor=vehicle.owner.user, method="test")


HARDWARE = protocol.Hardware(
    machine="x86_64", isa="avx2", provider="CPUExecutionProvider", onnxruntime="1.31.1", cores=2, memory_bytes=2**33
)


@dataclass
class Car:
    """A node with the agent's key: it chains and signs meter records, and syncs through the service."""

    node: Node
    key: Ed25519PrivateKey
    seq: int = 0
    meter_seq: int = 0
    meter_hash: str = protocol.GENESIS_HASH
    reports: list[protocol.Report] = field(default_factory=list)

    @property
    def id(self) -> str:
        return str(self.node.public_id)

    def sync(self, *, carrier: str = "https", **fields: Any) -> protocol.SyncResponse:
        """Send one sync and return the response. `fields` replace the defaults: available, with capacity 2."""
        self.seq += 1
        values = {"node": self.id, "seq": self.seq, "available": True, "capacity": 2, "policy_version": 1, **fields}
        return sync.handle([protocol.SyncRequest(**values)], carrier=carrier)[0]

    def report(
        self,
        attempt: Attempt | protocol.Lease,
        *,
        result: bytes | None = None,
        outcome: str = "ok",
        code: str = "",
        compute_ms: int = 10,
        energy_mwh: int = 1,
        advance: bool = True,
        **payload_fields: Any,
    ) -> protocol.Report:
        """Return a signed report of an attempt.

        With `advance=False` the chain does not advance. `payload_fields` falsify the record.
        """
        row = attempt if isinstance(attempt, Attempt) else Attempt.objects.get(pk=attempt.attempt)
        data = result if result is not None else result_of(row.unit)
        seq, now = self.meter_seq + 1, int(timezone.now().timestamp() * 1000)
        values: dict[str, Any] = {
            "v": 1,
            "node": self.id,
            "seq": seq,
            "prev": self.meter_hash,
            "attempt": row.pk,
            "fence": row.fence,
            "model": row.job.artifact.sha256,
            "input": row.unit.input_sha256,
            "output": hashlib.sha256(data).hexdigest() if outcome == "ok" else "",
            "items": row.unit.items,
            "outcome": outcome,
            "started_unix_ms": now - compute_ms,
            "ended_unix_ms": now,
            "compute_ms": compute_ms,
            "compute_method": "cpu_time",
            "energy_mwh": energy_mwh,
            "energy_method": "model",
            "agent": "test",
            "layers": ("rlimits",),
            **payload_fields,
        }
        record = protocol.meter_bytes(protocol.MeterPayload(**values))
        if advance:
            self.meter_seq, self.meter_hash = seq, protocol.meter_hash(record)
        return protocol.Report(
            attempt=row.pk,
            fence=row.fence,
            outcome=outcome,
            code=code,
            record=record,
            signature=self.key.sign(protocol.signed_bytes(record)),
            result=data if outcome == "ok" else b"",
        )


def make_car(owner: Owner | None = None, *, consent: str = "given", hardware: protocol.Hardware = HARDWARE) -> Car:
    """Create a vehicle with a node, enrolled through the real service."""
    return make_node(make_vehicle(owner, consent=consent), hardware=hardware)


def make_node(vehicle: Vehicle, *, hardware: protocol.Hardware = HARDWARE) -> Car:
    """Enrol a node for an existing vehicle."""
    code, _ = nodes.create_enrolment_code(vehicle=vehicle, actor=vehicle.owner.user)
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw().hex()
    node = nodes.enrol(
        request=protocol.Enrolment(code=code, public_key=public, hardware=hardware, agent_version="test")
    )
    return Car(node, key)


def pairing_request(public_key: str, **hardware: Any) -> protocol.Pairing:
    """Return what an agent sends that wants to be paired."""
    changed_hardware = msgspec.structs.replace(HARDWARE, **hardware)
    return protocol.Pairing(public_key=public_key, hardware=changed_hardware, agent_version="test")


def make_pairing(key: Ed25519PrivateKey | None = None, **hardware: Any) -> pairings.ShownCode:
    """Create an agent that waits with a valid code."""
    public = (key or Ed25519PrivateKey.generate()).public_key().public_bytes_raw().hex()
    waiting = pairings.start(request=pairing_request(public, **hardware), address="127.0.0.1")
    assert isinstance(waiting, pairings.ShownCode)
    return waiting


def hardware_class() -> HardwareClass:
    """Return the hardware class of HARDWARE."""
    return nodes.hardware_class(HARDWARE)


def make_artifact(organization: Organization, *, us_per_item: int = 1000, **fields: Any) -> ModelArtifact:
    """Create an admitted model without a file: x float32 [n, 4] -> y float32 [n, 2]."""
    values: dict[str, Any] = {
        "name": "model",
        "sha256": hashlib.sha256(str(number()).encode()).hexdigest(),
        "size_bytes": 1,
        "status": "admitted",
        "inputs": [{"name": "x", "dtype": "float32", "shape": [None, 4]}],
        "outputs": [{"name": "y", "dtype": "float32", "shape": [None, 2]}],
        "us_per_item": us_per_item,
        "memory_bytes": 1_000_000,
        "batch": 8,
        **fields,
    }
    return ModelArtifact.objects.create(organization=organization, **values)


def make_input(organization: Organization, *, items: int = 8) -> InputFile:
    """Create an input with a real file in the blob store: float32 [items, 4] as safetensors."""
    array = np.arange(items * 4, dtype=np.float32).reshape(items, 4) + number()
    blob = blobs.put_bytes(safetensors.numpy.save({"x": array}))
    return InputFile.objects.create(
        organization=organization,
        sha256=blob.sha256,
        size_bytes=blob.size_bytes,
        format="safetensors",
        items=items,
        tensors={"x": {"dtype": "float32", "shape": [items, 4]}},
    )


def make_job(
    organization: Organization | None = None,
    *,
    items: int = 8,
    unit_items: int = 4,
    planned: bool = True,
    **fields: Any,
) -> InferenceJob:
    """Create a job without an order, planned into units unless `planned=False`. It pays 70,000 micro an hour."""
    organization = organization or make_organization()
    job = jobs.create_job(
        organization=organization,
        artifact=fields.pop("artifact", None) or make_artifact(organization),
        input_file=fields.pop("input_file", None) or make_input(organization, items=items),
        unit_items=unit_items,
        api_key=None,
        priority=0,
        pay_micro_per_hour=70_000,
        **fields,
    )
    if planned:
        jobs.plan_job(job_id=job.pk)
        job.refresh_from_db()
    return job


def make_ordered_job(organization: Organization, *, items: int = 8, unit_items: int = 4, **fields: Any) -> InferenceJob:
    """Order a job through billing: estimated, held, ordered, planned. The organization needs money."""
    from billing.orders import orders

    hardware_class()
    rates.default_rates()
    job = orders.order_job(
        organization=organization,
        artifact=make_artifact(organization),
        unit_items=unit_items,
        input_file=make_input(organization, items=items),
        **fields,
    )
    jobs.plan_job(job_id=job.pk)
    job.refresh_from_db()
    return job


def result_of(unit: WorkUnit, *, value: float = 1.0) -> bytes:
    """Return a result of the right shape for the model of make_artifact."""
    return safetensors.numpy.save({"y": np.full((unit.items, 2), value, dtype=np.float32)})


def lease_to(car: Car, job: InferenceJob | None = None) -> Attempt:
    """Lease one open unit of the job to this car and return the attempt. Other open units and cars are ignored."""
    job = job or make_job(items=4, unit_items=4)
    with transaction.atomic():  # so that presence and dispatch see the same now()
        car.sync(capacity=1)
        (attempt,) = lease(job, [car], limit=1)
    return attempt


def lease(job: InferenceJob, cars: Sequence[Car], *, limit: int | None = None) -> list[Attempt]:
    """Run a round of dispatch with only these cars and the open units of this job (the first `limit`).

    Return the attempts created. Units that an earlier round put off (`not_before_at`) are included.
    """
    WorkUnit.objects.filter(job=job, not_before_at__isnull=False).update(not_before_at=None)
    before = set(job.attempts.values_list("pk", flat=True))
    with transaction.atomic():
        nodes = {car.node.pk for car in cars}
        free = [offer for offer in dispatch.offers() if offer.node in nodes]
        if free:
            dispatch.lease([need for need in dispatch.needs(free) if need.job == job.pk][:limit], free)
    return list(job.attempts.exclude(pk__in=before).order_by("pk"))


def signed_request(
    key: Ed25519PrivateKey,
    keyid: str,
    method: str,
    path: str,
    *,
    body: bytes = b"",
    signed_body: bytes | None = None,
    **headers: str,
) -> dict[str, Any]:
    """Return arguments for `Client.generic`: a request as the agent signs it.

    `signed_body` falsifies what was signed.
    """
    request = httpx.Request(method, f"http://testserver{path}", content=body)
    sign_request(request, key=key, keyid=keyid, body=body if signed_body is None else signed_body)
    signature = {name: request.headers[name] for name in ("Content-Digest", "Signature", "Signature-Input")}
    return {
        "method": method,
        "path": path,
        "data": body,
        "content_type": protocol.CONTENT_TYPE,
        "headers": signature | {name.replace("_", "-"): value for name, value in headers.items()},
    }


def complete(job: InferenceJob, *, compute_ms: int = 10, energy_mwh: int = 1, cars: Sequence[Car] = ()) -> InferenceJob:
    """Run the job to its end on two cars of two owners, through sync, dispatch, verification and assembly."""
    from compute.dispatch import verification

    cars = cars or [make_car(), make_car()]
    for _ in range(job.units_total):
        with transaction.atomic():  # so that presence and dispatch see the same now()
            for car in cars:
                car.sync()
            lease(job, cars)
        for car in cars:
            leases = car.sync().leases
            used = {"compute_ms": compute_ms, "energy_mwh": energy_mwh}
            car.sync(reports=tuple(car.report(lease, result=ramp(lease), **used) for lease in leases))
        verification.verify()
    for car in cars:
        car.sync(available=False)
    jobs.finish_jobs()
    assert jobs.assemble_job(job_id=job.pk)
    job.refresh_from_db()
    return job


def ramp(lease: protocol.Lease) -> bytes:
    """Return a result in which every row shows its item's number, so that a wrong order is visible."""
    unit = Attempt.objects.get(pk=lease.attempt).unit
    rows = np.arange(unit.first_item, unit.first_item + unit.items, dtype=np.float32)
    return safetensors.numpy.save({"y": np.stack([rows, -rows], axis=1)})


def enrolment(code: str, public_key: str, **hardware: Any) -> protocol.Enrolment:
    """Return what an agent sends with a one-time code."""
    return protocol.Enrolment(
        code=code, public_key=public_key, hardware=msgspec.structs.replace(HARDWARE, **hardware), agent_version="test"
    )


def body_of(answer: Any) -> bytes:
    """Return the bytes of a response, also of one that streams asynchronously."""

    async def read() -> bytes:
        return b"".join([chunk async for chunk in answer])

    return async_to_sync(read)() if getattr(answer, "is_async", False) else b"".join(answer)


def make_charged_order(organization: Organization) -> JobOrder:
    """Create the order of a job that has ended and cost something."""
    job = make_ordered_job(organization, items=4)
    order = JobOrder.objects.get(job=job)
    jobs.cancel_job(job=job)
    JobOrder.objects.filter(pk=order.pk).update(charged_micro=order.held_micro)
    JobOrder.objects.filter(pk=order.pk).update(status="closed", closed_at=timezone.now())
    order.refresh_from_db()
    return order


def make_dispute(organization: Organization) -> Dispute:
    """Create a dispute of an order of its own, just opened."""
    order = make_charged_order(organization)
    user = organization.memberships.select_related("user").first()
    return Dispute.objects.create(
        organization=organization,
        order=order,
        opened_by=user.user if user else None,
        reason="The results are wrong.",
        claimed_micro=1,
        currency=organization.currency,
        idempotency_key=f"dispute-{number()}",
    )
