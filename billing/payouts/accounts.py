"""Where an owner is paid: an account at Stripe, asked for here, filled in on Stripe's pages, and read again when it changes."""

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


def of(owner: Owner) -> ConnectedAccount | None:
    """The owner's account in use, if there is one."""
    return ConnectedAccount.objects.filter(owner=owner).exclude(status=Status.CLOSED).first()


def start(*, owner: Owner, country: str, idempotency_key: str) -> ConnectedAccount:
    """Ask for an account in a country: its row, and the command that makes it at Stripe. One at a time for each owner:
    asking again returns it. One that could not be made is closed and asked for anew, perhaps in another country.

    Raises InvalidInput (`payouts_off`, `country_unsupported`) and Conflict (`account_exists` in another country,
    `account_pending` while nobody knows whether the last one was made, `owner_closed`).
    """
    if not settings.STRIPE_SECRET_KEY:
        raise InvalidInput("Payouts are switched off here.", code="payouts_off")
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
    except IntegrityError:  # somebody else asked at the same moment, or the key was used for one that is closed now
        existing = of(owner)
        if existing is None:
            raise Conflict("This key was used before.", code="idempotency_conflict") from None
    if existing.country != country:
        raise Conflict("You are paid in another country already.", code="account_exists")
    return existing


def send_now(account: ConnectedAccount) -> None:
    """Have Stripe make it now, without waiting for a worker. Never raises for Stripe's sake."""
    if account.status == Status.CREATED:
        outbox.send_now(account.command)


def onboarding_url(*, account: ConnectedAccount, return_url: str, refresh_url: str) -> str:
    """A fresh link to Stripe's page for the owner, who must be the one asking: whoever opens it fills in the account.

    It opens once and for minutes only; it is never stored and never mailed. Outside a transaction.
    Raises Conflict (`account_pending`, `account_closed`), StripeUnavailable, StripeRefused.
    """
    account_states.refuse_closed(account)
    if account.stripe_id is None:
        raise Conflict("Stripe is still preparing your account.", code="account_pending")
    updates = account.status == Status.ACTIVE and not account_states.asks_the_owner(account)
    return gateway.account_link(
        account.stripe_id,
        use_case="account_update" if updates else "account_onboarding",
        return_url=return_url,
        refresh_url=refresh_url,
    )


def dashboard_url(*, account: ConnectedAccount) -> str:
    """A fresh link to the owner's dashboard at Stripe. As `onboarding_url`."""
    account_states.refuse_closed(account)
    if account.stripe_id is None:
        raise Conflict("Stripe is still preparing your account.", code="account_pending")
    return gateway.login_link(account.stripe_id)


def refresh(*, account: ConnectedAccount) -> ConnectedAccount:
    """Ask Stripe how it stands and act on that. Outside a transaction. Raises StripeUnavailable, StripeMissing."""
    if account.stripe_id is None or account.status == Status.CLOSED:
        return account
    asked_at = timezone.now()
    return apply(gateway.retrieve_account(account.stripe_id), asked_at=asked_at) or account


def refresh_unready(*, limit: int = 200) -> int:
    """Read again the accounts that are not ready, and those of which something is asked: what no webhook brought.

    How many were read. Raises StripeUnavailable.
    """
    rows = ConnectedAccount.objects.exclude(stripe_id=None).exclude(status=Status.CLOSED)
    waiting = rows.exclude(status=Status.ACTIVE) | rows.exclude(requirements=[])
    return _read_again(waiting, limit)


