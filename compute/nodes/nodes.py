"""Nodes: enrolment with a one-time code and a key made on the vehicle, retirement, NATS credentials, policies."""

import hashlib
import secrets
from datetime import timedelta
from typing import Any, cast

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models.functions import Greatest
from django.utils import timezone

from accounts.access import audit
from accounts.mails import outbox
from accounts.models import ConsentCurrent, OwnerPolicy, User, Vehicle
from compute import protocol
from compute.models import Attempt, AvailabilitySpan, EnrolmentCode, HardwareClass, Node, NodePresence
from compute.nats.jwt import user_jwt, user_public_from_ed25519
from compute.nats.trust import trust_chain
from compute.nodes import limits, prices
from core import workers
from core.db import atomic_retrying
from core.errors import Conflict, ConsentRequired, DomainError, InvalidInput
from core.states import transition

CODE_LIFETIME = timedelta(minutes=30)
CODE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # without characters that are easily misread: 0 O 1 I L
RETIREMENT_REASONS = ("lost", "sold", "replaced")  # reasons that an owner can give
CONFLICT_CODE = "meter_conflict"  # the reason of an operator


class LinkUnavailable(DomainError):
    """The NATS link is not available on this server. Use HTTPS instead."""

    code = "link_unavailable"
    status = 503


@transaction.atomic
def create_enrolment_code(*, vehicle: Vehicle, actor: User | None) -> tuple[str, EnrolmentCode]:
    """Create a code that enrols one agent for this vehicle within 30 minutes. Return (code, row).

    The code has 12 characters (59 bits); only its hash is stored. It replaces unused codes of the vehicle. Raise
    Conflict `already_enrolled`.
    """
    if Node.objects.serving(vehicle) is not None:
        raise Conflict("This vehicle has an agent already.", code="already_enrolled")
    EnrolmentCode.objects.filter(vehicle=vehicle, used_at=None).update(expires_at=timezone.now())  # only one is valid
    text = "-".join("".join(secrets.choice(CODE_ALPHABET) for _ in range(4)) for _ in range(3))
    row = EnrolmentCode.objects.create(
        vehicle=vehicle, code_sha256=_digest(text), expires_at=timezone.now() + CODE_LIFETIME
    )
    audit.record(actor=actor, action="node.code", subject=vehicle.public_id)
    return text, row


@transaction.atomic
def enrol(*, request: protocol.Enrolment) -> Node:
    """Bind a key to the vehicle of a one-time code and return the new node.

    The caller has verified that the request is signed with that key. The same code and key again return the same node,
    so that an agent can repeat the request when the answer was lost. Raise InvalidInput `malformed` or `code_invalid`,
    Conflict `already_enrolled`, `key_in_use` or `vehicle_retired`.
    """
    check_words(request.hardware, request.agent_version)
    code = (
        EnrolmentCode.objects.select_for_update(of=["self"])
        .select_related("vehicle")
        .filter(code_sha256=_digest(request.code.strip().upper()), vehicle__retired_at=None)
        .first()
    )
    if code is None:
        raise InvalidInput("This code is not valid.", code="code_invalid")
    existing = Node.objects.serving(code.vehicle)
    if existing:
        if existing.public_key == request.public_key:
            return existing
        raise Conflict("This vehicle has an agent already.", code="already_enrolled")
    if code.used_at or code.expires_at <= timezone.now():
        raise InvalidInput("This code has been used or is too old.", code="code_invalid")
    node = create_node(
        vehicle=code.vehicle,
        public_key=request.public_key,
        hardware=request.hardware,
        agent_version=request.agent_version,
        actor=None,
        method="code",
    )
    EnrolmentCode.objects.filter(pk=code.pk).update(used_at=timezone.now())
    return node


def check_words(hardware: protocol.Hardware, agent_version: str) -> None:
    """Raise InvalidInput `malformed` when an agent's description of its computer exceeds the limits."""
    if not limits.hardware_fits(hardware) or "\0" in agent_version:
        raise InvalidInput("The description of the computer is out of range.", code="malformed")


