"""Store the movements of our balance at Stripe (balance transactions), and post its fees and payouts to our own bank.

Charges, refunds, disputes and transfers are posted by their own packages; the ledger check compares those postings with
these rows. Stripe's fees and the payouts to our own bank are known from these rows only, so they are posted here. A fee
is our expense.
"""

from collections.abc import Iterable, Sequence

from django.db import transaction

from billing.ledger import posting as ledger
from billing.ledger.posting import AccountName, Posting
from billing.models import BalanceTransaction, LedgerAccount, LedgerTransfer
from billing.stripe.amounts import to_micro
from billing.stripe.gateway import BalanceMovement
from core.errors import Conflict

Kind = LedgerAccount.Kind
CURRENCY_DIFFERS = "currency_differs"
TO_OUR_BANK = ("payout", "payout_cancel", "payout_failure")  # the last two bring the money back to Stripe


def record(movements: Sequence[BalanceMovement]) -> int:
    """Store the movements that are new and post their fees and payouts. Return how many were new.

    May run twice, also concurrently: the rows' unique ids and the ledger's idempotency keys keep one effect.
    """
    with transaction.atomic():
        ids = [movement.id for movement in movements]
        known = set(BalanceTransaction.objects.filter(stripe_id__in=ids).values_list("stripe_id", flat=True))
        rows = [_row(movement) for movement in movements if movement.id not in known]
        # Another process may be storing the same rows; its postings have the same keys, so they are posted once.
        BalanceTransaction.objects.bulk_create(rows, ignore_conflicts=True)
        ledger.post([posting for row in rows for posting in (*_fee(row), *_payout(row))])
    return len(rows)


def require_currency(movements: Iterable[BalanceMovement], currency: str) -> None:
    """Raise Conflict `currency_differs` when Stripe booked a movement in another currency than `currency`.

    Such a movement would have to be converted, at a rate that our ledger does not know.
    """
    for movement in movements:
        if movement.currency != currency:
            raise Conflict(
                f"Stripe booked {movement.id} in {movement.currency}, not in {currency}: an operator must look.",
                code=CURRENCY_DIFFERS,
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
    """Return the posting of the fee: debit processing_fee, credit stripe_clearing; reversed for a returned fee."""
    # A fee of its own (`stripe_fee`) is booked as a negative amount, the fee of another movement as `fee`.
    micro = row.fee_micro - (row.amount_micro if row.type == "stripe_fee" else 0)
    if not micro:
        return []
    places = [AccountName(kind=kind, currency=row.currency) for kind in (Kind.PROCESSING_FEE, Kind.STRIPE_CLEARING)]
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
    """Return the posting of a payout to our bank: debit bank_clearing, credit stripe_clearing; reversed if returned."""
    if row.type not in TO_OUR_BANK or not row.amount_micro:
        return []
    places = [AccountName(kind=kind, currency=row.currency) for kind in (Kind.BANK_CLEARING, Kind.STRIPE_CLEARING)]
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
