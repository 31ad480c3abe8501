"""The money of chargebacks: what a bank took back, what the wallet gave for it, and what is still owed.

A dispute's own postings say how it stands, so nothing is kept beside the ledger. They are found by their keys,
`card_dispute:<stripe id>:...`.
"""

from dataclasses import dataclass
from datetime import datetime

from django.db import transaction
from django.db.models import F, QuerySet

from accounts.models import Organization
from billing.chargebacks import suspensions
from billing.ledger import posting
from billing.ledger.locks import lock
from billing.ledger.posting import Place, Posting
from billing.models import CardDispute, LedgerAccount, LedgerTransfer

Kind, Does = LedgerAccount.Kind, LedgerTransfer.Kind
Status = CardDispute.Status


@dataclass(frozen=True)
class Debt:
    """Of one dispute: what is owed to us still, what the wallet gave, in how many parts, and what was written off."""

    owed_micro: int
    given_micro: int
    parts: int
    written_off: LedgerTransfer | None


@dataclass(frozen=True)
class Accounts:
    """Of one organization, its own two held until the end of the transaction."""

    wallet: LedgerAccount
    disputed: LedgerAccount
    clearing: LedgerAccount
    loss: LedgerAccount


def debt(dispute: CardDispute) -> Debt:
    """How the dispute stands, from its postings."""
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
    """Post what Stripe's balance shows of a dispute, each once: micro-units and moment of the bank's taking and returning.

    In the caller's transaction, which holds the organization and the dispute.
    """
    takes = taken if dispute.withdrawn_at is None else None
    gives_back = returned if dispute.reinstated_at is None and (takes or dispute.withdrawn_at) else None
    was = debt(dispute)
    may_owe = was.owed_micro or takes
    if not (takes or gives_back or may_owe):
        return
    accounts = held_accounts(dispute)
    postings: list[Posting] = []
    owed = was.owed_micro
    if takes:
        postings.append(
            _posting(dispute, "withdrawn", accounts.disputed, accounts.clearing, takes[0], Does.DISPUTE, takes[1])
        )
        owed += takes[0]
    if gives_back:
        postings += _returned(dispute, accounts, was, *gives_back)
    elif owed > 0 and is_claimed(dispute):
        postings += _offset(dispute, accounts, was, min(owed, accounts.wallet.balance_micro))
    posting.post(postings)
    dispute.withdrawn_at = takes[1] if takes else dispute.withdrawn_at
    dispute.reinstated_at = gives_back[1] if gives_back else dispute.reinstated_at
    dispute.save(update_fields=["withdrawn_at", "reinstated_at"])


def write_off(dispute: CardDispute) -> int:
    """What is still owed becomes our loss; how much. In the caller's transaction, which holds organization and dispute."""
    accounts, owed = held_accounts(dispute), debt(dispute).owed_micro
    if owed > 0:
        posting.post([_posting(dispute, "write_off", accounts.loss, accounts.disputed, owed, Does.WRITE_OFF)])
    return owed


def lock_if_owed(organization: Organization) -> bool:
    """Whether something is owed; then the organization is held, before anything of its money is."""
    owes = _owing().filter(organization=organization, currency=organization.currency).exists()
    if owes:
        lock(organization.pk)
    return owes


def collect(organization: Organization) -> int:
    """The wallet gives what it has for what is owed, oldest dispute first; who owes nothing any more may order again.

    How many micro-units. May run twice, at once.
    """
    with transaction.atomic():
        organization = lock(organization.pk)
        rows = CardDispute.objects.select_for_update(no_key=True).filter(
            organization=organization, withdrawn_at__isnull=False, reinstated_at=None, written_off_at=None
        )
        claimed = [row for row in rows.order_by("id") if is_claimed(row)]
        if not claimed:
            return 0
        accounts = held_accounts(claimed[0])
        left, postings = accounts.wallet.balance_micro, list[Posting]()
        for row in claimed:
            was = debt(row)
            part = min(left, was.owed_micro)
            postings += _offset(row, accounts, was, part)
            left -= max(0, part)
        posting.post(postings)
        suspensions.reconsider(organization)
    return accounts.wallet.balance_micro - left


def owing(*, limit: int) -> list[Organization]:
    """Organizations that owe something and have something: what ended jobs or a failed refund gave back."""
    rich = LedgerAccount.objects.filter(kind=Kind.WALLET, balance_micro__gt=0, currency=F("organization__currency"))
    taken = CardDispute.objects.filter(withdrawn_at__isnull=False, reinstated_at=None, written_off_at=None)
    owe = _owing().filter(organization__in=taken.values("organization"))
    ids = owe.filter(organization__in=rich.values("organization")).values("organization")[:limit]
    return list(Organization.objects.filter(pk__in=ids).order_by("pk"))


def is_claimed(dispute: CardDispute) -> bool:
    """Whether the customer is to pay for it: not when it was won and the bank is about to return the money."""
    return dispute.status not in (Status.WON, Status.CLOSED) and dispute.written_off_at is None


def held_accounts(dispute: CardDispute) -> Accounts:
    """The accounts that a dispute moves, the organization's two locked in the order of their ids, as the ledger does."""
    places = {
        "wallet": Place(kind=Kind.WALLET, currency=dispute.currency, organization_id=dispute.organization_id),
        "disputed": Place(kind=Kind.DISPUTED, currency=dispute.currency, organization_id=dispute.organization_id),
        "clearing": Place(kind=Kind.STRIPE_CLEARING, currency=dispute.currency),
        "loss": Place(kind=Kind.DISPUTE_LOSS, currency=dispute.currency),
    }
    found = posting.accounts(places.values())
    own = [found[places[name]].pk for name in ("wallet", "disputed")]
    held = {
        row.pk: row for row in LedgerAccount.objects.select_for_update(no_key=True).filter(pk__in=own).order_by("id")
    }
    return Accounts(*(held.get(found[place].pk, found[place]) for place in places.values()))


def _owing() -> QuerySet[LedgerAccount]:
    return LedgerAccount.objects.filter(kind=Kind.DISPUTED, balance_micro__gt=0)


def _returned(dispute: CardDispute, accounts: Accounts, was: Debt, micro: int, at: datetime) -> list[Posting]:
    """The bank's money, what the wallet had given, and a loss that is none."""
    postings = [_posting(dispute, "reinstated", accounts.clearing, accounts.disputed, micro, Does.DISPUTE, at)]
    if was.given_micro:
        postings.append(
            _posting(dispute, "offset_back", accounts.disputed, accounts.wallet, was.given_micro, Does.OFFSET)
        )
    if lost := was.written_off:
        back = (lost.credit, lost.debit, lost.amount_micro, Does.REVERSAL)
        postings.append(_posting(dispute, "write_off:returned", *back, reverses=lost))
    return postings


def _offset(dispute: CardDispute, accounts: Accounts, was: Debt, micro: int) -> list[Posting]:
    if micro <= 0:
        return []
    return [_posting(dispute, f"offset:{was.parts + 1}", accounts.wallet, accounts.disputed, micro, Does.OFFSET)]


def _posting(
    dispute: CardDispute,
    part: str,
    debit: LedgerAccount,
    credit: LedgerAccount,
    micro: int,
    kind: str,
    at: datetime | None = None,
    *,
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
