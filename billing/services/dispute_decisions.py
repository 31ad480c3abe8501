"""Deciding a dispute: what is granted becomes corrections on the ledger, borne by the owners of the work or by Driveway.

Rejecting is one operator's; granting money is proposed by one and approved by another (approval_kinds.py).
"""

from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from accounts.models import User
from accounts.services import audit, mails
from billing.models import Dispute, LedgerAccount, LedgerTransfer
from billing.services import disputes, ledger, money_operators
from billing.services.ledger import Place, Posting
from marketplace.core.errors import Conflict, InvalidInput
from marketplace.core.states import transition

Kind = LedgerAccount.Kind
Status = Dispute.Status

SHARES = """
SELECT u.owner_id, sum(r.owner_micro)::bigint FROM billing_ratedusage r
  JOIN compute_usagerecord u ON u.id = r.usage_id
  JOIN billing_ledgertransfer t ON t.id = r.owner_transfer_id AND t.kind = 'share'
 WHERE r.order_id = %s GROUP BY u.owner_id ORDER BY u.owner_id
"""


def check(*, dispute: Dispute, granted_micro: int, bearer: str, decision: str) -> None:
    """Raises InvalidInput (`amount_invalid`, `bearer_invalid`, `decision_short`) and Conflict (`dispute_ended`)."""
    if dispute.status != Status.OPEN:
        raise Conflict("This dispute has ended.", code="dispute_ended")
    if not 0 < granted_micro <= dispute.claimed_micro:
        raise InvalidInput("Grant more than zero, and not more than is claimed.", code="amount_invalid")
    if bearer not in Dispute.Bearer.values or (dispute.owner_id and bearer != Dispute.Bearer.PLATFORM):
        raise InvalidInput("Who bears it: the owners of the work, or Driveway.", code="bearer_invalid")
    _check_words(decision)


@transaction.atomic
def uphold(*, dispute: Dispute, granted_micro: int, bearer: str, decision: str, actor: User) -> Dispute:
    """Grant an amount. Again, for a dispute that was upheld like that, changes nothing. Raises as check."""
    row = disputes.locked(dispute)
    if (row.status, row.granted_micro, row.bearer) == (Status.UPHELD, granted_micro, bearer):
        return row
    check(dispute=row, granted_micro=granted_micro, bearer=bearer, decision=decision)
    _end(row, Status.UPHELD, decision, actor, granted_micro=granted_micro, bearer=bearer)
    ledger.post([*disputes.let_go(row), *_corrections(row)])
    return row


@transaction.atomic
def reject(*, dispute: Dispute, decision: str, actor: User) -> Dispute:
    """Grant nothing, with the reason that both sides are told. Raises InvalidInput (`decision_short`), InvalidTransition.

    Forbidden for who does not decide about money.
    """
    money_operators.check(actor)
    _check_words(decision)
    row = disputes.locked(dispute)
    if row.status == Status.REJECTED:
        return row
    _end(row, Status.REJECTED, decision, actor)
    ledger.post(disputes.let_go(row))
    return row


def _end(row: Dispute, status: str, decision: str, actor: User, **changes: Any) -> None:
    transition(row, status, decision=decision.strip(), decided_by=actor, decided_at=timezone.now(), **changes)
    audit.record(
        actor=actor, action=f"dispute.{status}", subject=row.public_id, granted_micro=row.granted_micro,
        currency=row.currency, bearer=row.bearer,
    )  # fmt: skip
    if row.opened_by:
        mails.queue(
            user=row.opened_by, kind="dispute-decided", dedupe_key=f"dispute-decided:{row.pk}",
            context={"dispute": str(row.public_id), "upheld": status == Status.UPHELD,
                     "granted_micro": row.granted_micro, "currency": row.currency, "decision": decision.strip()},
        )  # fmt: skip


def _corrections(row: Dispute) -> list[Posting]:
    to = (
        Place(kind=Kind.PAYABLE, currency=row.currency, owner_id=row.owner_id)
        if row.owner_id
        else Place(kind=Kind.WALLET, currency=row.currency, organization_id=row.organization_id)
    )
    sources = _borne_by_owners(row) if row.bearer == Dispute.Bearer.OWNER else {}
    rest = row.granted_micro - sum(sources.values())
    # Borne by the owners, the platform gives back its own share of the price; else all of it is the platform's expense.
    own = Kind.REVENUE if row.bearer == Dispute.Bearer.OWNER else Kind.ADJUSTMENT
    if rest:
        sources[Place(kind=own, currency=row.currency)] = rest
    accounts = ledger.accounts([to, *sources])
    return [
        Posting(
            kind=LedgerTransfer.Kind.CORRECTION, debit=accounts[source], credit=accounts[to], amount_micro=micro,
            idempotency_key=f"dispute:{row.public_id}:grant:{source.owner_id or 'platform'}",
            meta={"dispute": str(row.public_id), "note": "Dispute upheld", **_about(row)},
        )
        for source, micro in sources.items()
    ]  # fmt: skip


def _borne_by_owners(row: Dispute) -> dict[Place, int]:
    """Each owner gives back the part of the grant that the owner's pay was of the charge, rounded down."""
    assert row.order is not None
    with connection.cursor() as cursor:
        cursor.execute(SHARES, [row.order_id])
        parts = {owner: paid * row.granted_micro // row.order.charged_micro for owner, paid in cursor.fetchall()}
    return {
        Place(kind=Kind.PAYABLE, currency=row.currency, owner_id=owner): micro
        for owner, micro in parts.items()
        if micro
    }


def _about(row: Dispute) -> dict[str, int]:
    return {"order": row.order_id} if row.order_id else {}


def _check_words(decision: str) -> None:
    if not 10 <= len(decision.strip()) <= 2000:
        raise InvalidInput("Say why, in 10 to 2,000 characters: both sides read it.", code="decision_short")
