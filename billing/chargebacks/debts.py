"""The money of chargebacks: what a bank took back, what the customer's wallet paid for it, and what is still owed.

The debt is computed from the dispute's own transfers in the ledger, found by their keys `card_dispute:<stripe id>:...`;
no second copy of it is kept.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F, QuerySet

from accounts.models import Organization
from billing.chargebacks import suspensions
from billing.ledger import posting
from billing.ledger.locks import lock
from billing.ledger.posting import AccountName, Posting
from billing.models import CardDispute, LedgerAccount, LedgerTransfer

Kind, Does = LedgerAccount.Kind, LedgerTransfer.Kind
Status = CardDispute.Status


@dataclass(frozen=True)
class Debt:
    """How the money of one dispute stands."""

    owed_micro: int  # what the customer still owes
    given_micro: int  # what the wallet has paid for it
    parts: int  # in how many transfers the wallet paid
    written_off: LedgerTransfer | None


@dataclass(frozen=True)
class Accounts:
    """The ledger accounts that a dispute moves. The organization's two are locked until the end of the transaction."""

    wallet: LedgerAccount
    disputed: LedgerAccount
    clearing: LedgerAccount
    loss: LedgerAccount


def debt(dispute: CardDispute) -> Debt:
    """Return the debt of a dispute, computed from its transfers."""
    postings = LedgerTransfer.objects.filter(idempotency_key__startswith=f"card_dispute:{dispute.stripe_id}:")
    rows = list(postings.select_related("debit", "credit").order_by("id"))
    owed = sum(
        row.amount_micro * ((row.debit.kind == Kind.DISPUTED) - (row.credit.kind == Kind.DISPUTED)) for row in rows
    )
    offsets = [row for row in rows if row.kind == Does.OFFSET]
    given = sum(row.amount_micro * (1 if row.debit.kind == Kind.WALLET else -1) for row in offsets)
    written_off = next((row for row in rows if row.kind == Does.WRITE_OFF), None)
    return Debt(owed, given, len(offsets), written_off)


def settle(dispute: CardDispute, *, taken: tuple[int, datetime] | None, returned: tuple[int, datetime] | None) -> None:
    """Post what Stripe's balance shows of a dispute and is not posted yet, and let the wallet pay what is owed.

    `taken` and `returned` are (micro-units, time) of the bank's withdrawal and of its return. Call it in a transaction
    that has locked the organization and the dispute.
    """
    new_taken = taken if dispute.withdrawn_at is None else None
    new_returned = returned if dispute.reinstated_at is None and (new_taken or dispute.withdrawn_at) else None
    before = debt(dispute)
    may_owe = before.owed_micro or new_taken
    if not (new_taken or new_returned or may_owe):
        return
    accounts = locked_accounts(dispute)
    postings: list[Posting] = []
    owed = before.owed_micro
    if new_taken:
        micro, taken_at = new_taken
        postings.append(
            _posting(dispute, "withdrawn", accounts.disputed, accounts.clearing, micro, Does.DISPUTE, at=taken_at)
        )
        owed += micro
    if new_returned:
        postings += _returned(dispute, accounts, before, *new_returned)
    elif owed > 0 and is_claimed(dispute):
        postings += _offset(dispute, accounts, before, min(owed, accounts.wallet.balance_micro))
    posting.post(postings)
    dispute.withdrawn_at = new_taken[1] if new_taken else dispute.withdrawn_at
    dispute.reinstated_at = new_returned[1] if new_returned else dispute.reinstated_at
    dispute.save(update_fields=["withdrawn_at", "reinstated_at"])


def write_off(dispute: CardDispute) -> int:
    """Book what is still owed for a dispute as our loss, and return the micro-units.

    Call it in a transaction that has locked the organization and the dispute.
    """
    accounts, owed = locked_accounts(dispute), debt(dispute).owed_micro
    if owed > 0:
        posting.post([_posting(dispute, "write_off", accounts.loss, accounts.disputed, owed, Does.WRITE_OFF)])
    return owed


def lock_if_owed(organization: Organization) -> bool:
    """Lock the organization if it owes something for chargebacks, and return whether it does.

    Call it before any of the organization's accounts is locked: the organization comes first in the order of locks.
    """
    owes = _accounts_in_debt().filter(organization=organization, currency=organization.currency).exists()
    if owes:
        lock(organization.pk)
    return owes


