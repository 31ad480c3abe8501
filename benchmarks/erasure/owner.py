"""A made-up owner with every kind of data that the site can hold about one, created by the site's own services.

The car's agent is simulated here: it enrols with a key of its own, computes a real result and signs what it metered.
"""

import hashlib
import io
import secrets
from dataclasses import dataclass, field

import numpy as np
import safetensors.numpy
from allauth.account.models import EmailAddress
from allauth.mfa.models import Authenticator
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from django.contrib.sessions.backends.db import SessionStore
from django.utils import timezone
from onnx import TensorProto, helper, numpy_helper

from accounts.access import audit
from accounts.access import trail as access
from accounts.consents import consents
from accounts.mails import outbox
from accounts.models import AccessEvent, DataExport, Owner, Purpose, User, Vehicle
from accounts.owners import exports, registration
from accounts.vehicles import vehicles
from billing.models import LedgerAccount
from billing.orders import orders, settlement
from billing.rates import cards as rates
from billing.wallet import wallets
from compute import protocol
from compute.artifacts import artifacts
from compute.dispatch import dispatch, verification
from compute.jobs import jobs
from compute.models import Attempt, InferenceJob, Node, UsageRecord
from compute.nodes import nodes
from compute.sync import sync
from core.money import MICRO
from marketplace.privacy import archive

HARDWARE = protocol.Hardware(
    machine="x86_64", isa="avx2", provider="CPUExecutionProvider", onnxruntime="1.31.1", cores=2, memory_bytes=2**33
)
ITEMS, WIDTH, LAYERS = 400, 1024, 24
VIN_LETTERS = "ABCDEFGHJKLMNPRSTUVWXYZ0123456789"


@dataclass
class Car:
    """A node with the key of its agent."""

    node: Node
    key: Ed25519PrivateKey
    seq: int = 0

    def sync(self, **fields: object) -> protocol.SyncResponse:
        """Send one sync request to the service and return the response.

        `fields` replace those of an idle, available car.
        """
        self.seq += 1
        fields = {"available": True, "capacity": 1, **fields}
        request = protocol.SyncRequest(node=str(self.node.public_id), seq=self.seq, **fields)  # type: ignore[arg-type]
        return sync.handle([request], carrier="https")[0]

    def report(self, lease: protocol.Lease, result: bytes) -> protocol.Report:
        """Return a signed report of a lease."""
        now = int(timezone.now().timestamp() * 1000)
        record = protocol.meter_bytes(
            protocol.MeterPayload(
                v=1,
                node=str(self.node.public_id),
                seq=1,
                prev=protocol.GENESIS_HASH,
                attempt=lease.attempt,
                fence=lease.fence,
                model=lease.model_sha256,
                input=lease.input_sha256,
                output=hashlib.sha256(result).hexdigest(),
                items=lease.items,
                outcome="ok",
                started_unix_ms=now - 5000,
                ended_unix_ms=now,
                compute_ms=5000,
                compute_method="cpu_time",
                energy_mwh=20,
                energy_method="model",
                agent="benchmark",
                layers=(),
            )
        )
        signature = self.key.sign(protocol.signed_bytes(record))
        return protocol.Report(
            attempt=lease.attempt, fence=lease.fence, outcome="ok", record=record, signature=signature, result=result
        )


@dataclass
class Throwaway:
    """The made-up owner, their export, and what is looked for."""

    owner: Owner
    export: DataExport
    vins: list[str] = field(default_factory=list)
    units: int = 0
    paid_micro: int = 0

    @property
    def user(self) -> User:
        return self.owner.user


def make(*, tag: str) -> Throwaway:
    """Create an owner with two cars, one of which has done paid work.

    `tag` makes the address and the name unique, so that a search for them can find nobody else.
    """
    owner = _owner(f"quillfeather.{tag}@example.org", f"Zenobia Quillfeather-{tag}")
    vins = [_vin(), _vin()]
    cars = [_car(owner, "Zenobia's van", vin) for vin in vins]
    # A result is verified by a second car of another owner.
    _work([cars[0], _car(_owner(f"companion.{tag}@example.org", f"Companion {tag}"), "A second car", _vin())], tag)
    _trails(owner)
    export = exports.request(owner=owner, actor=owner.user)
    archive.build(export_id=export.pk)
    paid = LedgerAccount.objects.get(owner=owner).balance_micro
    return Throwaway(owner, export, vins, UsageRecord.objects.filter(owner=owner).count(), paid)


