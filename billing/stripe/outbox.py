"""The outbox: writes to Stripe, decided in our transactions and sent after them, each once.

One command is sent in three steps. *Claim* (a transaction): take it for a while and note that from now on Stripe may
have done it. *Send*: the call, outside any transaction; after an attempt whose end nobody knows, look first whether it
was done, and only then send again, under the same idempotency key with the same parameters. *Settle* (a transaction):
write what came of it together with its effect. A process that dies between two steps leaves a command that the next
one takes up; Stripe's memory of keys (a day) and the look at its objects (for ever) keep the effect single.

A sender may be so slow that its lease ends and another takes the command up. From then on only a success of the slow one
counts: what it believes of a failure is older than what the other one has learned.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.access import audit
from accounts.models import User
from billing.models import StripeCommand
from billing.stripe import rounds
from billing.stripe.commands import KINDS, Sent
from billing.stripe.gateway import StripeRefused, StripeUnavailable
from core.errors import DomainError
from core.queue import CLAIM_FIELDS, claimed, delay, take
from core.states import transition
from core.workers import wake

logger = logging.getLogger(__name__)
TASK = "billing.send_stripe_commands"
LEASE = timedelta(seconds=90)  # longer than the longest look and call together
HEAD_START = timedelta(seconds=10)
ATTEMPTS = 14  # with the delays below: about five hours
DELAY_MAX_S = 1800
Status = StripeCommand.Status


@dataclass(frozen=True)
class Claim:
    """A command that is ours to send until its lease ends. `look_first`: an earlier attempt may have done it."""

    command: StripeCommand
    look_first: bool


def queue(*, kind: str, idempotency_key: str, subject_id: int, after: StripeCommand | None = None) -> StripeCommand:
    """Write a command in the transaction of the act that wants it. With `after` it waits until that one is done.

    Workers leave it alone for some seconds: who asked for it may `send_now`, and wants the answer on its own page.
    """
    return StripeCommand.objects.create(
        kind=kind,
        idempotency_key=idempotency_key,
        subject_id=subject_id,
        after=after,
        due_at=timezone.now() + HEAD_START,
    )


def send_now(command: StripeCommand) -> None:
    """Once the transaction has committed, send this command, and the one it waits for, without waiting for a worker.

    Never raises for Stripe's sake: what does not work now is the workers', as ever.
    """
    after_commit(lambda: _send_chain(command))


def send_due(*, limit: int = 100) -> int:
    """Send commands that are due, oldest first, until none is left or `limit` were. How many were taken up. Faults: see rounds."""
    return rounds.work_off(lambda: _claim(Q(due_at__lte=timezone.now())), _work, limit=limit)


def retry(*, command: StripeCommand, actor: User | None) -> None:
    """A word that a dead command shall be tried again: an operator's, or of one (None) who wants its effect now.

    Raises InvalidTransition when it is not dead, and Conflict when its subject no longer waits for it.
    """
    with transaction.atomic():
        command = StripeCommand.objects.select_for_update().get(pk=command.pk)
        if command.status == Status.DEAD:
            KINDS[command.kind].may_retry(command)
        audit.record(
            actor=actor,
            action="stripe_command.retry",
            subject=command.idempotency_key,
            kind=command.kind,
            code=command.status_code,
            outcome_unknown=command.outcome_unknown,
        )
        transition(command, Status.QUEUED, due_at=timezone.now(), attempts=0, message="")
        wake(TASK)


def after_commit(work: Any) -> None:
    transaction.on_commit(work)


def _send_chain(command: StripeCommand) -> None:
    for pk in (command.after_id, command.pk):
        claim = _claim(Q(pk=pk, attempts=0)) if pk else None
        if claim:
            _work(claim)


def _claim(which: Q) -> Claim | None:
    """Take the first such command that nobody else has, and note before anything is sent that it may be done."""
    with transaction.atomic():
        free = StripeCommand.objects.filter(Q(after=None) | Q(after__status=Status.DONE), which, status=Status.QUEUED)
        command = next(iter(take(free, lease=lambda _: LEASE)), None)
        if command is None:
            return None
        look_first = command.outcome_unknown
        if command.params is None:
            command.params = KINDS[command.kind].params(command)
        command.outcome_unknown = True
        command.first_sent_at = command.first_sent_at or timezone.now()
        command.save(update_fields=[*CLAIM_FIELDS, "params", "outcome_unknown", "first_sent_at"])
        return Claim(command, look_first)


def _work(claim: Claim) -> None:
    """Send what was claimed and write what came of it. Errors of Stripe end here; others leave the lease to run out."""
    command, kind = claim.command, KINDS[claim.command.kind]
    if command.attempts > ATTEMPTS:
        _give_up(
            command,
            DomainError("It was begun many times and never came to an end.", code="crashed"),
            outcome_unknown=True,
        )
        return
    try:
        sent = (kind.find(command) if claim.look_first else None) or kind.send(command)
    except StripeRefused as error:
        _give_up(command, error, outcome_unknown=claim.look_first)
    except StripeUnavailable as error:
        # Nothing was done by this attempt, but what is known of earlier ones has not changed.
        _later(command, error, outcome_unknown=claim.look_first)
    except DomainError as error:
        _later(command, error, outcome_unknown=True)
    else:
        _settle(command, sent)


def _settle(command: StripeCommand, sent: Sent) -> None:
    with transaction.atomic():
        row = StripeCommand.objects.select_for_update().get(pk=command.pk)
        if row.status != Status.QUEUED:
            return  # a slower sender of the same command: Stripe gave both the same answer
        KINDS[row.kind].done(row, sent)
        transition(
            row, Status.DONE, object_id=sent.object_id, outcome_unknown=False, message="", done_at=timezone.now()
        )


def _later(command: StripeCommand, error: DomainError, *, outcome_unknown: bool) -> None:
    if command.attempts >= ATTEMPTS:
        _give_up(command, error, outcome_unknown=outcome_unknown)
        return
    wait = delay(command.attempts, longest_s=DELAY_MAX_S)
    logger.warning("%s: %s; again in %s", command, error.code, wait)
    StripeCommand.objects.filter(claimed(command), status=Status.QUEUED).update(
        due_at=timezone.now() + wait,
        outcome_unknown=outcome_unknown,
        message=_message(error),
    )


def _give_up(command: StripeCommand, error: DomainError, *, outcome_unknown: bool) -> None:
    """The command is dead, and so are those that waited for it. Operators see them; their subjects are told."""
    logger.error("%s is given up: %s", command, _message(error))
    with transaction.atomic():
        if StripeCommand.objects.select_for_update().filter(claimed(command), status=Status.QUEUED).first() is None:
            return
        rows = list(
            StripeCommand.objects.select_for_update().filter(Q(pk=command.pk) | Q(after=command)).order_by("id")
        )
        for row in rows:
            if row.status == Status.QUEUED:
                own = row.pk == command.pk
                transition(
                    row, Status.DEAD, code=error.code, message=_message(error), outcome_unknown=own and outcome_unknown
                )
                KINDS[row.kind].dead(row, error)


def _message(error: DomainError) -> str:
    return f"{error.message} {error.fields or ''}".strip()
