"""What becomes of a node that is suspended for its conflicts, by an operator: works again, stays suspended, or is retired.

Money is never moved: a record that was set aside stays unpaid for ever, and what was paid before stays paid.
"""

from accounts.access import audit
from accounts.mails import outbox
from accounts.models import User
from compute.models import MeterConflict, Node, NodeDecision, NodePresence
from compute.nodes import evidence as conflict_evidence
from compute.nodes import nodes
from core.db import atomic_retrying
from core.errors import Conflict, InvalidInput
from core.states import transition

Kind = NodeDecision.Kind
REASON_MIN, REASON_MAX = 10, 500
LIFTED = "suspension_lifted"
MAILS = {Kind.LIFT: "node-resumed", Kind.RETIRE: "node-ended"}


@atomic_retrying
def decide(*, node: Node, kind: str, reason: str, idempotency_key: str, actor: User) -> NodeDecision:
    """Decide about a suspended node's conflicts; the same key again returns the first decision.

    "lift": it may work again, from the newest record that we keep of it, with its trust at zero; its agent must find that record
    first. "keep": nothing changes, and the reason is in the trail. "retire": as nodes.retire. Its owner is told of the first and
    the last. Raises InvalidInput (`kind_unknown`, `reason_short`, `reason_too_long`) and Conflict: `node_not_suspended`,
    `no_conflict`, or `idempotency_conflict` for a key that was used for another decision.
    """
    kind, reason = _checked(kind, reason)
    if found := _earlier(node, kind, idempotency_key):
        return found
    _require_suspended(node)
    if kind == Kind.RETIRE:
        nodes.retire(node=node, why=nodes.CONFLICTED, actor=actor)  # takes its locks in its own order
    presence = NodePresence.objects.select_for_update(no_key=True).get(node=node)
    node = (
        Node.objects.select_for_update(no_key=True, of=["self"]).select_related("vehicle__owner__user").get(pk=node.pk)
    )
    if found := _earlier(node, kind, idempotency_key):  # the other of two at once
        return found
    if kind != Kind.RETIRE:
        _require_suspended(node)
    row = NodeDecision.objects.create(
        node=node,
        through=_newest(node),
        kind=kind,
        meter_seq=presence.meter_seq,
        meter_hash=presence.meter_hash,
        decided_by=actor,
        idempotency_key=idempotency_key,
    )
    if kind == Kind.LIFT:
        transition(node, Node.Status.ACTIVE, code=LIFTED)
        # Available again only by a sync: what it said while it was suspended offers nothing.
        NodePresence.objects.filter(node=node).update(resuming=True, available=False, reason="node_resuming")
    _tell(row, reason, actor)
    return row


def _checked(kind: str, reason: str) -> tuple[Kind, str]:
    reason = reason.strip()
    if kind not in Kind:
        raise InvalidInput("Decide to lift, to keep or to retire.", code="kind_unknown")
    if len(reason) < REASON_MIN:
        raise InvalidInput(f"Say why, in {REASON_MIN} characters or more: it stays in the trail.", code="reason_short")
    if len(reason) > REASON_MAX:
        raise InvalidInput(f"A reason has at most {REASON_MAX} characters.", code="reason_too_long")
    return Kind(kind), reason


def _earlier(node: Node, kind: Kind, key: str) -> NodeDecision | None:
    found = NodeDecision.objects.filter(idempotency_key=key).first()
    if found and (found.node_id, found.kind) != (node.pk, kind):
        raise Conflict("This key was used for another decision.", code="idempotency_conflict")
    return found


def _require_suspended(node: Node) -> None:
    status = Node.objects.values_list("status", flat=True).get(pk=node.pk)
    if status != Node.Status.SUSPENDED:
        raise Conflict(f"This computer is {status}, not suspended.", code="node_not_suspended")


def _newest(node: Node) -> MeterConflict:
    found = MeterConflict.objects.filter(node=node).order_by("-id").first()
    if found is None:
        raise Conflict("No records of this computer conflict.", code="no_conflict")
    return found


def _tell(row: NodeDecision, reason: str, actor: User) -> None:
    node, kind = row.node, Kind(row.kind)
    audit.record(
        actor=actor,
        action=conflict_evidence.DECIDED,
        subject=node.public_id,
        vehicle=str(node.vehicle.public_id),
        decision=kind,
        row=str(row.public_id),
        through=row.through_id,
        meter_seq=row.meter_seq,
        reason=reason,
    )
    if kind in MAILS:
        outbox.queue(
            user=node.vehicle.owner.user,
            kind=MAILS[kind],
            dedupe_key=f"{MAILS[kind]}:{row.public_id}",
            context={"vehicle": str(node.vehicle.public_id)},
        )
