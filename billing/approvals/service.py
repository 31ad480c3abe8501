"""Acts on money that need two operators: one proposes, another approves, and only then is it done.

What can be proposed, and what approving it does, is in billing/wiring/approvals.py. The database refuses an approval by the one who
proposed (billing/models/approvals.py).
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
    """Write down what shall be done, checked as far as it can be now. The same key again returns the first.

    Raises Forbidden for who does not decide about money, InvalidInput (`kind_unknown`, `reason_short`, and what the kind finds
    wrong with `params`), NotFound for a subject that does not exist, and Conflict (`idempotency_conflict`) when the key was
    used for something else.
    """
    money_operators.check(actor)
    if kind not in KINDS:
        raise InvalidInput("There is no such act.", code="kind_unknown", kind=kind)
    if len(reason.strip()) < REASON_MIN:
        raise InvalidInput("Say why, in ten characters or more: it stays in the trail.", code="reason_short")
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
    except IntegrityError:
        first = Approval.objects.filter(idempotency_key=idempotency_key).first()
        if first is None:
            raise
    if (first.kind, first.params, first.proposed_by_id) != (kind, clean, actor.pk):
        raise Conflict("This key was used for another proposal.", code="idempotency_conflict")
    return first


@transaction.atomic
def approve(*, approval: Approval, actor: User, note: str = "") -> Approval:
    """Do what was proposed, in the transaction that marks it as done. An approval that is done already stays as it is.

    Raises Forbidden for who does not decide about money and (`second_operator`) for the one who proposed, Conflict when it was
    rejected or withdrawn, and whatever the act raises: then nothing is done and it still waits.
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
    """A second operator's no. Raises Forbidden (`second_operator`), InvalidTransition."""
    money_operators.check(actor)
    row = _locked(approval)
    if row.proposed_by_id == actor.pk:
        raise Forbidden("You proposed it: withdraw it instead.", code="second_operator")
    transition(row, Status.REJECTED, decided_by=actor, decided_at=timezone.now(), decision_note=note[:500])
    _audit(row, "approval.rejected", actor, note=note)
    return row


@transaction.atomic
def withdraw(*, approval: Approval, actor: User) -> Approval:
    """The proposer takes it back. Raises Forbidden (`not_yours`), InvalidTransition."""
    row = _locked(approval)
    if row.proposed_by_id != actor.pk:
        raise Forbidden("Only who proposed it can withdraw it.", code="not_yours")
    transition(row, Status.WITHDRAWN, decided_at=timezone.now())
    _audit(row, "approval.withdrawn", actor)
    return row


def _locked(approval: Approval) -> Approval:
    return Approval.objects.select_for_update(of=("self",)).get(pk=approval.pk)


def _audit(approval: Approval, action: str, actor: User, **details: Any) -> None:
    audit.record(
        actor=actor, action=action, subject=approval.public_id, kind=approval.kind, summary=approval.summary, **details
    )
