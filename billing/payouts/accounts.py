"""Owners' accounts at Stripe, to which they are paid.

An account is requested here, filled in on Stripe's pages, and read again when it changes.
"""

import logging
from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from accounts.access import audit
from accounts.mails import outbox as mails
from accounts.models import Owner
from billing.models import ConnectedAccount, Payout, StripeCommand
from billing.payouts import account_states
from billing.stripe import gateway, outbox
from billing.stripe.gateway import PayeeAccount
from core.db import next_id
from core.errors import Conflict, InvalidInput
from core.states import transition
from core.workers import wake

logger = logging.getLogger(__name__)
Status = ConnectedAccount.Status
DAY = timedelta(days=1)
SEND_PAYOUTS = "billing.send_payouts"


def account_of(owner: Owner) -> ConnectedAccount | None:
    """Return the owner's account in use, or None."""
    return ConnectedAccount.objects.filter(owner=owner).exclude(status=Status.CLOSED).first()


def start(*, owner: Owner, country: str, idempotency_key: str) -> ConnectedAccount:
    """Return the owner's account in a country; if there is none, make its row and the command that makes it at Stripe.

    An owner has one account at a time: asking again returns it. If the last one could not be made, it is closed and a
    new one is requested, possibly in another country.

    Raises InvalidInput (`payouts_off`, `country_unsupported`) and Conflict: `account_exists` in another country,
    `account_pending` while it is unknown whether Stripe made the last one, `idempotency_conflict` if the key was used
    for an account that is closed, `owner_closed`.
    """
    if not settings.STRIPE_SECRET_KEY:
        raise InvalidInput("Payouts are switched off on this site.", code="payouts_off")
    country = country.strip().upper()
    if country not in settings.PAYOUT_COUNTRIES:
        raise InvalidInput("We cannot pay to this country yet.", code="country_unsupported", country=country)
    if owner.erased_at:
        raise Conflict("This account has been erased.", code="owner_closed")
    try:
        with transaction.atomic():
            existing = _usable(owner)
            if existing is None:
                return _create(owner, country, idempotency_key)
    except IntegrityError:  # another request at the same moment, or the key was used for an account that is closed now
        existing = account_of(owner)
        if existing is None:
            raise Conflict("This key was used for another account.", code="idempotency_conflict") from None
    if existing.country != country:
        raise Conflict("You already have a payout account in another country.", code="account_exists")
    return existing


def send_now(account: ConnectedAccount) -> None:
    """Have Stripe make the account after the commit, without waiting for a worker. Errors are left to the workers."""
    if account.status == Status.CREATED:
        outbox.send_now(account.command)


def onboarding_url(*, account: ConnectedAccount, return_url: str, refresh_url: str) -> str:
    """Return a fresh link to Stripe's page on which the owner fills in the account.

    Anyone who opens the link can fill in the account, so the caller must have checked that the request comes from the
    owner. The link works once and for minutes only; it is never stored and never mailed. Call it outside a transaction.
    Raises Conflict (`account_pending`, `account_closed`), StripeUnavailable, StripeRefused.
    """
    account_states.refuse_closed(account)
    if account.stripe_id is None:
        raise Conflict("Stripe is still preparing your account.", code="account_pending")
    is_complete = account.status == Status.ACTIVE and not account_states.needs_owners_answer(account)
    return gateway.account_link(
        account.stripe_id,
        use_case="account_update" if is_complete else "account_onboarding",
        return_url=return_url,
        refresh_url=refresh_url,
    )


def dashboard_url(*, account: ConnectedAccount) -> str:
    """Return a fresh link to the owner's dashboard at Stripe. Conditions and errors as for `onboarding_url`."""
    account_states.refuse_closed(account)
    if account.stripe_id is None:
        raise Conflict("Stripe is still preparing your account.", code="account_pending")
    return gateway.login_link(account.stripe_id)


def refresh(*, account: ConnectedAccount) -> ConnectedAccount:
    """Read the account at Stripe, apply what it shows, and return our row. A closed account is not read.

    Call it outside a transaction. Raises StripeUnavailable, StripeMissing.
    """
    if account.stripe_id is None or account.status == Status.CLOSED:
        return account
    asked_at = timezone.now()
    return apply(gateway.retrieve_account(account.stripe_id), asked_at=asked_at) or account


def refresh_unready(*, limit: int = 200) -> int:
    """Read again the accounts that are not ready, or have open requirements, in case a webhook was lost.

    Returns how many were read. Raises StripeUnavailable.
    """
    rows = ConnectedAccount.objects.exclude(stripe_id=None).exclude(status=Status.CLOSED)
    waiting = rows.exclude(status=Status.ACTIVE) | rows.exclude(requirements=[])
    return _read_again(waiting, limit)


def refresh_to_be_paid(*, limit: int = 200) -> int:
    """Read again the ready accounts that will be paid within a day and were not read for half a day, up to `limit`.

    Stripe may have restricted one, and the event about it been lost. Returns how many were read. Raises
    StripeUnavailable.
    """
    now = timezone.now()
    due = Payout.objects.filter(status=Payout.Status.SCHEDULED, due_at__lte=now + DAY, held_at=None)
    not_read_lately = Q(checked_at=None) | Q(checked_at__lt=now - DAY / 2)
    rows = ConnectedAccount.objects.filter(not_read_lately, status=Status.ACTIVE, owner_id__in=due.values("owner_id"))
    return _read_again(rows.exclude(stripe_id=None), limit)


