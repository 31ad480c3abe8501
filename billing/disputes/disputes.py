"""Disputes: a customer claims that a job cost too much, or an owner that a statement shows too little.

While a customer's dispute is open, the owners' part of the claim is held in their accounts `reserve`, as far as it is
on no statement yet. What is on a statement may be paid already; if the dispute is upheld, a correction takes it back.
Decisions are made in decisions.py. If usage is voided while a dispute is open, less can be granted, but the amount held
stays the same until the decision.
"""

from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from accounts.access import audit
from accounts.mails import outbox
from accounts.models import Organization, Owner, User
from billing.ledger import posting as ledger
from billing.ledger.posting import AccountName, Posting
from billing.models import Dispute, DisputeMessage, JobOrder, LedgerAccount, LedgerTransfer, Statement
from billing.orders import returned_charges
from core.errors import Conflict, InvalidInput
from core.states import transition

Kind = LedgerAccount.Kind
REASON_MIN, TEXT_MAX = 10, 4000

# (owner id, micro-units) that each owner was paid from the order's hold and keeps; voided usage was taken back already.
# Format with a further condition: none, or (UNSTATED_SHARES) only what is on no statement yet.
_SHARES = """
SELECT u.owner_id, sum(r.owner_micro)::bigint
  FROM billing_ratedusage r
  JOIN compute_usagerecord u ON u.id = r.usage_id
  JOIN billing_ledgertransfer t ON t.id = r.owner_transfer_id AND t.kind = 'share'
 WHERE r.order_id = %s AND NOT EXISTS (SELECT FROM billing_usagevoid v WHERE v.rated_id = r.id) {}
 GROUP BY u.owner_id ORDER BY u.owner_id
"""
UNSTATED_SHARES = _SHARES.format("AND NOT EXISTS (SELECT FROM billing_statemententry e WHERE e.transfer_id = t.id)")
SHARES = _SHARES.format("")


@transaction.atomic
def open_order(
    *, organization: Organization, order: JobOrder, reason: str, claimed_micro: int, idempotency_key: str, actor: User
) -> Dispute:
    """Open a customer's dispute of what a job cost, and return it. A repeat with the same key returns the first one.

    Raises InvalidInput (`reason_short`; `amount_invalid` for more than was charged and not given back yet) and
    Conflict: `job_running`, `too_late` after DISPUTE_DAYS, `dispute_open`, `idempotency_conflict`.
    """
    order = returned_charges.lock_order(order.pk)  # from here on nobody else can give back anything of this order
    if first := _first(idempotency_key, order=order, claimed_micro=claimed_micro):
        return first
    _check_reason(reason)
    if order.status != JobOrder.Status.CLOSED or order.closed_at is None:
        raise Conflict("The job has not ended yet: cancel it instead.", code="job_running")
    _check_time(order.closed_at + timedelta(days=settings.DISPUTE_DAYS))
    _check_amount(claimed_micro, returned_charges.returned_charges_of(order).left_micro)
    return _create(
        Dispute(
            organization=organization,
            order=order,
            opened_by=actor,
            reason=reason.strip(),
            claimed_micro=claimed_micro,
            currency=order.rate_card.currency,
            idempotency_key=idempotency_key,
        ),
        subject=order.job.public_id,
    )


def open_statement(
    *, owner: Owner, statement: Statement, reason: str, claimed_micro: int, idempotency_key: str, actor: User
) -> Dispute:
    """Open an owner's dispute of a statement, and return it. A repeat with the same key returns the first one.

    Raises InvalidInput (`reason_short`; `amount_invalid` above DISPUTE_MAX_MICRO) and Conflict: `too_late` after
    DISPUTE_DAYS, `dispute_open`, `idempotency_conflict`.
    """
    if first := _first(idempotency_key, statement=statement, claimed_micro=claimed_micro):
        return first
    _check_reason(reason)
    _check_time(statement.created_at + timedelta(days=settings.DISPUTE_DAYS))
    _check_amount(claimed_micro, settings.DISPUTE_MAX_MICRO)
    return _create(
        Dispute(
            owner=owner,
            statement=statement,
            opened_by=actor,
            reason=reason.strip(),
            claimed_micro=claimed_micro,
            currency=statement.currency,
            idempotency_key=idempotency_key,
        ),
        subject=statement.public_id,
    )


@transaction.atomic
def add_message(*, dispute: Dispute, text: str, author: User, from_operator: bool) -> DisputeMessage:
    """Add a message (evidence or an answer) to an open dispute, and return it.

    An operator's message is announced by mail to the person who opened the dispute. Raises InvalidInput
    (`text_invalid`) and Conflict (`dispute_ended`).
    """
    text = text.strip()
    if not 0 < len(text) <= TEXT_MAX:
        raise InvalidInput(f"Write a message of at most {TEXT_MAX} characters.", code="text_invalid")
    row = lock_dispute(dispute)
    if row.status != Dispute.Status.OPEN:
        raise Conflict("This dispute has ended.", code="dispute_ended")
    message = DisputeMessage.objects.create(dispute=row, author=author, from_operator=from_operator, text=text)
    audit.record(actor=author, action="dispute.message", subject=row.public_id, from_operator=from_operator)
    if from_operator and row.opened_by:
        outbox.queue(
            user=row.opened_by,
            kind="dispute-message",
            dedupe_key=f"dispute-message:{message.pk}",
            context={"dispute": str(row.public_id)},
        )
    return message