def _owner(email: str, name: str) -> Owner:
    user = User.objects.create_user(email, secrets.token_urlsafe(16), name=name)
    EmailAddress.objects.create(user=user, email=email, verified=True, primary=True)
    return registration.register_owner(user=user, name=name)


def _car(owner: Owner, label: str, vin: str) -> Car:
    vehicle = vehicles.add_vehicle(owner=owner, label=label, make_model="Edsel", vin=vin, actor=owner.user)
    code, _ = nodes.create_enrolment_code(vehicle=vehicle, actor=owner.user)
    key = Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw().hex()
    enrolment = protocol.Enrolment(code=code, public_key=public, hardware=HARDWARE, agent_version="benchmark")
    node = nodes.enrol(request=enrolment)
    for purpose in (Purpose.RUN_JOBS, Purpose.AVAILABILITY, Purpose.REGION):
        consents.decide(vehicle=vehicle, purpose=purpose, decision="given", actor=owner.user, method="portal")
    Vehicle.objects.filter(pk=vehicle.pk).update(region="US-CA")
    return Car(node, key)


def _work(cars: list[Car], tag: str) -> None:
    """Let a customer order a job; both cars compute it, the results are verified against each other, and it is paid."""
    rates.default_rates()
    _job(tag)
    for car in cars:
        car.sync()
    dispatch.dispatch()
    for car in cars:
        for lease in car.sync().leases:
            car.sync(reports=(car.report(lease, _result(lease)),))
    verification.verify()
    settlement.settle_usage()
    for car in cars:
        car.sync(available=False)
    jobs.finish_jobs()


def _job(tag: str) -> InferenceJob:
    user = User.objects.create_user(f"customer.{tag}@example.org", secrets.token_urlsafe(16))
    customer = registration.register_organization(user=user, name=f"Customer {tag}")
    wallets.top_up(
        organization=customer,
        amount_micro=MICRO,
        method="manual",
        reference=f"made up {tag}",
        idempotency_key=tag,
        actor=None,
    )
    artifact, _ = artifacts.upload_model(organization=customer, name="made up", stream=io.BytesIO(_model()))
    artifacts.admit_model(artifact_id=artifact.pk)
    artifact.refresh_from_db()
    rows = safetensors.numpy.save({"x": np.ones((ITEMS, 4), dtype=np.float32)})
    input_file, _ = artifacts.upload_input(organization=customer, file_format="safetensors", stream=io.BytesIO(rows))
    job = orders.order_job(organization=customer, artifact=artifact, input_file=input_file, unit_items=ITEMS)
    jobs.plan_job(job_id=job.pk)
    return job


def _model() -> bytes:
    """Return an ONNX model, x [n, 4] -> y [n, 2].

    It has enough arithmetic that a unit earns at least one micro-unit.
    """
    weights = {
        "first": np.full((4, WIDTH), 0.5, dtype=np.float32),
        "middle": np.eye(WIDTH, dtype=np.float32),
        "last": np.full((WIDTH, 2), 1 / WIDTH, dtype=np.float32),
    }
    names = ["x", *(f"h{n}" for n in range(LAYERS + 1)), "y"]
    kinds = ["first", *["middle"] * LAYERS, "last"]
    steps = [helper.make_node("MatMul", [names[n], kind], [names[n + 1]]) for n, kind in enumerate(kinds)]
    graph = helper.make_graph(
        steps,
        "made_up",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(model.SerializeToString())


def _result(lease: protocol.Lease) -> bytes:
    """Return the model's result for rows of ones."""
    items = Attempt.objects.select_related("unit").get(pk=lease.attempt).unit.items
    return bytes(safetensors.numpy.save({"y": np.full((items, 2), 2.0, dtype=np.float32)}))


def _trails(owner: Owner) -> None:
    """Create what collects around an owner: a second factor, a session, mails, reads by staff and their notes."""
    user = owner.user
    Authenticator.objects.create(user=user, type="totp", data={"secret": secrets.token_hex(8)})
    session = SessionStore()
    session["_auth_user_id"], session["account_authentication_methods"] = str(user.pk), [{"email": user.email}]
    session.save()
    outbox.queue(user=user, kind="news", dedupe_key=f"news:{user.pk}", context={"name": owner.name})
    access.record(
        looked_at=[(owner.pk, None)],
        actor=None,
        kind=AccessEvent.Kind.STAFF_READ,
        what="owners: page",
        reason=f"Support: {owner.name} wrote from {user.email}",
    )
    audit.record(actor=None, action="owner.note", subject=owner.public_id, words=f"{owner.name}, {user.email}")


def _vin() -> str:
    return "".join(secrets.choice(VIN_LETTERS) for _ in range(17))