def create_node(
    *,
    vehicle: Vehicle,
    public_key: str,
    hardware: protocol.Hardware,
    agent_version: str,
    actor: User | None,
    method: str,
) -> Node:
    """Create the vehicle's node, priced and without trust, and queue a mail to the owner. Call in a transaction.

    `method` is "code" or "pairing". Raise Conflict `already_enrolled`, `key_in_use` or `vehicle_retired`.
    """
    # Locking the vehicle makes concurrent enrolments and a sale take turns, so that the second one sees the first.
    vehicle = (
        Vehicle.objects.select_for_update(no_key=True, of=["self"]).select_related("owner__user").get(pk=vehicle.pk)
    )
    if vehicle.retired_at is not None:
        raise Conflict("This vehicle has been retired.", code="vehicle_retired")
    if Node.objects.serving(vehicle) is not None:
        raise Conflict("This vehicle has an agent already.", code="already_enrolled")
    try:
        with transaction.atomic():
            node = Node.objects.create(
                vehicle=vehicle,
                hardware_class=hardware_class(hardware),
                public_key=public_key,
                cores=hardware.cores,
                layers=list(hardware.layers),
                agent_version=agent_version[:32],
            )
    except IntegrityError as error:
        raise Conflict("This key belongs to another node.", code="key_in_use") from error
    NodePresence.objects.create(node=node)
    price_node(node=node)
    Vehicle.objects.filter(pk=vehicle.pk).update(kind=hardware.kind)
    audit.record(
        actor=actor, action="node.enrol", subject=node.public_id, vehicle=str(vehicle.public_id), method=method
    )
    outbox.queue(
        user=vehicle.owner.user,
        kind="vehicle-paired",
        dedupe_key=f"vehicle-paired:{node.public_id}",
        context={"vehicle": str(vehicle.public_id), "hardware": node.hardware_class.title, "method": method},
    )
    return node


@atomic_retrying
def retire(*, node: Node, why: str, actor: User | None) -> Node:
    """Retire a node for good. Retiring it again changes nothing.

    `why` is one of RETIREMENT_REASONS (the computer was lost, sold or replaced) or CONFLICT_CODE (an operator retires
    it for meter conflicts). One transaction ends its leases, revokes its credentials and voids the enrolment codes of
    its vehicle. Its records are kept with its public key, so that they can be verified later; the key can never enrol
    again. Consents belong to the vehicle and stay. Raise InvalidInput for another `why`.
    """
    if why not in (*RETIREMENT_REASONS, CONFLICT_CODE):
        raise InvalidInput("Say what became of the computer: " + ", ".join(RETIREMENT_REASONS) + ".", why=why)
    # Locks in the order of a withdrawal: consent, presence, node, attempts. Locking the consent waits for a dispatch
    # that is about to lease work under it.
    list(ConsentCurrent.objects.select_for_update().filter(vehicle=node.vehicle_id, purpose="run_jobs"))
    NodePresence.objects.select_for_update(no_key=True).get(node=node)
    node = Node.objects.select_for_update(no_key=True, of=["self"]).select_related("vehicle").get(pk=node.pk)
    if node.status == Node.Status.RETIRED:
        return node
    now = timezone.now()
    transition(node, Node.Status.RETIRED, code=why, link_revoked_at=now)
    leased = Attempt.objects.filter(node=node, status=Attempt.Status.LEASED)
    leased.update(status=Attempt.Status.CANCELLED, status_code="node_retired", ended_at=now)
    NodePresence.objects.filter(node=node).update(available=False, reason="node_retired")
    AvailabilitySpan.objects.filter(node=node, ended_at=None).update(ended_at=Greatest("started_at", now))
    EnrolmentCode.objects.filter(vehicle=node.vehicle_id, used_at=None, expires_at__gt=now).update(expires_at=now)
    audit.record(
        actor=actor, action="node.retire", subject=node.public_id, vehicle=str(node.vehicle.public_id), why=why
    )
    with connection.cursor() as cursor:
        # The link sends the cancels to the agent and then cuts its connection.
        cursor.execute("SELECT pg_notify('driveway_link', 'node')")
    workers.wake("compute.dispatch_round")  # other nodes can get its units now
    return node


def hardware_class(hardware: protocol.Hardware) -> HardwareClass:
    """Return the class of computers with results comparable to this one's; create it for the first one."""
    provider, runtime = _provider(hardware), _runtime(hardware)
    slug = f"{provider}-{hardware.machine}-{hardware.isa}-ort{runtime}"[:80]
    row, _ = HardwareClass.objects.get_or_create(
        slug=slug,
        defaults={
            "title": class_title(hardware),
            "machine": hardware.machine[:32],
            "isa": hardware.isa[:32],
            "provider": hardware.provider[:48],
            "onnxruntime": runtime[:16],
        },
    )
    return row


