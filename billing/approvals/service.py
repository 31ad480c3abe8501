"""Acts on money that need two operators: one proposes the act, another approves it, and approving does it.

The kinds of acts, and what approving each of them does, are in billing/wiring/approvals.py. A constraint of the
database refuses an approval by the operator who proposed the act (billing/models/approvals.py).
"""

from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.access import audit
from accounts.models import User
from billing.approvals import operators as money_operators
from billing.approvals.kinds import KINDS
from billing.models import Approval
from core.errors import Conflict, Forbidden, InvalidInput
from core.states import transition

Status = Approval.Status
REASON_MIN = 10


def propose(*, kind: str, params: dict[str, Any], reason: str, idempotency_key: str, actor: User) -> Approval:
    """Store a proposal, checked as far as it can be now, and return it. The same key again returns the first one.

    Raises Forbidden if `actor` may not decide about money, InvalidInput (`kind_unknown`, `reason_short`, and what the
    kind refuses in `params`), NotFound if the subject does not exist, and Conflict (`idempotency_conflict`) if the key
    was used for another proposal.
    """
    money_operators.check(actor)
    if kind not in KINDS:
        raise InvalidInput("There is no such kind of approval.", code="kind_unknown", kind=kind)
    if len(reason.strip()) < REASON_MIN:
        raise InvalidInput(
            "Give a reason of at least ten characters: it is kept in the audit trail.", code="reason_short"
        )
    clean = KINDS[kind].clean(params)
    try:
        with transaction.atomic():
            approval = Approval.objects.create(
                kind=kind,
                params=clean,
                summary=KINDS[kind].summary(clean)[:300],
                reason=reason.strip(),
                idempotency_key=idempotency_key,
                proposed_by=actor,
            )
            _audit(approval, "approval.proposed", actor)
            return approval
    except IntegrityError:  # the key exists already: a repeated request, or the key of another proposal
        first = Approval.objects.filter(idempotency_key=idempotency_key).first()
        if first is None:
            raise
    if (first.kind, first.params, first.proposed_by_id) != (kind, clean, actor.pk):
        raise Conflict("This key was used for another proposal.", code="idempotency_conflict")
    return first


@transaction.atomic
def approve(*, approval: Approval, actor: User, note: str = "") -> Approval:
    """Do what was proposed, in the transaction that marks it as done. Approving again changes nothing.

    Raises Forbidden if `actor` may not decide about money or (`second_operator`) is the proposer, InvalidTransition if
    the proposal was rejected or withdrawn, and whatever the act itself raises: nothing is done then, and the proposal
    still waits.
    """
    money_operators.check(actor)
    row = _locked(approval)
    if row.status == Status.DONE:
        return row
    if row.proposed_by_id == actor.pk:
        raise Forbidden("Another operator must approve what you proposed.", code="second_operator")
    transition(row, Status.DONE, decided_by=actor, decided_at=timezone.now(), decision_note=note[:500])
    KINDS[row.kind].do(row, actor)
    _audit(row, "approval.approved", actor, note=note)
    return row


@transaction.atomic
def reject(*, approval: Approval, actor: User, note: str) -> Approval:
    """Reject a proposal. Raises Forbidden (`second_operator` for its proposer) and InvalidTransition."""
    money_operators.check(actor)
    row = _locked(approval)
    if row.proposed_by_id == actor.pk:
        raise Forbidden("You proposed it: withdraw it instead.", code="second_operator")
    transition(row, Status.REJECTED, decided_by=actor, decided_at=timezone.now(), decision_note=note[:500])
    _audit(row, "approval.rejected", actor, note=note)
    return row


@transaction.atomic
def withdraw(*, approval: Approval, actor: User) -> Approval:
    """Withdraw a proposal as its proposer. Raises Forbidden (`not_yours`), InvalidTransition."""
    row = _locked(approval)
    if row.proposed_by_id != actor.pk:
        raise Forbidden("Only the operator who proposed it can withdraw it.", code="not_yours")
    transition(row, Status.WITHDRAWN, decided_at=timezone.now())
    _audit(row, "approval.withdrawn", actor)
    return row


def _locked(approval: Approval) -> Approval:
    return Approval.objects.select_for_update(of=("self",)).get(pk=approval.pk)


def _audit(approval: Approval, action: str, actor: User, **details: Any) -> None:
    audit.record(
        actor=actor, action=action, subject=approval.public_id, kind=approval.kind, summary=approval.summary, **details
    )
