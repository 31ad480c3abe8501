"""The outbox: writes to Stripe, decided in our transactions and sent after them, each with one effect.

A command is sent in three steps:
- *Claim* (a transaction): take the command under a lease and note that from now on Stripe may have carried it out.
- *Send* (outside any transaction): call Stripe. After an attempt with an unknown outcome, first look whether Stripe
  carried it out; only if not, send again, under the same idempotency key with the same parameters.
- *Settle* (a transaction): write the outcome together with its effect.

A process that dies between two steps leaves a command that another process claims when the lease ends. Stripe remembers
idempotency keys for a day and its objects for ever; the key and the look together keep the effect single.

A sender may be so slow that its lease ends and another sender claims the command. From then on only a success of the
slow sender counts: its view of a failure is older than the other sender's.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta

from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from accounts.access import audit
from accounts.models import User
from billing.models import StripeCommand
from billing.stripe import batches
from billing.stripe.commands import KINDS, CommandResult
from billing.stripe.gateway import StripeRefused, StripeUnavailable
from core.errors import DomainError
from core.queue import CLAIM_FIELDS, claim, claim_condition, retry_delay
from core.states import transition
from core.workers import wake

logger = logging.getLogger(__name__)
TASK = "billing.send_stripe_commands"
LEASE = timedelta(seconds=90)  # longer than the longest `find` and `send` together
HEAD_START = timedelta(seconds=10)  # how long workers leave a new command to the process that queued it
ATTEMPTS = 14  # with the delays below: about five hours
DELAY_MAX_S = 1800
Status = StripeCommand.Status


@dataclass(frozen=True)
class Claim:
    """A command that this process may send until the lease ends.

    `look_first`: an earlier attempt may have succeeded.
    """

    command: StripeCommand
    look_first: bool


def queue(*, kind: str, idempotency_key: str, subject_id: int, after: StripeCommand | None = None) -> StripeCommand:
    """Write a command, in the transaction of the act that needs it, and return it.

    With `after` it waits for that command. Workers leave a new command alone for HEAD_START, so that a page may send it
    with `send_now` and show the answer itself.
    """
    return StripeCommand.objects.create(
        kind=kind,
        idempotency_key=idempotency_key,
        subject_id=subject_id,
        after=after,
        due_at=timezone.now() + HEAD_START,
    )


def send_now(command: StripeCommand) -> None:
    """Send this command, and the one it waits for, without waiting for a worker, once the transaction has committed.

    Errors of Stripe are not raised: a command that does not succeed now is left to the workers.
    """
    transaction.on_commit(lambda: _send_chain(command))


def send_due(*, limit: int = 100) -> int:
    """Send commands that are due, oldest first, up to `limit` of them. Return how many were claimed.

    An unexpected exception does not stop the others; the first is raised at the end (see `batches.process_claims`).
    """
    return batches.process_claims(lambda: _claim(Q(due_at__lte=timezone.now())), _work, limit=limit)


def retry(*, command: StripeCommand, actor: User | None) -> None:
    """Queue a dead command again, for the operator `actor`, or for a process that needs its effect now (None).

    Raises InvalidTransition when the command is not dead, and Conflict when its subject no longer waits for it.
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


def _send_chain(command: StripeCommand) -> None:
    for pk in (command.after_id, command.pk):
        # attempts=0: a command that a worker has tried already is left to the workers and their delays.
        claim = _claim(Q(pk=pk, attempts=0)) if pk else None
        if claim:
            _work(claim)


def _claim(which: Q) -> Claim | None:
    """Claim the first command that fits `which` and that no other process holds, or return None.

    Commits `outcome_unknown` before anything is sent: if this process dies, the next one knows that it must look first.
    """
    with transaction.atomic():
        free = StripeCommand.objects.filter(Q(after=None) | Q(after__status=Status.DONE), which, status=Status.QUEUED)
        command = next(iter(claim(free, lease=lambda _: LEASE)), None)
        if command is None:
            return None
        look_first = command.outcome_unknown
        if command.params is None:  # fixed by the first claim: Stripe refuses a repeated key with other parameters
            command.params = KINDS[command.kind].params(command)
        command.outcome_unknown = True
        command.first_sent_at = command.first_sent_at or timezone.now()
        command.save(update_fields=[*CLAIM_FIELDS, "params", "outcome_unknown", "first_sent_at"])
        return Claim(command, look_first)


def _work(claim: Claim) -> None:
    """Send a claimed command and write the outcome. Handles Stripe's errors; after any other the lease simply ends."""
    command, kind = claim.command, KINDS[claim.command.kind]
    if command.attempts > ATTEMPTS:  # the last attempt's process died, or the command would have been given up then
        _give_up(
            command,
            DomainError("Sending was started many times and never finished.", code="crashed"),
            outcome_unknown=True,
        )
        return
    try:
        sent = (kind.find(command) if claim.look_first else None) or kind.send(command)
    except StripeRefused as error:
        _give_up(command, error, outcome_unknown=claim.look_first)
    except StripeUnavailable as error:
        # This attempt did nothing. The outcome of earlier ones is as unknown as before.
        _retry_later(command, error, outcome_unknown=claim.look_first)
    except DomainError as error:
        _retry_later(command, error, outcome_unknown=True)
    else:
        _settle(command, sent)


def _settle(command: StripeCommand, sent: CommandResult) -> None:
    with transaction.atomic():
        row = StripeCommand.objects.select_for_update().get(pk=command.pk)
        if row.status != Status.QUEUED:
            return  # another sender was faster; one idempotency key, so Stripe gave both the same answer
        KINDS[row.kind].on_done(row, sent)
        transition(
            row, Status.DONE, object_id=sent.object_id, outcome_unknown=False, message="", done_at=timezone.now()
        )


def _retry_later(command: StripeCommand, error: DomainError, *, outcome_unknown: bool) -> None:
    if command.attempts >= ATTEMPTS:
        _give_up(command, error, outcome_unknown=outcome_unknown)
        return
    wait = retry_delay(command.attempts, longest_s=DELAY_MAX_S)
    logger.warning("%s: %s; again in %s", command, error.code, wait)
    StripeCommand.objects.filter(claim_condition(command), status=Status.QUEUED).update(
        due_at=timezone.now() + wait,
        outcome_unknown=outcome_unknown,
        message=_message(error),
    )


def _give_up(command: StripeCommand, error: DomainError, *, outcome_unknown: bool) -> None:
    """Mark the command, and those that waited for it, as dead, and write the effect on the subject of each.

    Operators see dead commands in the back office.
    """
    with transaction.atomic():
        if (
            StripeCommand.objects.select_for_update().filter(claim_condition(command), status=Status.QUEUED).first()
            is None
        ):
            return  # another process has claimed or settled it since
        logger.error("%s is given up: %s", command, _message(error))
        rows = list(
            StripeCommand.objects.select_for_update().filter(Q(pk=command.pk) | Q(after=command)).order_by("id")
        )
        for row in rows:
            if row.status == Status.QUEUED:
                is_failed = row.pk == command.pk  # the others were never sent
                transition(
                    row,
                    Status.DEAD,
                    code=error.code,
                    message=_message(error),
                    outcome_unknown=is_failed and outcome_unknown,
                )
                KINDS[row.kind].on_dead(row, error)


def _message(error: DomainError) -> str:
    return f"{error.message} {error.fields or ''}".strip()