def refresh_to_be_paid(*, limit: int = 200) -> int:
    """Read again the ready accounts that are about to be paid and were not read for half a day: Stripe may have restricted one,
    and its event be lost. Until none is left, or `limit` were read; how many were. Raises StripeUnavailable.
    """
    now = timezone.now()
    due = Payout.objects.filter(status=Payout.Status.SCHEDULED, due_at__lte=now + DAY, held_at=None)
    old = Q(checked_at=None) | Q(checked_at__lt=now - DAY / 2)
    rows = ConnectedAccount.objects.filter(old, status=Status.ACTIVE, owner_id__in=due.values("owner_id"))
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
    """Bring our row to where the account is at Stripe. Any number of times, in any order: what was asked earlier than
    what we know already changes nothing. None when the account is not ours.
    """
    with transaction.atomic():
        row = _row_of(account)
        if row is None or (row.checked_at and row.checked_at > asked_at):
            return row
        state = account_states.state_of(account)
        before, asked_before = row.status, account_states.asks_the_owner(row)
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
        _tell(row, before, asked_before)
    return row


def close(*, account: ConnectedAccount) -> ConnectedAccount:
    """Pay to it no more. The account at Stripe stays the owner's. Closing twice changes nothing.

    Raises Conflict (`payout_under_way`) while a payout is being sent, and InvalidTransition while it is being made.
    """
    with transaction.atomic():
        row = ConnectedAccount.objects.select_for_update().get(pk=account.pk)
        if row.status == Status.CLOSED:
            return row
        if row.payouts.filter(status=Payout.Status.SENDING).exists():
            raise Conflict("A payout is being sent there.", code="payout_under_way")
        transition(row, Status.CLOSED, ended_at=timezone.now())
        audit.record(actor=row.owner.user, action="payout_account.close", subject=row.owner.public_id)
    return row


def _usable(owner: Owner) -> ConnectedAccount | None:
    """The account in use. One that certainly was not made is closed; of one that perhaps was, nobody makes a second."""
    row = ConnectedAccount.objects.select_for_update().filter(owner=owner).exclude(status=Status.CLOSED).first()
    if row is None or row.status != Status.FAILED:
        return row
    if StripeCommand.objects.get(pk=row.command_id).outcome_unknown:
        raise Conflict("Stripe has not told us whether your account was made.", code="account_pending")
    transition(row, Status.CLOSED, code=row.status_code, ended_at=timezone.now())
    return None


def _create(owner: Owner, country: str, idempotency_key: str) -> ConnectedAccount:
    row = ConnectedAccount(owner=owner, country=country, currency=owner.currency)
    row.pk = next_id(ConnectedAccount)  # the command names the row and the row its command: the id is drawn first
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
    """By its id, or, if we died before we wrote that down, by the command that made it."""
    rows = ConnectedAccount.objects.select_for_update(of=("self",)).select_related("owner__user")
    found = rows.filter(stripe_id=account.id).first()
    if found is None and account.command:
        found = rows.filter(stripe_id=None, command__idempotency_key=account.command).first()
    return None if found is None or found.status == Status.CLOSED else found


def _tell(row: ConnectedAccount, before: str, asked_before: bool) -> None:
    """A mail when the owner must act, when payouts can begin, and when Stripe stops them. No link of Stripe's in it."""
    became = row.status if row.status != before else ""
    if became == Status.ACTIVE:
        _mail(row, "payout-account-ready")
        wake(SEND_PAYOUTS)
    elif became == Status.RESTRICTED:
        _mail(row, "payout-account-restricted")
    asks_anew = became == Status.ONBOARDING and before in (Status.PENDING, Status.RESTRICTED, Status.ACTIVE)
    asks_while_ready = row.status == before == Status.ACTIVE and not asked_before
    if account_states.asks_the_owner(row) and (asks_anew or asks_while_ready):
        _mail(row, "payout-account-action")


def _mail(row: ConnectedAccount, kind: str) -> None:
    assert row.checked_at is not None  # apply set it
    deadline = {"deadline_on": row.deadline_at.date().isoformat()} if row.deadline_at else {}
    mails.queue(
        user=row.owner.user, kind=kind, dedupe_key=f"{kind}:{row.pk}:{row.checked_at.isoformat()}", context=deadline
    )
