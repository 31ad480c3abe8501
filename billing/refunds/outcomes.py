"""The outcome of a refund: the money was sent, or is back in the wallet.

Webhooks, answers of Stripe and sweeps all end here.
"""

import logging
from datetime import timedelta

from django.db import transaction
from django.utils import timezone

from accounts.access import audit
from accounts.mails import outbox
from accounts.models import User
from accounts.organizations.selectors import money_people
from billing.ledger import posting
from billing.ledger.locks import lock
from billing.ledger.posting import Posting
from billing.models import BalanceTransaction, LedgerTransfer, Refund, StripeCommand
from billing.stripe import balance, batches, gateway
from billing.stripe.amounts import to_micro
from billing.stripe.gateway import CardRefund
from billing.stripe.words import meaning
from core.errors import Conflict
from core.states import transition

logger = logging.getLogger(__name__)
Status = Refund.Status
OUR_STATUS = {
    "pending": Status.PENDING,
    "requires_action": Status.PENDING,
    "succeeded": Status.SUCCEEDED,
    "failed": Status.FAILED,
    "canceled": Status.FAILED,
}
REFRESH_INTERVAL = timedelta(hours=1)  # how long a pending refund is left alone before the sweep asks about it
LOOK_BACK = timedelta(days=90)  # how far back the sweep looks for money that came back


class RefundMismatch(Conflict):
    """The refund at Stripe is not the one that was asked for."""

    code = "refund_mismatch"


def apply(found: CardRefund) -> bool:
    """Move our refund to the state of Stripe's. Return False when it is not ours. Raises RefundMismatch, UnknownWord.

    May be called any number of times and in any order: states only go forward, so an older answer changes nothing.
    """
    row = Refund.objects.filter(command__idempotency_key=found.command).first() if found.command else None
    if row is None:
        return False
    with transaction.atomic():
        row = lock_refund(row)
        _check(row, found)
        settle(row, stripe_id=found.id, status=found.status, code=found.failure_reason)
    balance.record(found.movements)
    return True


def state_of(status: str) -> str:
    """Return our status for Stripe's. Raises UnknownWord."""
    return meaning(OUR_STATUS, status)


def lock_refund(refund: Refund) -> Refund:
    """Lock the organization, then the refund, until the end of the transaction. Return the refund's present row."""
    lock(refund.organization_id)  # lock order: the organization before its refunds and its ledger accounts
    related = Refund.objects.select_related("organization", "top_up", "transfer__debit", "transfer__credit", "command")
    return related.select_for_update(of=("self",)).get(pk=refund.pk)


def settle(row: Refund, *, stripe_id: str, status: str, code: str) -> None:
    """Move the refund to the state that Stripe reports. Raises UnknownWord.

    Runs in the caller's transaction, which has locked the row (`lock_refund`).
    """
    wanted = state_of(status)
    if row.stripe_id is None:
        row.stripe_id = stripe_id
        row.save(update_fields=["stripe_id"])
        if row.status == Status.FAILED:
            logger.error(
                "%s: the money is back in the wallet, but Stripe sent it too (%s): an operator must look",
                row,
                stripe_id,
            )
    if wanted == Status.FAILED:
        give_back(row, code=code or "refund_failed")
    elif wanted in Refund.TRANSITIONS.get(row.status, ()):
        old_status = row.status
        ended_at = timezone.now() if wanted == Status.SUCCEEDED else None
        transition(row, wanted, ended_at=ended_at)
        if old_status == Status.REQUESTED:
            _mail(row, "refund-sent")


def give_back(row: Refund, *, code: str) -> None:
    """Fail the refund and return its money to the wallet, once.

    Runs in the caller's transaction, which has locked the row.
    """
    if row.status == Status.FAILED:
        return
    (returned,) = posting.post(
        [
            Posting(
                kind=LedgerTransfer.Kind.REVERSAL,
                debit=row.transfer.credit,
                credit=row.transfer.debit,
                amount_micro=row.amount_micro,
                idempotency_key=f"refund:{row.public_id}:returned",
                reverses=row.transfer,
                meta={"refund": str(row.public_id), "code": code},
            )
        ]
    ).transfers
    transition(row, Status.FAILED, code=code[:64], returned=returned, ended_at=timezone.now())
    _mail(row, "refund-failed")


