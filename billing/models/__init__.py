from billing.models.ledger import CREDIT, DEBIT, LedgerAccount, LedgerTransfer
from billing.models.orders import JobOrder
from billing.models.rates import RateCard
from billing.models.settlement import RatedUsage
from billing.models.topups import TopUp

__all__ = [
    "CREDIT",
    "DEBIT",
    "JobOrder",
    "LedgerAccount",
    "LedgerTransfer",
    "RateCard",
    "RatedUsage",
    "TopUp",
]
