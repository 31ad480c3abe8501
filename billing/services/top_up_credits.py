from django.utils import timezone

from billing.models import CardTopUp, TopUp
from billing.services import wallets
from core.states import transition


def credit(row: CardTopUp, payment_intent_id: str) -> None:
    """Stripe has the money: put it into the wallet, once. Inside a transaction that holds the row."""
    if row.status == CardTopUp.Status.PAID:
        return
    row.top_up = wallets.top_up(
        organization=row.organization, amount_micro=row.amount_micro, method=TopUp.Method.STRIPE,
        reference=payment_intent_id, idempotency_key=f"card:{row.public_id}", actor=row.requested_by,
    )  # fmt: skip
    transition(row, CardTopUp.Status.PAID, top_up=row.top_up, ended_at=timezone.now())
