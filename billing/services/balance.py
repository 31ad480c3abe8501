"""What Stripe booked on our balance, kept as rows; the fee of each is our expense."""

from collections.abc import Sequence

from django.db import transaction

from billing.gateway import BalanceMovement
from billing.minor_units import to_micro
from billing.models import BalanceTransaction, LedgerAccount, LedgerTransfer
from billing.services import ledger
from billing.services.ledger import Place, Posting

Kind = LedgerAccount.Kind


def record(movements: Sequence[BalanceMovement]) -> int:
    """Keep movements that are new, and post their fees. How many were new. May run twice, at once."""
    with transaction.atomic():
        ids = [movement.id for movement in movements]
        known = set(BalanceTransaction.objects.filter(stripe_id__in=ids).values_list("stripe_id", flat=True))
        rows = [_row(movement) for movement in movements if movement.id not in known]
        BalanceTransaction.objects.bulk_create(rows, ignore_conflicts=True)
        ledger.post([posting for row in rows for posting in _fee(row)])
    return len(rows)


def _row(movement: BalanceMovement) -> BalanceTransaction:
    currency = movement.currency
    return BalanceTransaction(
        stripe_id=movement.id, type=movement.type, source_id=movement.source_id,
        payment_intent_id=movement.payment_intent_id, currency=currency,
        amount_micro=to_micro(movement.amount_minor, currency), fee_micro=to_micro(movement.fee_minor, currency),
        net_micro=to_micro(movement.net_minor, currency),
        occurred_at=movement.occurred_at, available_at=movement.available_at,
    )  # fmt: skip


def _fee(row: BalanceTransaction) -> list[Posting]:
    """Dr processing fee, Cr what is at Stripe; the other way round for a fee that is given back."""
    if not row.fee_micro:
        return []
    places = [Place(kind=kind, currency=row.currency) for kind in (Kind.PROCESSING_FEE, Kind.STRIPE_CLEARING)]
    accounts = ledger.accounts(places)
    expense, clearing = (accounts[place] for place in places)
    debit, credit = (expense, clearing) if row.fee_micro > 0 else (clearing, expense)
    return [
        Posting(
            kind=LedgerTransfer.Kind.FEE, debit=debit, credit=credit, amount_micro=abs(row.fee_micro),
            idempotency_key=f"stripe_fee:{row.stripe_id}", effective_at=row.occurred_at,
            meta={"balance_transaction": row.stripe_id, "source": row.source_id},
        )
    ]  # fmt: skip
