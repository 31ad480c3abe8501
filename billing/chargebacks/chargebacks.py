"""Chargebacks: what a bank says about a payment, the money that follows from it, and our answer."""

from datetime import datetime

from django.db import transaction
from django.utils import timezone

from accounts.access import audit
from accounts.models import User
from billing.chargebacks import debts, suspensions
from billing.chargebacks import mails as dispute_mails
from billing.chargebacks.states import move, state_of
from billing.ledger.locks import lock
from billing.models import CardDispute, StripeCommand, TopUp
from billing.stripe import balance, outbox
from billing.stripe.amounts import to_micro
from billing.stripe.gateway import BalanceMovement, BankDispute
from core.errors import Conflict, InvalidInput

Status = CardDispute.Status
EVIDENCE_MAX = 20_000  # characters that Stripe takes
Moved = tuple[int, datetime]  # micro-units, and when


def apply(found: BankDispute) -> bool:
    """Bring our dispute, and the money, to where Stripe's is. Any number of times, in any order.

    Money moves only when Stripe's balance shows that it did. False when the payment is none of ours, or not credited yet.
    Raises UnknownWord, and Conflict `currency_differs` when the money was taken in another currency: the dispute is there then,
    to be answered, and its money is an operator's.
    """
    top_up = TopUp.objects.filter(method=TopUp.Method.STRIPE, reference=found.payment_intent_id or "-").first()
    if top_up is None:
        return False
    with transaction.atomic():
        organization = lock(top_up.organization_id)
        row, is_new = _row(top_up, found)
        was = "" if is_new else row.status
        move(row, found)
        took_before = row.withdrawn_at
        if all(part.currency == row.currency for part in found.movements):
            taken, returned = _sums(found)
            debts.settle(row, taken=taken, returned=returned)
        suspensions.reconsider(organization)
        if (was, took_before) != (row.status, row.withdrawn_at):
            audit.record(
                actor=None,
                action="card_dispute.changed",
                subject=row.public_id,
                status=row.status,
                organization=str(organization.public_id),
                amount_micro=row.amount_micro,
            )
            dispute_mails.tell(row)
    balance.record(found.movements)
    balance.insist_currency(found.movements, row.currency)
    return True


def submit_evidence(*, dispute: CardDispute, text: str, actor: User) -> StripeCommand:
    """Tell the bank our side, for good: it takes no second word unless it asks again. Goes out by the outbox.

    Raises InvalidInput (`evidence_missing`, `evidence_too_long`) and Conflict: `not_asked` when the bank wants no answer,
    `too_late` after its day, `evidence_waits` while an earlier answer is on its way.
    """
    text = text.strip()
    if not text:
        raise InvalidInput("Write what the bank should know.", code="evidence_missing")
    if len(text) > EVIDENCE_MAX:
        raise InvalidInput("That is too long.", code="evidence_too_long", max_characters=EVIDENCE_MAX)
    with transaction.atomic():
        lock(dispute.organization_id)
        row = CardDispute.objects.select_for_update(no_key=True).get(pk=dispute.pk)
        sent = _insist_asked(row)
        row.evidence, row.evidence_at = text, timezone.now()
        row.save(update_fields=["evidence", "evidence_at"])
        command = outbox.queue(
            kind=StripeCommand.Kind.SUBMIT_EVIDENCE,
            subject_id=row.pk,
            idempotency_key=f"card_dispute:{row.public_id}:evidence:v{sent + 1}",
        )
        audit.record(actor=actor, action="card_dispute.evidence", subject=row.public_id, characters=len(text))
    return command


def write_off(*, dispute: CardDispute, actor: User) -> int:
    """What a lost dispute still owes becomes our loss; how much. The organization stays suspended. Twice is once.

    Raises Conflict (`not_lost`, `nothing_owed`).
    """
    with transaction.atomic():
        lock(dispute.organization_id)
        row = CardDispute.objects.select_for_update(no_key=True).get(pk=dispute.pk)
        if row.written_off_at:
            return 0
        if row.status != Status.LOST:
            raise Conflict("Only a lost dispute is written off.", code="not_lost")
        micro = debts.write_off(row)
        if not micro:
            raise Conflict("Nothing is owed for it.", code="nothing_owed")
        row.written_off_at = timezone.now()
        row.save(update_fields=["written_off_at"])
        audit.record(
            actor=actor,
            action="card_dispute.written_off",
            subject=row.public_id,
            amount_micro=micro,
            currency=row.currency,
        )
    return micro


def collect_owed(*, limit: int = 100) -> int:
    """Let wallets pay for what is owed, whatever filled them: the certain way, beside each top-up's own. How many."""
    found = debts.owing(limit=limit)
    for organization in found:
        debts.collect(organization)
    return len(found)


def _row(top_up: TopUp, found: BankDispute) -> tuple[CardDispute, bool]:
    """Ours, held; made when it is new. Nobody else makes it: the organization is held."""
    row = CardDispute.objects.select_for_update(no_key=True).filter(stripe_id=found.id).first()
    if row:
        return row, False
    status = state_of(found.status)
    made = CardDispute.objects.create(
        organization_id=top_up.organization_id,
        top_up=top_up,
        stripe_id=found.id,
        status=status,
        amount_micro=to_micro(found.amount_minor, found.currency),
        currency=found.currency,
        reason=found.reason[:64],
        evidence_due_at=found.due_at,
        ended_at=None if status in CardDispute.OPEN else timezone.now(),
    )
    return made, True


def _sums(found: BankDispute) -> tuple[Moved | None, Moved | None]:
    """What the bank took, and what it gave back, as Stripe's balance shows them."""
    out = [part for part in found.movements if part.amount_minor < 0]
    back = [part for part in found.movements if part.amount_minor > 0]
    return _sum(out), _sum(back)


def _sum(parts: list[BalanceMovement]) -> Moved | None:
    if not parts:
        return None
    minor = abs(sum(part.amount_minor for part in parts))
    return to_micro(minor, parts[0].currency), max(part.occurred_at for part in parts)


def _insist_asked(row: CardDispute) -> int:
    """How many answers went out before this one."""
    if row.status not in (Status.WARNING, Status.NEEDS_RESPONSE):
        raise Conflict("The bank wants no answer now.", code="not_asked")
    if row.evidence_due_at and row.evidence_due_at < timezone.now():
        raise Conflict("The bank's day is over.", code="too_late")
    commands = StripeCommand.objects.filter(kind=StripeCommand.Kind.SUBMIT_EVIDENCE, subject_id=row.pk)
    if commands.filter(status=StripeCommand.Status.QUEUED).exists():
        raise Conflict("An answer is on its way.", code="evidence_waits")
    return commands.count()