def collect(organization: Organization) -> int:
    """Let the wallet pay what is owed for chargebacks, oldest first, and return the micro-units that were paid.

    The organization's suspension is lifted if no dispute justifies it any more. Repeatable, and safe in many processes
    at once.
    """
    with transaction.atomic():
        organization = lock(organization.pk)
        rows = CardDispute.objects.select_for_update(no_key=True).filter(
            organization=organization, withdrawn_at__isnull=False, reinstated_at=None, written_off_at=None
        )
        claimed = [row for row in rows.order_by("id") if is_claimed(row)]
        if not claimed:
            return 0
        accounts = locked_accounts(claimed[0])
        left, postings = accounts.wallet.balance_micro, list[Posting]()
        for row in claimed:
            before = debt(row)
            part = min(left, before.owed_micro)
            postings += _offset(row, accounts, before, part)
            left -= max(0, part)
        posting.post(postings)
        suspensions.update_suspension(organization)
    return accounts.wallet.balance_micro - left


def organizations_owing(*, limit: int) -> list[Organization]:
    """Return organizations that owe something for chargebacks and have money in the wallet, by id.

    The money may come from the rest of a job's hold, or from a refund that failed.
    """
    funded = LedgerAccount.objects.filter(kind=Kind.WALLET, balance_micro__gt=0, currency=F("organization__currency"))
    taken = CardDispute.objects.filter(withdrawn_at__isnull=False, reinstated_at=None, written_off_at=None)
    in_debt = _accounts_in_debt().filter(organization__in=taken.values("organization"))
    ids = in_debt.filter(organization__in=funded.values("organization")).values("organization")[:limit]
    return list(Organization.objects.filter(pk__in=ids).order_by("pk"))


def is_claimed(dispute: CardDispute) -> bool:
    """Return whether the customer has to pay for the dispute. Not if it was won: the bank will return the money."""
    return dispute.status not in (Status.WON, Status.CLOSED) and dispute.written_off_at is None


def locked_accounts(dispute: CardDispute) -> Accounts:
    """Return the accounts that a dispute moves, with the organization's two locked.

    They are locked in the order of their ids, as the ledger does it, so that two transactions cannot deadlock.
    """
    places = {
        "wallet": AccountName(kind=Kind.WALLET, currency=dispute.currency, organization_id=dispute.organization_id),
        "disputed": AccountName(kind=Kind.DISPUTED, currency=dispute.currency, organization_id=dispute.organization_id),
        "clearing": AccountName(kind=Kind.STRIPE_CLEARING, currency=dispute.currency),
        "loss": AccountName(kind=Kind.DISPUTE_LOSS, currency=dispute.currency),
    }
    found = posting.accounts(places.values())
    own = [found[places[name]].pk for name in ("wallet", "disputed")]
    held = {
        row.pk: row for row in LedgerAccount.objects.select_for_update(no_key=True).filter(pk__in=own).order_by("id")
    }
    return Accounts(*(held.get(found[place].pk, found[place]) for place in places.values()))


def _accounts_in_debt() -> QuerySet[LedgerAccount]:
    return LedgerAccount.objects.filter(kind=Kind.DISPUTED, balance_micro__gt=0)


def _returned(dispute: CardDispute, accounts: Accounts, before: Debt, micro: int, at: datetime) -> list[Posting]:
    """Return the postings when the bank returns the money: the wallet is repaid, and a write-off is reversed."""
    postings = [_posting(dispute, "reinstated", accounts.clearing, accounts.disputed, micro, Does.DISPUTE, at=at)]
    if before.given_micro:
        postings.append(
            _posting(dispute, "offset_back", accounts.disputed, accounts.wallet, before.given_micro, Does.OFFSET)
        )
    if loss := before.written_off:
        mirrored = (loss.credit, loss.debit, loss.amount_micro, Does.REVERSAL)
        postings.append(_posting(dispute, "write_off:returned", *mirrored, reverses=loss))
    return postings


def _offset(dispute: CardDispute, accounts: Accounts, before: Debt, micro: int) -> list[Posting]:
    if micro <= 0:
        return []
    return [_posting(dispute, f"offset:{before.parts + 1}", accounts.wallet, accounts.disputed, micro, Does.OFFSET)]


def _posting(
    dispute: CardDispute,
    part: str,
    debit: LedgerAccount,
    credit: LedgerAccount,
    micro: int,
    kind: str,
    *,
    at: datetime | None = None,
    reverses: LedgerTransfer | None = None,
) -> Posting:
    return Posting(
        kind=kind,
        debit=debit,
        credit=credit,
        amount_micro=micro,
        effective_at=at,
        reverses=reverses,
        idempotency_key=f"card_dispute:{dispute.stripe_id}:{part}",
        meta={"card_dispute": str(dispute.public_id)},
    )
