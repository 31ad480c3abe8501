"""A customer's wallet: its balance, and the top-ups that put money into it."""

from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.access import audit
from accounts.models import Organization, User
from billing.chargebacks import debts
from billing.ledger import posting
from billing.ledger.posting import AccountName, Posting
from billing.models import CardTopUp, LedgerAccount, LedgerTransfer, TopUp
from core.errors import Conflict, InvalidInput
from core.states import transition

# Method -> the account that is debited: where the money is before it is in our bank account.
CLEARING = {
    TopUp.Method.MANUAL.value: LedgerAccount.Kind.BANK_CLEARING,
    TopUp.Method.STRIPE.value: LedgerAccount.Kind.STRIPE_CLEARING,
}
REFERENCE_MAX = 120


@dataclass(frozen=True)
class WalletSummary:
    """A wallet in micro-units.

    `balance_micro` is `held_micro` (for open orders) and `available_micro` (to spend) together. `promo_micro` is the
    part of `available_micro` that is promotional credit: spent first, never refunded. `owed_micro` is what the customer
    owes for disputed payments that the wallet did not cover.
    """

    currency: str
    balance_micro: int
    held_micro: int
    available_micro: int
    promo_micro: int = 0
    owed_micro: int = 0


def summary(organization: Organization) -> WalletSummary:
    """Return the wallet's figures: zeros for an organization that never topped up."""
    balances = dict(
        LedgerAccount.objects.filter(
            organization=organization, currency=organization.currency, kind__in=LedgerAccount.OF_ORGANIZATION
        ).values_list("kind", "balance_micro")
    )
    promo, held = balances.get("promo_wallet", 0), balances.get("hold", 0)
    available = balances.get("wallet", 0) + promo
    owed = balances.get("disputed", 0)
    return WalletSummary(organization.currency, available + held, held, available, promo, owed)


def top_up(
    *,
    organization: Organization,
    amount_micro: int,
    method: str,
    reference: str,
    idempotency_key: str,
    actor: User | None,
) -> TopUp:
    """Put money into a wallet and return the top-up. The same key again returns the first.

    For a bank transfer (manual), `reference` is the bank's reference, which is credited only once; in the back office
    two operators approve it (billing/wiring/approvals.py). Raises InvalidInput for an amount that is not positive, an
    unknown method, an empty key or a bank transfer without reference, and Conflict: `idempotency_conflict` when the key
    was used with other values, `reference_used` when the transfer was credited under another key.
    """
    if amount_micro <= 0:
        raise InvalidInput("The amount must be more than zero.", code="amount_invalid", amount_micro=amount_micro)
    if method not in CLEARING or not idempotency_key:
        raise InvalidInput("Give a known method and an idempotency key for this top-up.", method=method)
    if method == TopUp.Method.MANUAL:
        reference = clean_reference(reference)
    try:
        with transaction.atomic():
            return _credit(organization, amount_micro, method, reference, idempotency_key, actor)
    except IntegrityError as error:
        # The unique index decides: a check before the insert could not see a transfer that is credited concurrently.
        if "top_up_bank_reference" in str(error):
            raise _reference_used(reference) from error
        raise


def clean_reference(reference: str) -> str:
    """Return a bank's reference with its white space normalised. Raises InvalidInput `reference_invalid`."""
    reference = " ".join(reference.split())
    if not 0 < len(reference) <= REFERENCE_MAX:
        raise InvalidInput("Give the bank's reference of the transfer.", code="reference_invalid")
    return reference


def require_unused(reference: str) -> None:
    """Raise Conflict `reference_used` if a bank transfer with this reference was credited already."""
    if TopUp.objects.filter(method=TopUp.Method.MANUAL).filter(reference__iexact=reference).exists():
        raise _reference_used(reference)


def _reference_used(reference: str) -> Conflict:
    return Conflict(f"The bank transfer {reference} was credited before.", code="reference_used")


def _credit(
    organization: Organization, amount_micro: int, method: str, reference: str, idempotency_key: str, actor: User | None
) -> TopUp:
    """Post the top-up, write its row and the audit entry, and pay what the customer owes. Runs in a transaction."""
    owes = debts.lock_if_owed(organization)  # lock order: the organization before its ledger accounts
    clearing = AccountName(kind=CLEARING[method], currency=organization.currency)
    wallet = AccountName(
        kind=LedgerAccount.Kind.WALLET, currency=organization.currency, organization_id=organization.pk
    )
    accounts = posting.accounts([clearing, wallet])
    result = posting.post(
        [
            Posting(
                kind=LedgerTransfer.Kind.TOP_UP,
                debit=accounts[clearing],
                credit=accounts[wallet],
                amount_micro=amount_micro,
                idempotency_key=f"top_up:{organization.pk}:{idempotency_key}",
                meta={"method": method, "reference": reference},
            )
        ]
    )
    if not result.new:
        return _replayed(organization, idempotency_key, reference)
    created = TopUp.objects.create(
        organization=organization,
        amount_micro=amount_micro,
        currency=organization.currency,
        method=method,
        reference=reference,
        idempotency_key=idempotency_key,
        transfer=result.transfers[0],
    )
    audit.record(
        actor=actor,
        action="wallet.top_up",
        subject=organization.public_id,
        amount_micro=amount_micro,
        currency=organization.currency,
        method=method,
        reference=reference,
    )
    if owes:
        debts.collect(organization)
    return created


def _replayed(organization: Organization, idempotency_key: str, reference: str) -> TopUp:
    """Return the first top-up under this key.

    The ledger has compared amount, method and wallet; the rest is compared here.
    """
    existing = TopUp.objects.get(organization=organization, idempotency_key=idempotency_key)
    if existing.reference != reference:
        raise Conflict("This key was used with another reference.", code="idempotency_conflict")
    return existing


def credit(row: CardTopUp, payment_intent_id: str) -> None:
    """Put the money of a paid top-up by card into the wallet, once.

    Call it in a transaction that has locked the row.
    """
    if row.status == CardTopUp.Status.PAID:
        return
    row.top_up = top_up(
        organization=row.organization,
        amount_micro=row.amount_micro,
        method=TopUp.Method.STRIPE,
        reference=payment_intent_id,
        idempotency_key=f"card:{row.public_id}",
        actor=row.requested_by,
    )
    transition(row, CardTopUp.Status.PAID, top_up=row.top_up, ended_at=timezone.now())
