from billing.models.balance_transactions import BalanceTransaction
from billing.models.card_top_ups import CardTopUp, CardTopUpEvent
from billing.models.ledger import CREDIT, DEBIT, LedgerAccount, LedgerTransfer
from billing.models.orders import JobOrder
from billing.models.rates import RateCard
from billing.models.settlement import RatedUsage
from billing.models.stripe_commands import StripeCommand
from billing.models.stripe_customers import StripeCustomer
from billing.models.stripe_events import StripeEvent, StripeSweep
from billing.models.topups import TopUp

__all__ = [
    "CREDIT",
    "DEBIT",
    "BalanceTransaction",
    "CardTopUp",
    "CardTopUpEvent",
    "JobOrder",
    "LedgerAccount",
    "LedgerTransfer",
    "RateCard",
    "RatedUsage",
    "StripeCommand",
    "StripeCustomer",
    "StripeEvent",
    "StripeSweep",
    "TopUp",
]
