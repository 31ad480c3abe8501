"""Operators' decisions about nodes suspended for meter conflicts: lift the suspension, keep it, or retire the node.

No decision moves money: a conflicting record is never paid, and what was paid before stays paid.
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
    """Decide about all conflicts of a suspended node. The same key again returns the first decision.

    "lift": the node may work again with its trust at zero, after its agent has confirmed that its chain continues after
    our newest record. "keep": only the reason is recorded, in the audit trail. "retire": as nodes.retire. The owner
    gets a mail for "lift" and "retire".

    Raise InvalidInput `kind_unknown`, `reason_short` or `reason_too_long`, and Conflict `node_not_suspended`,
    `no_conflict`, or `idempotency_conflict` for a key that was used for another decision.
    """
    kind, reason = _validated(kind, reason)
    if earlier := _earlier(node, kind, idempotency_key):
        return earlier
    _require_suspended(node)
    if kind == Kind.RETIRE:
        nodes.retire(node=node, why=nodes.CONFLICT_CODE, actor=actor)  # before our locks: it locks the consent first
    presence = NodePresence.objects.select_for_update(no_key=True).get(node=node)
    node = (
        Node.objects.select_for_update(no_key=True, of=["self"]).select_related("vehicle__owner__user").get(pk=node.pk)
    )
    if earlier := _earlier(node, kind, idempotency_key):  # a second request may have waited for the lock of the first
        return earlier
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
        # The node becomes available again only by a new sync. What it reported while suspended does not count.
        NodePresence.objects.filter(node=node).update(resuming=True, available=False, reason="node_resuming")
    _announce(row, reason, actor)
    return row


def _validated(kind: str, reason: str) -> tuple[Kind, str]:
    reason = reason.strip()
    if kind not in Kind:
        raise InvalidInput("Choose to lift the suspension, to keep it, or to retire the computer.", code="kind_unknown")
    if len(reason) < REASON_MIN:
        raise InvalidInput(
            f"Give a reason of {REASON_MIN} characters or more. It is kept in the audit trail.", code="reason_short"
        )
    if len(reason) > REASON_MAX:
        raise InvalidInput(f"A reason has at most {REASON_MAX} characters.", code="reason_too_long")
    return Kind(kind), reason


def _earlier(node: Node, kind: Kind, key: str) -> NodeDecision | None:
    """Return the decision made with this key, or None. Raise Conflict if the key was used for another decision."""
    earlier = NodeDecision.objects.filter(idempotency_key=key).first()
    if earlier and (earlier.node_id, earlier.kind) != (node.pk, kind):
        raise Conflict("This key was used for another decision.", code="idempotency_conflict")
    return earlier


def _require_suspended(node: Node) -> None:
    status = Node.objects.values_list("status", flat=True).get(pk=node.pk)
    if status != Node.Status.SUSPENDED:
        raise Conflict(f"This computer is {status}, not suspended.", code="node_not_suspended")


def _newest(node: Node) -> MeterConflict:
    newest = MeterConflict.objects.filter(node=node).order_by("-id").first()
    if newest is None:
        raise Conflict("This computer has no conflicting records.", code="no_conflict")
    return newest


def _announce(row: NodeDecision, reason: str, actor: User) -> None:
    """Write the decision to the audit trail and queue the owner's mail."""
    node, kind = row.node, Kind(row.kind)
    audit.record(
        actor=actor,
        action=conflict_evidence.DECIDE_ACTION,
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