@transaction.atomic
def withdraw(*, dispute: Dispute, actor: User) -> Dispute:
    """Withdraw the dispute for the side that opened it, and release what was held. Raises InvalidTransition."""
    row = lock_dispute(dispute)
    transition(row, Dispute.Status.WITHDRAWN, decided_at=timezone.now())
    audit.record(actor=actor, action="dispute.withdrawn", subject=row.public_id)
    ledger.post(release_postings(row))
    return row


def lock_dispute(dispute: Dispute) -> Dispute:
    """Return the dispute with its row locked until the end of the transaction."""
    return Dispute.objects.select_for_update(of=("self",)).get(pk=dispute.pk)


def release_postings(dispute: Dispute) -> list[Posting]:
    """Return the postings that release what is held for a dispute: from `reserve` back to each owner's `payable`."""
    held = LedgerTransfer.objects.filter(idempotency_key__startswith=f"dispute:{dispute.public_id}:reserve:")
    return [
        Posting(
            kind=LedgerTransfer.Kind.RESERVE,
            debit=transfer.credit,
            credit=transfer.debit,
            amount_micro=transfer.amount_micro,
            meta={"dispute": str(dispute.public_id), "note": "Released"},
            idempotency_key=f"dispute:{dispute.public_id}:let_go:{transfer.debit.owner_id}",
        )
        for transfer in held.select_related("debit", "credit").order_by("id")
    ]


def owner_parts(dispute: Dispute, amount_micro: int, *, paid: str = SHARES) -> dict[int, int]:
    """Return each owner's part of an amount, in micro-units by owner id, rounded down; zero parts are left out.

    The part is in proportion to the owner's pay (rows of the query `paid`) within the charge. Voided usage counts in
    neither.
    """
    assert dispute.order is not None
    standing_micro = returned_charges.returned_charges_of(dispute.order).standing_micro
    with connection.cursor() as cursor:
        cursor.execute(paid, [dispute.order_id])
        parts = {owner: micro * amount_micro // standing_micro for owner, micro in cursor.fetchall()}
    return {owner: micro for owner, micro in parts.items() if micro}


def _create(dispute: Dispute, *, subject: object) -> Dispute:
    try:
        with transaction.atomic():
            reserves = _reserves(dispute) if dispute.order_id else []
            dispute.reserved_micro = sum(posting.amount_micro for posting in reserves)
            dispute.save(force_insert=True)
            audit.record(
                actor=dispute.opened_by,
                action="dispute.opened",
                subject=subject,
                dispute=str(dispute.public_id),
                claimed_micro=dispute.claimed_micro,
                currency=dispute.currency,
            )
            ledger.post(reserves)
            return dispute
    except IntegrityError as error:  # a repeated request in the same moment, or a second open dispute
        first = Dispute.objects.filter(idempotency_key=dispute.idempotency_key).first()
        if first:
            return first
        if "dispute_open" in str(error):
            raise Conflict("A dispute about this is open already.", code="dispute_open") from error
        raise


def _reserves(dispute: Dispute) -> list[Posting]:
    parts = owner_parts(dispute, dispute.claimed_micro, paid=UNSTATED_SHARES)
    places = {
        (owner, kind): AccountName(kind=kind, currency=dispute.currency, owner_id=owner)
        for owner in parts
        for kind in (Kind.PAYABLE, Kind.RESERVE)
    }
    accounts = ledger.accounts(places.values())
    return [
        Posting(
            kind=LedgerTransfer.Kind.RESERVE,
            debit=accounts[places[owner, Kind.PAYABLE]],
            credit=accounts[places[owner, Kind.RESERVE]],
            amount_micro=micro,
            idempotency_key=f"dispute:{dispute.public_id}:reserve:{owner}",
            meta={"dispute": str(dispute.public_id), "note": "Held while a customer disputes it"},
        )
        for owner, micro in parts.items()
    ]


def _first(idempotency_key: str, *, claimed_micro: int, **about: object) -> Dispute | None:
    first = Dispute.objects.filter(idempotency_key=idempotency_key).first()
    if first and (first.claimed_micro != claimed_micro or any(getattr(first, k) != v for k, v in about.items())):
        raise Conflict("This key was used for another dispute.", code="idempotency_conflict")
    return first


def _check_reason(reason: str) -> None:
    if not REASON_MIN <= len(reason.strip()) <= 2000:
        raise InvalidInput("Describe what is wrong, in 10 to 2,000 characters.", code="reason_short")


def _check_time(last_at: datetime) -> None:
    if timezone.now() > last_at:
        raise Conflict(f"A dispute can be opened within {settings.DISPUTE_DAYS} days only.", code="too_late")


def _check_amount(claimed_micro: int, max_micro: int) -> None:
    if not 0 < claimed_micro <= max_micro:
        raise InvalidInput(
            "The amount must be more than zero, and not more than can be claimed.",
            code="amount_invalid",
            max_micro=max(0, max_micro),
        )
