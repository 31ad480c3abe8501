"""Nodes: enrolled with a one-time code and a key made on the vehicle; credentials for the link; the owner's rules."""

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
CODE_ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"  # nothing that is misread: no 0 O 1 I L
RETIRED_WHY = ("lost", "sold", "replaced")  # an owner's words
CONFLICTED = "meter_conflict"  # an operator's


class LinkUnavailable(DomainError):
    """The fast link is not running here: poll over HTTPS."""

    code = "link_unavailable"
    status = 503


@transaction.atomic
def create_enrolment_code(*, vehicle: Vehicle, actor: User | None) -> tuple[str, EnrolmentCode]:
    """A code of 12 characters (59 bits), shown once, that enrols one agent for this vehicle within half an hour."""
    if Node.objects.serving(vehicle) is not None:
        raise Conflict("This vehicle has an agent already.", code="already_enrolled")
    EnrolmentCode.objects.filter(vehicle=vehicle, used_at=None).update(expires_at=timezone.now())  # the newest counts
    text = "-".join("".join(secrets.choice(CODE_ALPHABET) for _ in range(4)) for _ in range(3))
    row = EnrolmentCode.objects.create(
        vehicle=vehicle, code_sha256=_digest(text), expires_at=timezone.now() + CODE_LIFETIME
    )
    audit.record(actor=actor, action="node.code", subject=vehicle.public_id)
    return text, row


@transaction.atomic
def enrol(*, request: protocol.Enrolment) -> Node:
    """Bind a key to the vehicle of a one-time code. The caller has checked that the request is signed with that key.

    The same code with the same key again returns the same node, so that a lost answer costs nothing.
    Raises InvalidInput `code_invalid`, Conflict `already_enrolled` or `key_in_use`.
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
    """Raises InvalidInput `malformed` when a stranger's words about a computer do not fit."""
    if not limits.hardware_fits(hardware) or "\0" in agent_version:
        raise InvalidInput("What the agent says of its computer is out of range.", code="malformed")


def create_node(
    *,
    vehicle: Vehicle,
    public_key: str,
    hardware: protocol.Hardware,
    agent_version: str,
    actor: User | None,
    method: str,
) -> Node:
    """The vehicle's new node, without trust, priced; its owner is told by mail. `method`: "code" or "pairing". In a transaction.

    Raises Conflict `already_enrolled`, `key_in_use`, or `vehicle_retired`.
    """
    # One computer at a time, and none for a car that is being sold: whoever is second sees what the first did.
    vehicle = (
        Vehicle.objects.select_for_update(no_key=True, of=["self"]).select_related("owner__user").get(pk=vehicle.pk)
    )
    if vehicle.retired_at is not None:
        raise Conflict("This vehicle is no longer here.", code="vehicle_retired")
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
    """End a node for good: its computer was lost, sold or replaced (`why` is one of RETIRED_WHY), or its records conflict
    (CONFLICTED, by an operator). Again changes nothing.

    In one transaction: its leases end, its connection is cut, enrolment codes of its vehicle are void. What it signed is kept
    with its key, so that the records can still be verified; the key can never enrol again. Consents are about the vehicle and
    stay. Raises InvalidInput for another word.
    """
    if why not in (*RETIRED_WHY, CONFLICTED):
        raise InvalidInput("Say what became of the computer: " + ", ".join(RETIRED_WHY) + ".", why=why)
    # In the order of a withdrawal: the consent (a dispatch that is leasing on it is waited for), presence, node, attempts.
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
        cursor.execute("SELECT pg_notify('driveway_link', 'node')")  # the link tells the agent, and cuts it off
    workers.wake("compute.dispatch_round")  # its units are open for others
    return node


def hardware_class(hardware: protocol.Hardware) -> HardwareClass:
    """The class of computers whose results compare with this one's; made on first sight."""
    provider, runtime = _provider(hardware), _runtime(hardware)
    slug = f"{provider}-{hardware.machine}-{hardware.isa}-ort{runtime}"[:80]
    found, _ = HardwareClass.objects.get_or_create(
        slug=slug,
        defaults={
            "title": class_title(hardware),
            "machine": hardware.machine[:32],
            "isa": hardware.isa[:32],
            "provider": hardware.provider[:48],
            "onnxruntime": runtime[:16],
        },
    )
    return found


def class_title(hardware: protocol.Hardware) -> str:
    """What people read of the class of such a computer."""
    title = f"{_provider(hardware).upper()} {hardware.machine} {hardware.isa}, onnxruntime {_runtime(hardware)}"
    return title[:120]


def _provider(hardware: protocol.Hardware) -> str:
    return hardware.provider.removesuffix("ExecutionProvider").lower()


def _runtime(hardware: protocol.Hardware) -> str:
    return ".".join(hardware.onnxruntime.split(".")[:3])


def describe(node_id: int, hardware: protocol.Hardware, agent_version: str) -> None:
    """Keep what an agent says of itself as it starts. A changed class begins its trust anew."""
    node = Node.objects.select_for_update().get(pk=node_id)
    now_class = hardware_class(hardware)
    if now_class.pk != node.hardware_class_id:
        node.hardware_class, node.valid_streak = now_class, 0
    node.cores, node.layers, node.agent_version = hardware.cores, list(hardware.layers), agent_version[:32]
    node.save(update_fields=["hardware_class", "valid_streak", "cores", "layers", "agent_version"])
    price_node(node=node)  # a class has its own draw


def price_node(*, node: Node) -> None:
    """What an hour of work costs this owner now (see compute.nodes.prices)."""
    prices.price_nodes(nodes=[node.pk])


def credentials(*, node: Node) -> protocol.Credentials:
    """A NATS user JWT for the node's own key and subjects. Raises ConsentRequired, LinkUnavailable."""
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
    """Raises ConsentRequired unless the node is active and its owner's consent to run jobs is in force now."""
    current = node.vehicle.consents.filter(purpose="run_jobs").first()
    if node.status != Node.Status.ACTIVE or current is None or not current.is_in_force:
        raise ConsentRequired("The owner has not consented to running jobs on this vehicle.")


def policy_of(vehicle_id: int) -> protocol.Policy:
    """The owner's rules as the agent evaluates them."""
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
