"""Promotional credit, which the platform gives to customers at its own expense.

Owners are paid for such work as for any other.
"""

from django.conf import settings
from django.db import transaction

from accounts.access import audit
from accounts.models import Organization, User
from billing.ledger import posting
from billing.ledger.posting import AccountName, Posting
from billing.models import LedgerAccount, LedgerTransfer, PromoCredit
from core.errors import Conflict, InvalidInput

Kind = LedgerAccount.Kind


def grant(
    *, organization: Organization, amount_micro: int, reason: str, idempotency_key: str, actor: User | None
) -> PromoCredit:
    """Grant promotional credit, which jobs use first and which is never refunded. The same key again returns the first.

    Raises InvalidInput (`amount_invalid`, `amount_too_large` above PROMO_CREDIT_MAX_MICRO, `reason_missing`), and
    Conflict (`idempotency_conflict`) when the key was used with another amount.
    """
    if amount_micro <= 0 or not idempotency_key:
        raise InvalidInput("The amount must be more than zero.", code="amount_invalid", amount_micro=amount_micro)
    if amount_micro > settings.PROMO_CREDIT_MAX_MICRO:
        largest = settings.PROMO_CREDIT_MAX_MICRO
        raise InvalidInput("The amount is too large for one grant.", code="amount_too_large", max_micro=largest)
    if not reason.strip():
        raise InvalidInput("Give the reason of the grant.", code="reason_missing")
    with transaction.atomic():
        expense = AccountName(kind=Kind.PROMOTION, currency=organization.currency)
        wallet = AccountName(kind=Kind.PROMO_WALLET, currency=organization.currency, organization_id=organization.pk)
        accounts = posting.accounts([expense, wallet])
        result = posting.post(
            [
                Posting(
                    kind=LedgerTransfer.Kind.PROMO,
                    debit=accounts[expense],
                    credit=accounts[wallet],
                    amount_micro=amount_micro,
                    idempotency_key=f"promo:{organization.pk}:{idempotency_key}",
                )
            ]
        )
        if not result.new:  # the ledger knows the key: this grant was made before
            return _replayed(organization, idempotency_key, reason)
        credit = PromoCredit.objects.create(
            organization=organization,
            amount_micro=amount_micro,
            currency=organization.currency,
            reason=reason[:200],
            granted_by=actor,
            idempotency_key=idempotency_key,
            transfer=result.transfers[0],
        )
        audit.record(
            actor=actor,
            action="wallet.promo_credit",
            subject=organization.public_id,
            amount_micro=amount_micro,
            currency=organization.currency,
            reason=credit.reason,
        )
    return credit


def _replayed(organization: Organization, idempotency_key: str, reason: str) -> PromoCredit:
    """Return the first grant under this key. The ledger has compared the amount; the reason is compared here."""
    first = PromoCredit.objects.get(organization=organization, idempotency_key=idempotency_key)
    if first.reason != reason[:200]:
        raise Conflict("This key was used with another reason.", code="idempotency_conflict")
    return first