def _read_again(rows: QuerySet[ConnectedAccount], limit: int) -> int:
    found = list(rows.order_by("checked_at", "id")[:limit])
    for row in found:
        try:
            refresh(account=row)
        except gateway.StripeRefused as error:
            logger.warning("account %s cannot be read: %s", row, error)
    return len(found)


def apply(account: PayeeAccount, *, asked_at: datetime) -> ConnectedAccount | None:
    """Bring our row to the state that Stripe shows, and return it; None if the account is not ours or closed.

    May run any number of times, in any order: an answer that was requested (`asked_at`) before the one that we applied
    last changes nothing.
    """
    with transaction.atomic():
        row = _row_of(account)
        if row is None or (row.checked_at and row.checked_at > asked_at):
            return row
        state = account_states.state_of(account)
        status_before, asked_before = row.status, account_states.needs_owners_answer(row)
        row.stripe_id, row.checked_at = account.id, asked_at
        row.transfers_status, row.payouts_status = account.transfers_status, account.payouts_status
        row.requirements, row.deadline_at = state.requirements, state.deadline_at
        row.save(
            update_fields=[
                "stripe_id",
                "checked_at",
                "transfers_status",
                "payouts_status",
                "requirements",
                "deadline_at",
            ]
        )
        if state.status != row.status:
            ended_at = timezone.now() if state.status == Status.CLOSED else None
            transition(row, state.status, code=state.status_code, ended_at=ended_at)
        elif state.status_code != row.status_code:
            row.status_code = state.status_code
            row.save(update_fields=["status_code"])
        _notify(row, status_before, asked_before)
    return row


def close(*, account: ConnectedAccount) -> ConnectedAccount:
    """Close the account on our side: nothing is paid to it any more. At Stripe it stays the owner's.

    Closing it again changes nothing. Raises Conflict (`payout_under_way`) while a payout is being sent to it, and
    InvalidTransition while it is still being made.
    """
    with transaction.atomic():
        row = ConnectedAccount.objects.select_for_update().get(pk=account.pk)
        if row.status == Status.CLOSED:
            return row
        if row.payouts.filter(status=Payout.Status.SENDING).exists():
            raise Conflict("A payout is being sent to this account.", code="payout_under_way")
        transition(row, Status.CLOSED, ended_at=timezone.now())
        audit.record(actor=row.owner.user, action="payout_account.close", subject=row.owner.public_id)
    return row


def _usable(owner: Owner) -> ConnectedAccount | None:
    """Return the account in use, or None.

    An account that Stripe certainly did not make is closed here. If it is unknown whether Stripe made it, Conflict
    (`account_pending`) is raised, so that an owner never gets two accounts.
    """
    row = ConnectedAccount.objects.select_for_update().filter(owner=owner).exclude(status=Status.CLOSED).first()
    if row is None or row.status != Status.FAILED:
        return row
    if StripeCommand.objects.get(pk=row.command_id).outcome_unknown:
        raise Conflict("We do not know yet whether Stripe has made your account.", code="account_pending")
    transition(row, Status.CLOSED, code=row.status_code, ended_at=timezone.now())
    return None


def _create(owner: Owner, country: str, idempotency_key: str) -> ConnectedAccount:
    row = ConnectedAccount(owner=owner, country=country, currency=owner.currency)
    row.pk = next_id(ConnectedAccount)  # row and command refer to each other, so the row's id is taken first
    row.command = outbox.queue(
        kind=StripeCommand.Kind.CREATE_ACCOUNT,
        subject_id=row.pk,
        idempotency_key=f"account:{owner.public_id}:{idempotency_key[:100]}:v1",
    )
    row.save(force_insert=True)
    audit.record(
        actor=owner.user, action="payout_account.start", subject=owner.public_id, country=country, currency=row.currency
    )
    return row


def _row_of(account: PayeeAccount) -> ConnectedAccount | None:
    """Return our row, locked, or None: by Stripe's id, or by the command if we crashed before we stored that id."""
    rows = ConnectedAccount.objects.select_for_update(of=("self",)).select_related("owner__user")
    found = rows.filter(stripe_id=account.id).first()
    if found is None and account.command:
        found = rows.filter(stripe_id=None, command__idempotency_key=account.command).first()
    return None if found is None or found.status == Status.CLOSED else found


def _notify(row: ConnectedAccount, status_before: str, asked_before: bool) -> None:
    """Mail the owner if payouts can begin, if Stripe stops them, or if the owner must act. No mail has a link."""
    new_status = row.status if row.status != status_before else ""
    if new_status == Status.ACTIVE:
        _mail(row, "payout-account-ready")
        wake(SEND_PAYOUTS)
    elif new_status == Status.RESTRICTED:
        _mail(row, "payout-account-restricted")
    asks_anew = new_status == Status.ONBOARDING and status_before in (
        Status.PENDING,
        Status.RESTRICTED,
        Status.ACTIVE,
    )
    asks_while_ready = row.status == status_before == Status.ACTIVE and not asked_before
    if account_states.needs_owners_answer(row) and (asks_anew or asks_while_ready):
        _mail(row, "payout-account-action")


def _mail(row: ConnectedAccount, kind: str) -> None:
    assert row.checked_at is not None  # set by `apply`
    deadline = {"deadline_on": row.deadline_at.date().isoformat()} if row.deadline_at else {}
    mails.queue(
        user=row.owner.user, kind=kind, dedupe_key=f"{kind}:{row.pk}:{row.checked_at.isoformat()}", context=deadline
    )