def class_title(hardware: protocol.Hardware) -> str:
    """Return the name of the computer's class for people."""
    title = f"{_provider(hardware).upper()} {hardware.machine} {hardware.isa}, onnxruntime {_runtime(hardware)}"
    return title[:120]


def _provider(hardware: protocol.Hardware) -> str:
    return hardware.provider.removesuffix("ExecutionProvider").lower()


def _runtime(hardware: protocol.Hardware) -> str:
    return ".".join(hardware.onnxruntime.split(".")[:3])


def describe(node_id: int, hardware: protocol.Hardware, agent_version: str) -> None:
    """Store the description that an agent sends when it starts. A change of class sets its trust to zero."""
    node = Node.objects.select_for_update().get(pk=node_id)
    new_class = hardware_class(hardware)
    if new_class.pk != node.hardware_class_id:
        node.hardware_class, node.valid_streak = new_class, 0
    node.cores, node.layers, node.agent_version = hardware.cores, list(hardware.layers), agent_version[:32]
    node.save(update_fields=["hardware_class", "valid_streak", "cores", "layers", "agent_version"])
    price_node(node=node)  # the price depends on the power of the class


def price_node(*, node: Node) -> None:
    """Store what an hour of work on this node costs its owner now (see compute.nodes.prices)."""
    prices.price_nodes(nodes=[node.pk])


def credentials(*, node: Node) -> protocol.Credentials:
    """Issue a NATS user JWT for the node's own key and subjects. Raise ConsentRequired or LinkUnavailable."""
    require_consent(node=node)
    chain, name = trust_chain(), str(node.public_id)
    if chain is None or not settings.NATS_URL:
        raise LinkUnavailable
    expires_at = timezone.now() + timedelta(seconds=settings.NATS_USER_LIFETIME_S)
    token = user_jwt(
        account_seed=chain.account_seed,
        user_public=user_public_from_ed25519(bytes.fromhex(node.public_key)),
        name=name,
        expires_at=expires_at,
        publish=[protocol.sync_subject(name)],
        subscribe=[protocol.command_subject(name), f"{protocol.inbox_prefix(name)}.>"],
        max_payload=protocol.NATS_MAX_PAYLOAD_BYTES,
    )
    Node.objects.filter(pk=node.pk).update(link_expires_at=expires_at)
    return protocol.Credentials(
        jwt=token, urls=tuple(settings.NATS_PUBLIC_URLS), expires_unix_ms=int(expires_at.timestamp() * 1000)
    )


def require_consent(*, node: Node) -> None:
    """Raise ConsentRequired unless the node is active and its owner's consent to run jobs is in force now."""
    current = node.vehicle.consents.filter(purpose="run_jobs").first()
    if node.status != Node.Status.ACTIVE or current is None or not current.is_in_force:
        raise ConsentRequired("The owner has not consented to running jobs on this vehicle.")


def policy_of(vehicle_id: int) -> protocol.Policy:
    """Return the owner's rules in the form that the agent evaluates."""
    policy = OwnerPolicy.objects.select_related("vehicle__owner").get(vehicle_id=vehicle_id)
    paused = policy.paused_until_at
    return protocol.Policy(
        version=policy.version,
        time_zone=policy.time_zone or policy.vehicle.owner.time_zone,
        windows=_tuples(policy.windows),
        ready_by=_tuples(policy.ready_by),
        ready_by_percent=policy.ready_by_percent,
        ready_by_lead_minutes=policy.ready_by_lead_minutes,
        day_share_percent=policy.day_share_percent,
        plugged_in_only=policy.plugged_in_only,
        charge_stop_percent=policy.charge_stop_percent,
        charge_resume_percent=policy.charge_resume_percent,
        heat_stop_c=policy.heat_stop_c,
        heat_resume_c=policy.heat_resume_c,
        network=cast(Any, policy.network),
        data_cap_mb_per_month=policy.data_cap_mb_per_month,
        power_rule=cast(Any, policy.power_rule),
        price_limit_micro_per_kwh=policy.price_limit_micro_per_kwh,
        tariff_micro_per_kwh=policy.tariff_micro_per_kwh,
        tariff_windows=_tuples(policy.tariff_windows),
        pause=cast(Any, policy.pause),
        paused_until_unix_ms=int(paused.timestamp() * 1000) if paused else 0,
    )


def _tuples(rows: list[list[int]]) -> tuple[Any, ...]:
    return tuple(tuple(row) for row in rows)


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode()).hexdigest()
