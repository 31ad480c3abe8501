"""What Stripe booked on our balance, kept as rows of every type; the fee of each is our expense.

What a charge, a refund, a dispute or a transfer moves is posted by those who know of it, and compared with these rows
later. Nobody else knows of fees that Stripe takes by themselves, or of payouts to our own bank: those are posted here.
"""

from collections.abc import Iterable, Sequence

from django.db import transaction

from billing.ledger import posting as ledger
from billing.ledger.posting import Place, Posting
from billing.models import BalanceTransaction, LedgerAccount, LedgerTransfer
from billing.stripe.amounts import to_micro
from billing.stripe.gateway import BalanceMovement
from core.errors import Conflict

Kind = LedgerAccount.Kind
CURRENCY = "currency_differs"
TO_OUR_BANK = ("payout", "payout_cancel", "payout_failure")  # and back from it


def record(movements: Sequence[BalanceMovement]) -> int:
    """Keep movements that are new, and post their fees and payouts. How many were new. May run twice, at once."""
    with transaction.atomic():
        ids = [movement.id for movement in movements]
        known = set(BalanceTransaction.objects.filter(stripe_id__in=ids).values_list("stripe_id", flat=True))
        rows = [_row(movement) for movement in movements if movement.id not in known]
        BalanceTransaction.objects.bulk_create(rows, ignore_conflicts=True)
        ledger.post([posting for row in rows for posting in (*_fee(row), *_payout(row))])
    return len(rows)


def insist_currency(movements: Iterable[BalanceMovement], currency: str) -> None:
    """Raises Conflict `currency_differs` when Stripe booked something in another currency than it was paid in: it would have
    to be converted, by a rate that our books do not know.
    """
    for movement in movements:
        if movement.currency != currency:
            raise Conflict(
                f"Stripe booked {movement.id} in {movement.currency}, not in {currency}: an operator must look.",
                code=CURRENCY,
                movement=movement.id,
            )


def _row(movement: BalanceMovement) -> BalanceTransaction:
    currency = movement.currency
    return BalanceTransaction(
        stripe_id=movement.id,
        type=movement.type,
        source_id=movement.source_id,
        payment_intent_id=movement.payment_intent_id,
        transfer_id=movement.transfer_id,
        currency=currency,
        amount_micro=to_micro(movement.amount_minor, currency),
        fee_micro=to_micro(movement.fee_minor, currency),
        net_micro=to_micro(movement.net_minor, currency),
        occurred_at=movement.occurred_at,
        available_at=movement.available_at,
    )


def _fee(row: BalanceTransaction) -> list[Posting]:
    """Dr processing fee, Cr what is at Stripe; the other way round for a fee that is given back."""
    micro = row.fee_micro - (row.amount_micro if row.type == "stripe_fee" else 0)
    if not micro:
        return []
    places = [Place(kind=kind, currency=row.currency) for kind in (Kind.PROCESSING_FEE, Kind.STRIPE_CLEARING)]
    accounts = ledger.accounts(places)
    expense, clearing = (accounts[place] for place in places)
    debit, credit = (expense, clearing) if micro > 0 else (clearing, expense)
    return [
        Posting(
            kind=LedgerTransfer.Kind.FEE,
            debit=debit,
            credit=credit,
            amount_micro=abs(micro),
            idempotency_key=f"stripe_fee:{row.stripe_id}",
            effective_at=row.occurred_at,
            meta={"balance_transaction": row.stripe_id, "source": row.source_id},
        )
    ]


def _payout(row: BalanceTransaction) -> list[Posting]:
    """Dr at the bank, Cr at Stripe; the other way round for a payout that came back."""
    if row.type not in TO_OUR_BANK or not row.amount_micro:
        return []
    places = [Place(kind=kind, currency=row.currency) for kind in (Kind.BANK_CLEARING, Kind.STRIPE_CLEARING)]
    accounts = ledger.accounts(places)
    bank, clearing = (accounts[place] for place in places)
    debit, credit = (bank, clearing) if row.amount_micro < 0 else (clearing, bank)
    return [
        Posting(
            kind=LedgerTransfer.Kind.TRANSFER,
            debit=debit,
            credit=credit,
            amount_micro=abs(row.amount_micro),
            idempotency_key=f"stripe_payout:{row.stripe_id}",
            effective_at=row.occurred_at,
            meta={"balance_transaction": row.stripe_id, "source": row.source_id},
        )
    ]
