"""Goodwill and corrections by hand, as the platform's expense or income.

Called only by an approval of two operators.
"""

from django.db import transaction

from accounts.access import audit
from accounts.models import Organization, Owner, User
from billing.ledger import posting
from billing.ledger.posting import AccountName, Posting
from billing.models import LedgerAccount, LedgerTransfer
from core.errors import InvalidInput

Kind = LedgerAccount.Kind


@transaction.atomic
def adjust_customer(
    *, organization: Organization, amount_micro: int, note: str, idempotency_key: str, actor: User
) -> LedgerTransfer:
    """Add to a wallet (`amount_micro` > 0) or take from it (< 0).

    Return the transfer; the same key again returns the first. Raises InvalidInput (`amount_invalid`) and
    PaymentRequired (`insufficient_funds`): a wallet never goes below zero.
    """
    wallet = AccountName(kind=Kind.WALLET, currency=organization.currency, organization_id=organization.pk)
    return _adjust(wallet, organization.public_id, amount_micro, note, idempotency_key, actor)


@transaction.atomic
def adjust_owner(
    *, owner: Owner, currency: str, amount_micro: int, note: str, idempotency_key: str, actor: User
) -> LedgerTransfer:
    """Add to what an owner is owed (`amount_micro` > 0) or take from it (< 0). What is owed may go below zero.

    Returns the transfer; the same key again returns the first. Raises InvalidInput (`amount_invalid`).
    """
    payable = AccountName(kind=Kind.PAYABLE, currency=currency, owner_id=owner.pk)
    return _adjust(payable, owner.public_id, amount_micro, note, idempotency_key, actor)


def _adjust(
    party: AccountName, subject: object, amount_micro: int, note: str, idempotency_key: str, actor: User
) -> LedgerTransfer:
    if amount_micro == 0:
        raise InvalidInput("The amount of an adjustment cannot be zero.", code="amount_invalid")
    platform = AccountName(kind=Kind.ADJUSTMENT, currency=party.currency)
    accounts = posting.accounts([party, platform])
    debit, credit = (platform, party) if amount_micro > 0 else (party, platform)
    result = posting.post(
        [
            Posting(
                kind=LedgerTransfer.Kind.ADJUSTMENT,
                debit=accounts[debit],
                credit=accounts[credit],
                amount_micro=abs(amount_micro),
                idempotency_key=idempotency_key,
                meta={"note": note},
            )
        ]
    )
    if result.new:
        audit.record(
            actor=actor,
            action="money.adjusted",
            subject=subject,
            amount_micro=amount_micro,
            currency=party.currency,
            note=note,
            transfer=str(result.transfers[0].public_id),
        )
    return result.transfers[0]
