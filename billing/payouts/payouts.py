"""Payouts: the amount of a statement is sent to the owner's account at Stripe.

It is sent once it is due, nothing holds it, the account is ready and our balance covers it. A payout is never sent
twice and never lost: each attempt is one StripeCommand (billing/stripe/outbox.py), and a new one is written only if
Stripe certainly did nothing for the last one.
"""

import logging
from collections.abc import Sequence
from itertools import accumulate

from django.conf import settings
from django.db import connection, transaction
from django.utils import timezone

from accounts.access import audit
from accounts.models import User
from billing.ledger import posting
from billing.ledger.posting import AccountName, Posting
from billing.models import LedgerAccount, LedgerTransfer, Payout, StripeCommand
from billing.payouts import reversals, suspicions
from billing.stripe import gateway, outbox
from billing.stripe.amounts import to_micro
from core.errors import Conflict
from core.states import transition
from core.workers import wake

logger = logging.getLogger(__name__)
Status = Payout.Status
Kind = LedgerAccount.Kind
DuePayout = tuple[int, int, object]  # payout, account, public id of the payout
ADVISORY_LOCK = 0x5041594F  # advisory lock, "PAYO" in ASCII: two rounds at once would both count on the same balance

# The payouts that are due, and why each of them cannot be sent, whatever our balance is (`why.code`; "": nothing stops
# it).
REASON = f"""
  FROM billing_payout p
  JOIN accounts_owner o ON o.id = p.owner_id
  LEFT JOIN billing_connectedaccount a ON a.owner_id = p.owner_id AND a.status = 'active' AND a.stripe_id IS NOT NULL
 CROSS JOIN LATERAL (SELECT CASE WHEN p.held_at IS NOT NULL THEN 'held'
                                 WHEN {suspicions.HELD_BACK} THEN 'held'
                                 WHEN o.erased_at IS NOT NULL THEN 'owner_closed'
                                 WHEN a.id IS NULL THEN 'account_not_ready' ELSE '' END AS code) why
 WHERE p.status = 'scheduled' AND p.due_at <= %s
"""
# The payouts of one currency that can be sent, oldest first, locked.
NEXT_DUE = f"""
SELECT p.id, a.id, p.public_id, p.amount_micro {REASON} AND why.code = '' AND p.currency = %s
 ORDER BY p.due_at, p.id LIMIT %s FOR UPDATE OF p SKIP LOCKED
"""
# Writes on every payout that is due and was not sent why it waits; `balance_low` only for the currencies that ran
# short.
STORE_WAIT_CODES = f"""
UPDATE billing_payout w SET status_code = found.code
  FROM (SELECT p.id, CASE WHEN why.code = '' THEN 'balance_low' ELSE why.code END AS code {REASON}
           AND (why.code <> '' OR p.currency = ANY(%s))) found
 WHERE w.id = found.id AND w.status = 'scheduled' AND w.status_code <> found.code
"""  # noqa: S608 - our own words
# How many transfers were requested for each payout before: the next one needs another idempotency key.
COUNT_ATTEMPTS = """
SELECT subject_id, count(*) FROM billing_stripecommand
 WHERE kind = 'create_transfer' AND subject_id = ANY(%s) GROUP BY subject_id
"""
MARK_SENDING = """
UPDATE billing_payout p SET status = 'sending', status_code = '', command_id = s.command_id, account_id = s.account_id
  FROM unnest(%s::bigint[], %s::bigint[], %s::bigint[]) AS s(id, command_id, account_id) WHERE p.id = s.id
"""
# By currency, what is being sent: Stripe has not deducted it from our balance yet.
SUM_BEING_SENT = """
SELECT p.currency, sum(p.amount_micro)::bigint FROM billing_payout p JOIN billing_stripecommand c ON c.id = p.command_id
 WHERE p.status = 'sending' AND c.status = 'queued' GROUP BY p.currency
"""


def send_due(*, limit: int = 500) -> int:
    """Start up to `limit` payouts that are due, oldest first, as far as our balance at Stripe covers them.

    Returns the number of payouts. Each gets a command to Stripe, which a worker sends. `status_code` of the others
    names the reason why they wait. The first payout that is not covered stops the later ones of its currency, so that
    smaller ones cannot overtake a large one for ever. Safe in many processes at once. Raises StripeUnavailable if
    Stripe does not answer what our balance is.
    """
    suspicions.hold()
    due = Payout.objects.filter(status=Status.SCHEDULED, due_at__lte=timezone.now())
    if not settings.STRIPE_SECRET_KEY or not due.exists():
        return 0
    available = gateway.available_minor()
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [ADVISORY_LOCK])
        cursor.execute(SUM_BEING_SENT)
        sending, now = dict(cursor), timezone.now()
        picked: list[DuePayout] = []
        short: list[str] = []
        for currency in due.values_list("currency", flat=True).distinct().order_by("currency"):
            left_micro = to_micro(available.get(currency, 0), currency) - sending.get(currency, 0)
            cursor.execute(NEXT_DUE, [now, currency, limit - len(picked)])
            rows = cursor.fetchall()
            covered = _covered(rows, left_micro)
            picked += covered
            if len(covered) < len(rows):
                short.append(currency)
        if picked:
            _begin(picked)
        cursor.execute(STORE_WAIT_CODES, [now, short])
    return len(picked)


def hold(*, payout: Payout, reason: str, actor: User | None) -> Payout:
    """Hold a scheduled payout until it is released. Holding it again changes nothing.

    Raises Conflict (`payout_not_waiting`) once it is being sent.
    """
    with transaction.atomic():
        row = _locked(payout, Status.SCHEDULED)
        if row.held_at is None:
            row.held_at, row.held_reason, row.status_code = timezone.now(), reason[:200], "held"
            row.save(update_fields=["held_at", "held_reason", "status_code"])
            audit.record(actor=actor, action="payout.hold", subject=row.public_id, reason=reason)
    return row


