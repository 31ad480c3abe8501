"""Decisions about disputes. An upheld one is posted as corrections, paid for by the owners of the work or by Driveway.

One operator may reject a dispute. Granting money needs two: one proposes, another approves
(billing/wiring/approvals.py). A customer is credited in the accounts that had paid, wallet and promotional credit
(billing/orders/returned_charges.py). If the owners bear the cost, the credit comes out of revenue and each owner pays a part
back to revenue; if Driveway bears it, the credit is an expense of the account `adjustment`.
"""

from typing import Any

from django.db import transaction
from django.utils import timezone

from accounts.access import audit
from accounts.mails import outbox
from accounts.models import User
from billing.approvals import operators as money_operators
from billing.disputes import disputes
from billing.ledger import posting
from billing.ledger.posting import AccountName, Posting
from billing.models import Dispute, JobOrder, LedgerAccount, LedgerTransfer
from billing.orders import returned_charges
from core.errors import Conflict, InvalidInput
from core.states import transition

Kind = LedgerAccount.Kind
Status = Dispute.Status


def check(*, dispute: Dispute, granted_micro: int, bearer: str, decision: str) -> None:
    """Raise an error if the dispute cannot be upheld like this.

    Raises InvalidInput (`amount_invalid`, `bearer_invalid`, `decision_short`) and Conflict: `dispute_ended`, or
    `given_back` if less than the granted amount is left of the job's charge.
    """
    if dispute.status != Status.OPEN:
        raise Conflict("This dispute has ended.", code="dispute_ended")
    if not 0 < granted_micro <= dispute.claimed_micro:
        raise InvalidInput("Grant more than zero, and not more than was claimed.", code="amount_invalid")
    if dispute.order:
        _check_left(dispute.order, granted_micro)
    if bearer not in Dispute.Bearer.values or (dispute.owner_id and bearer != Dispute.Bearer.PLATFORM):
        raise InvalidInput(
            "Say who bears the cost: the owners of the work, or Driveway (always for an owner's dispute).",
            code="bearer_invalid",
        )
    _check_decision_text(decision)


@transaction.atomic
def uphold(*, dispute: Dispute, granted_micro: int, bearer: str, decision: str, actor: User) -> Dispute:
    """Grant an amount, post it, and return the dispute. Upholding it again in the same way changes nothing.

    Raises as `check`.
    """
    if dispute.order_id:
        returned_charges.lock_order(
            dispute.order_id
        )  # the order is locked before the dispute, as returned_charges.py requires
    row = disputes.lock_dispute(dispute)
    if (row.status, row.granted_micro, row.bearer) == (Status.UPHELD, granted_micro, bearer):
        return row
    check(dispute=row, granted_micro=granted_micro, bearer=bearer, decision=decision)
    promo_micro = returned_charges.returned_charges_of(row.order).promo_part(granted_micro) if row.order else 0
    _end(
        row,
        Status.UPHELD,
        decision,
        actor,
        granted_micro=granted_micro,
        granted_promo_micro=promo_micro,
        bearer=bearer,
    )
    posting.post([*disputes.release_postings(row), *_corrections(row)])
    return row


@transaction.atomic
def reject(*, dispute: Dispute, decision: str, actor: User) -> Dispute:
    """Grant nothing, release what was held, and return the dispute. `decision` is the reason that both sides read.

    Raises Forbidden if `actor` may not decide about money, InvalidInput (`decision_short`) and InvalidTransition.
    """
    money_operators.check(actor)
    _check_decision_text(decision)
    row = disputes.lock_dispute(dispute)
    if row.status == Status.REJECTED:
        return row
    _end(row, Status.REJECTED, decision, actor)
    posting.post(disputes.release_postings(row))
    return row


def _end(row: Dispute, status: str, decision: str, actor: User, **changes: Any) -> None:
    transition(row, status, decision=decision.strip(), decided_by=actor, decided_at=timezone.now(), **changes)
    audit.record(
        actor=actor,
        action=f"dispute.{status}",
        subject=row.public_id,
        granted_micro=row.granted_micro,
        currency=row.currency,
        bearer=row.bearer,
    )
    if row.opened_by:
        outbox.queue(
            user=row.opened_by,
            kind="dispute-decided",
            dedupe_key=f"dispute-decided:{row.pk}",
            context={
                "dispute": str(row.public_id),
                "upheld": status == Status.UPHELD,
                "granted_micro": row.granted_micro,
                "currency": row.currency,
                "decision": decision.strip(),
            },
        )


def _corrections(row: Dispute) -> list[Posting]:
    """Return the postings of an upheld dispute: the credit to customer or owner, and what owners pay back."""
    revenue, expense = (AccountName(kind=kind, currency=row.currency) for kind in (Kind.REVENUE, Kind.ADJUSTMENT))
    source = revenue if row.bearer == Dispute.Bearer.OWNER else expense
    moves = [(name, source, to, micro) for name, to, micro in _credits(row) if micro]
    if row.bearer == Dispute.Bearer.OWNER:
        moves += [
            (str(owner), AccountName(kind=Kind.PAYABLE, currency=row.currency, owner_id=owner), revenue, micro)
            for owner, micro in disputes.owner_parts(row, row.granted_micro).items()
        ]
    accounts = posting.accounts({place for _, debit, credit, _ in moves for place in (debit, credit)})
    return [
        Posting(
            kind=LedgerTransfer.Kind.CORRECTION,
            debit=accounts[debit],
            credit=accounts[credit],
            amount_micro=micro,
            idempotency_key=f"dispute:{row.public_id}:grant:{name}",
            meta={"dispute": str(row.public_id), "note": "Dispute upheld", **_about(row)},
        )
        for name, debit, credit, micro in moves
    ]


def _credits(row: Dispute) -> list[tuple[str, AccountName, int]]:
    """Return what is credited, as (name within the idempotency key, account, micro-units)."""
    if row.owner_id:
        owed = AccountName(kind=Kind.PAYABLE, currency=row.currency, owner_id=row.owner_id)
        return [("owed", owed, row.granted_micro)]
    wallet, promo = (
        AccountName(kind=kind, currency=row.currency, organization_id=row.organization_id)
        for kind in (Kind.WALLET, Kind.PROMO_WALLET)
    )
    return [
        ("wallet", wallet, row.granted_micro - row.granted_promo_micro),
        ("promo", promo, row.granted_promo_micro),
    ]


def _about(row: Dispute) -> dict[str, int]:
    return {"order": row.order_id} if row.order_id else {}


def _check_left(order: JobOrder, granted_micro: int) -> None:
    """Raise Conflict if less is left of the charge.

    Usage may have been voided, or another dispute of the job upheld, since this one was opened.
    """
    left_micro = returned_charges.returned_charges_of(order).left_micro
    if granted_micro > left_micro:
        raise Conflict(
            "Less than this amount is left of what the job was charged: the rest was given back already.",
            code="given_back",
            max_micro=left_micro,
        )


def _check_decision_text(decision: str) -> None:
    if not 10 <= len(decision.strip()) <= 2000:
        raise InvalidInput("Give a reason of 10 to 2,000 characters: both sides read it.", code="decision_short")