def refresh(refund: Refund) -> None:
    """Fetch the refund from Stripe and apply its state. Call it outside a transaction.

    Raises StripeUnavailable, RefundMismatch.
    """
    if refund.stripe_id:
        apply(gateway.retrieve_refund(refund.stripe_id))


def sweep(*, limit: int = 100) -> int:
    """Refresh refunds that wait for a bank, and those whose money came back according to Stripe's balance transactions.

    Returns how many were looked at. Logs a refund that cannot be settled and continues. Raises StripeUnavailable.
    """
    now, known = timezone.now(), Refund.objects.filter(stripe_id__isnull=False)
    back = BalanceTransaction.objects.filter(
        type__in=("refund_failure", "payment_failure_refund"), occurred_at__gt=now - LOOK_BACK
    ).values("source_id")
    returned = known.filter(stripe_id__in=back, status__in=(Status.PENDING, Status.SUCCEEDED))
    # In random order, so that with more than `limit` refunds every one gets its turn.
    waiting = known.filter(status=Status.PENDING, created_at__lt=now - REFRESH_INTERVAL).order_by("?")
    rows = {row.pk: row for row in (*returned[:limit], *waiting[:limit])}
    batches.refresh_each(rows.values(), refresh)
    return len(rows)


def resolve(*, refund: Refund, actor: User) -> Refund:
    """Settle a refund whose command was given up, as an operator decided, and return it.

    If Stripe has the refund, its state is applied; if not, the money returns to the wallet. Call it outside a
    transaction. Raises Conflict (`refund_being_sent`) while a worker may still be sending it, and StripeUnavailable.
    """
    command = StripeCommand.objects.get(pk=refund.command_id)
    _insist_idle(command)
    intent_id = (command.params or {}).get("payment_intent")  # no params: never claimed, so never sent
    found = gateway.find_refund(payment_intent_id=intent_id, command=command.idempotency_key) if intent_id else None
    with transaction.atomic():  # the outcome and its audit entry are written together, or neither is
        if found:
            apply(found)
            row = lock_refund(refund)
        else:
            # Check again under the lock: an operator may have queued the command again while we asked Stripe.
            _insist_idle(StripeCommand.objects.select_for_update().get(pk=command.pk))
            row = lock_refund(refund)
            if row.stripe_id is None:
                give_back(row, code="not_sent")
        audit.record(actor=actor, action="refund.resolved", subject=row.public_id, status=row.status)
    return Refund.objects.get(pk=refund.pk)


def _insist_idle(command: StripeCommand) -> None:
    """Raise Conflict unless the command is dead and the lease of its last sender has ended."""
    if command.status != StripeCommand.Status.DEAD or command.due_at > timezone.now():
        raise Conflict("A worker may be sending this refund just now.", code="refund_being_sent")


def _check(row: Refund, found: CardRefund) -> None:
    """Raise RefundMismatch unless Stripe's refund is the one that we asked for."""
    same = (
        found.reference == str(row.public_id)
        and found.payment_intent_id == row.top_up.reference
        and found.currency == row.currency
        and to_micro(found.amount_minor, found.currency) == row.amount_micro
        and row.stripe_id in (None, found.id)
    )
    if not same:
        raise RefundMismatch(refund=str(row.public_id), found=found.id)


def _mail(row: Refund, kind: str) -> None:
    for user in money_people(row.organization):
        outbox.queue(
            user=user,
            kind=kind,
            dedupe_key=f"{kind}:{row.public_id}:{user.pk}",
            context={
                "organization": row.organization.name,
                "amount_micro": row.amount_micro,
                "currency": row.currency,
                "code": row.status_code,
                "topped_up_on": row.top_up.created_at.date().isoformat(),
            },
        )
