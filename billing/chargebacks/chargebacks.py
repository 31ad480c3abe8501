"""Chargebacks (Stripe's disputes): apply their state and their money here, send evidence, write off what is lost.

Our row of a chargeback is a CardDispute. debts.py posts its money, suspensions.py suspends the customer meanwhile.
"""

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
EVIDENCE_MAX = 20_000  # characters: Stripe's limit
MovedAmount = tuple[int, datetime]  # micro-units, and the time at which they moved


def apply(found: BankDispute) -> bool:
    """Bring our row of a dispute, and its money, to the state that Stripe shows.

    May run any number of times, and with Stripe's answers in any order. Money is posted only if Stripe's balance shows
    the movement. Returns False if the payment is not ours, or not credited yet. Raises UnknownWord for a state that we
    do not know, and Conflict (`currency_differs`) if the bank took the money in another currency: the dispute is stored
    even so and can be answered, but an operator has to book its money.
    """
    top_up = TopUp.objects.filter(method=TopUp.Method.STRIPE, reference=found.payment_intent_id or "-").first()
    if top_up is None:
        return False
    with transaction.atomic():
        organization = lock(top_up.organization_id)
        row, is_new = _get_or_create(top_up, found)
        status_before = "" if is_new else row.status
        move(row, found)
        withdrawn_before = row.withdrawn_at
        if all(part.currency == row.currency for part in found.movements):
            taken, returned = _sums(found)
            debts.settle(row, taken=taken, returned=returned)
        suspensions.update_suspension(organization)
        if (status_before, withdrawn_before) != (row.status, row.withdrawn_at):
            audit.record(
                actor=None,
                action="card_dispute.changed",
                subject=row.public_id,
                status=row.status,
                organization=str(organization.public_id),
                amount_micro=row.amount_micro,
            )
            dispute_mails.queue_mail(row)
    # After the commit, because an error here must not undo what was stored about the dispute.
    balance.record(found.movements)
    balance.require_currency(found.movements, row.currency)
    return True


def submit_evidence(*, dispute: CardDispute, text: str, actor: User) -> StripeCommand:
    """Queue our evidence for the bank and return the command. It is final: the bank accepts more only if it asks again.

    Raises InvalidInput (`evidence_missing`, `evidence_too_long`) and Conflict: `not_asked` if the bank is not waiting
    for evidence, `too_late` after its deadline, `evidence_waits` while earlier evidence is still being sent.
    """
    text = text.strip()
    if not text:
        raise InvalidInput("Write what the bank should know.", code="evidence_missing")
    if len(text) > EVIDENCE_MAX:
        raise InvalidInput("The evidence is too long.", code="evidence_too_long", max_characters=EVIDENCE_MAX)
    with transaction.atomic():
        lock(dispute.organization_id)
        row = CardDispute.objects.select_for_update(no_key=True).get(pk=dispute.pk)
        sent_before = _check_evidence_wanted(row)
        row.evidence, row.evidence_at = text, timezone.now()
        row.save(update_fields=["evidence", "evidence_at"])
        command = outbox.queue(
            kind=StripeCommand.Kind.SUBMIT_EVIDENCE,
            subject_id=row.pk,
            idempotency_key=f"card_dispute:{row.public_id}:evidence:v{sent_before + 1}",
        )
        audit.record(actor=actor, action="card_dispute.evidence", subject=row.public_id, characters=len(text))
    return command


def write_off(*, dispute: CardDispute, actor: User) -> int:
    """Book what is still owed for a lost dispute as our loss, and return the micro-units.

    The organization stays suspended. A second call returns 0. Raises Conflict (`not_lost`, `nothing_owed`).
    """
    with transaction.atomic():
        lock(dispute.organization_id)
        row = CardDispute.objects.select_for_update(no_key=True).get(pk=dispute.pk)
        if row.written_off_at:
            return 0
        if row.status != Status.LOST:
            raise Conflict("Only a lost dispute can be written off.", code="not_lost")
        micro = debts.write_off(row)
        if not micro:
            raise Conflict("Nothing is owed for this dispute.", code="nothing_owed")
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
    """Take what is owed for chargebacks from wallets that have money. Return the number of organizations.

    A top-up collects at once when it is credited; this sweep finds money that came in any other way.
    """
    organizations = debts.organizations_owing(limit=limit)
    for organization in organizations:
        debts.collect(organization)
    return len(organizations)


def _get_or_create(top_up: TopUp, found: BankDispute) -> tuple[CardDispute, bool]:
    """Return our row, locked, and whether it is new. The caller's lock on the organization excludes a second insert."""
    row = CardDispute.objects.select_for_update(no_key=True).filter(stripe_id=found.id).first()
    if row:
        return row, False
    status = state_of(found.status)
    created = CardDispute.objects.create(
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
    return created, True


def _sums(found: BankDispute) -> tuple[MovedAmount | None, MovedAmount | None]:
    """Return what the bank took and what it returned, summed over the movements of Stripe's balance."""
    taken = [movement for movement in found.movements if movement.amount_minor < 0]
    returned = [movement for movement in found.movements if movement.amount_minor > 0]
    return _sum(taken), _sum(returned)


def _sum(movements: list[BalanceMovement]) -> MovedAmount | None:
    if not movements:
        return None
    minor = abs(sum(movement.amount_minor for movement in movements))
    return to_micro(minor, movements[0].currency), max(movement.occurred_at for movement in movements)


def _check_evidence_wanted(row: CardDispute) -> int:
    """Return how many times evidence was sent before. Raises Conflict as `submit_evidence`."""
    if row.status not in (Status.WARNING, Status.NEEDS_RESPONSE):
        raise Conflict("The bank expects no answer now.", code="not_asked")
    if row.evidence_due_at and row.evidence_due_at < timezone.now():
        raise Conflict("The bank's deadline for evidence has passed.", code="too_late")
    commands = StripeCommand.objects.filter(kind=StripeCommand.Kind.SUBMIT_EVIDENCE, subject_id=row.pk)
    if commands.filter(status=StripeCommand.Status.QUEUED).exists():
        raise Conflict("Earlier evidence is still on its way.", code="evidence_waits")
    return commands.count()
