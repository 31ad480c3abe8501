"""Credit that the platform gives away, at its own expense: owners are paid all the same."""

from django.conf import settings
from django.db import transaction

from accounts.access import audit
from accounts.models import Organization, User
from billing.ledger import posting
from billing.ledger.posting import Place, Posting
from billing.models import LedgerAccount, LedgerTransfer, PromoCredit
from core.errors import Conflict, InvalidInput

Kind = LedgerAccount.Kind


def grant(
    *, organization: Organization, amount_micro: int, reason: str, idempotency_key: str, actor: User | None
) -> PromoCredit:
    """Give promotional credit, which jobs use up first and which is never paid out. The same key again returns the first.

    Raises InvalidInput (`amount_invalid`, `amount_too_large` above PROMO_CREDIT_MAX_MICRO, `reason_missing`), and Conflict
    (`idempotency_conflict`) when the key was used with another amount.
    """
    if amount_micro <= 0 or not idempotency_key:
        raise InvalidInput("The amount must be more than zero.", code="amount_invalid", amount_micro=amount_micro)
    if amount_micro > settings.PROMO_CREDIT_MAX_MICRO:
        largest = settings.PROMO_CREDIT_MAX_MICRO
        raise InvalidInput("That is more than one grant may be.", code="amount_too_large", max_micro=largest)
    if not reason.strip():
        raise InvalidInput("Say why.", code="reason_missing")
    with transaction.atomic():
        expense = Place(kind=Kind.PROMOTION, currency=organization.currency)
        wallet = Place(kind=Kind.PROMO_WALLET, currency=organization.currency, organization_id=organization.pk)
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
        if not result.new:
            return _replayed(organization, idempotency_key, reason)
        made = PromoCredit.objects.create(
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
            reason=made.reason,
        )
    return made


def _replayed(organization: Organization, idempotency_key: str, reason: str) -> PromoCredit:
    """The ledger compared the amount; the reason is ours to compare."""
    first = PromoCredit.objects.get(organization=organization, idempotency_key=idempotency_key)
    if first.reason != reason[:200]:
        raise Conflict("This key was used with another reason.", code="idempotency_conflict")
    return first