def release(*, payout: Payout, actor: User | None) -> Payout:
    """Lift the hold of a scheduled payout. Releasing one that is not held changes nothing.

    Raises Conflict (`payout_not_waiting`) once it is being sent.
    """
    with transaction.atomic():
        row = _locked(payout, Status.SCHEDULED)
        if row.held_at is not None:
            row.held_at, row.held_reason, row.status_code, row.released_at = None, "", "", timezone.now()
            row.save(update_fields=["held_at", "held_reason", "status_code", "released_at"])
            audit.record(actor=actor, action="payout.release", subject=row.public_id)
            wake("billing.send_payouts")
    return row


def return_to_balance(*, payout: Payout, reason: str, actor: User | None) -> Payout:
    """Give a payout up: the amount is owed to the owner again, on the next statement.

    Returning it again changes nothing. Raises Conflict: `payout_may_be_sent` if a transfer may have been made or may
    still be made, `payout_not_waiting` if the payout was paid or reversed.
    """
    with transaction.atomic():
        row = _locked_unsent(payout, Status.RETURNED)
        if row.status == Status.RETURNED:
            return row
        places = [
            AccountName(kind=kind, currency=row.currency, owner_id=row.owner_id)
            for kind in (Kind.IN_TRANSIT, Kind.PAYABLE)
        ]
        accounts = posting.accounts(places)
        audit.record(actor=actor, action="payout.return", subject=row.public_id, reason=reason)
        posted = posting.post(
            [
                Posting(
                    kind=LedgerTransfer.Kind.RETURN,
                    debit=accounts[places[0]],
                    credit=accounts[places[1]],
                    amount_micro=row.amount_micro,
                    idempotency_key=f"payout:{row.public_id}:returned",
                    meta={"payout": str(row.public_id)},
                )
            ]
        )
        transition(row, Status.RETURNED, code=row.status_code, returned=posted.transfers[0], ended_at=timezone.now())
    return row


def schedule_again(*, payout: Payout, actor: User | None) -> Payout:
    """Schedule a payout again whose transfer Stripe refused; the next attempt uses a new idempotency key.

    Raises Conflict as `return_to_balance`.
    """
    with transaction.atomic():
        row = _locked_unsent(payout, Status.SCHEDULED)
        if row.status == Status.SENDING:
            transition(row, Status.SCHEDULED, command=None, account=None)
            audit.record(actor=actor, action="payout.schedule_again", subject=row.public_id)
            wake("billing.send_payouts")
    return row


def reverse(*, payout: Payout, reason: str, actor: User | None, cause: str = Payout.Cause.FRAUD) -> Payout:
    """Request the reversal of a paid payout, for fraud or a wrong payee. Returns and raises as `reversals.request`."""
    return reversals.request(payout=payout, reason=reason, actor=actor, cause=cause)


def _covered(rows: Sequence[tuple[int, int, object, int]], left_micro: int) -> list[DuePayout]:
    """Return the first payouts of `rows`, as many as the balance covers."""
    sums = accumulate(amount_micro for _, _, _, amount_micro in rows)
    return [
        (pk, account, public_id)
        for (pk, account, public_id, _), total in zip(rows, sums, strict=True)
        if total <= left_micro
    ]


def _begin(picked: Sequence[DuePayout]) -> None:
    """Write a command for each payout and mark the payouts as being sent, in one SQL statement each."""
    with connection.cursor() as cursor:
        cursor.execute(COUNT_ATTEMPTS, [[pk for pk, _, _ in picked]])
        tried = dict(cursor)
        commands = StripeCommand.objects.bulk_create(
            [
                StripeCommand(
                    kind=StripeCommand.Kind.CREATE_TRANSFER,
                    subject_id=pk,
                    idempotency_key=f"payout:{public_id}:transfer:v{tried.get(pk, 0) + 1}",
                )
                for pk, _, public_id in picked
            ]
        )
        ids, accounts = [pk for pk, _, _ in picked], [account for _, account, _ in picked]
        cursor.execute(MARK_SENDING, [ids, [command.pk for command in commands], accounts])
    wake(outbox.TASK)


def _locked(payout: Payout, status: str) -> Payout:
    row = Payout.objects.select_for_update().get(pk=payout.pk)
    if row.status != status:
        raise Conflict(f"This payout is {row.get_status_display().lower()}.", code="payout_not_waiting")
    return row


def _locked_unsent(payout: Payout, final_status: str) -> Payout:
    """Return the payout, locked, if no transfer can be made for it any more, or if it has `final_status` already.

    The command is locked before the payout, in the order in which the outbox locks them. Raises Conflict as
    `return_to_balance`.
    """
    command_id = Payout.objects.values_list("command_id", flat=True).get(pk=payout.pk)
    command = StripeCommand.objects.select_for_update().filter(pk=command_id).first()
    row = Payout.objects.select_for_update().get(pk=payout.pk)
    if row.status == final_status:
        return row
    if row.status not in (Status.SCHEDULED, Status.SENDING):
        raise Conflict(f"This payout is {row.get_status_display().lower()}.", code="payout_not_waiting")
    is_unsent = command is None or (command.status == StripeCommand.Status.DEAD and not command.outcome_unknown)
    if row.command_id != command_id or not is_unsent:
        raise Conflict("A transfer may have been made: wait for Stripe's answer.", code="payout_may_be_sent")
    return row
