"""The tables of money, a file a noun. What the database refuses about them is in billing/rules."""

from billing.models.approvals import Approval
from billing.models.auto_recharges import AutoRecharge
from billing.models.balance_transactions import BalanceTransaction
from billing.models.billing_profiles import BillingProfile
from billing.models.card_disputes import CardDispute, CardDisputeEvent
from billing.models.card_top_ups import CardTopUp, CardTopUpEvent
from billing.models.connected_accounts import ConnectedAccount, ConnectedAccountEvent
from billing.models.disputes import Dispute, DisputeEvent, DisputeMessage
from billing.models.invoices import Invoice, InvoiceEntry, InvoiceLine
from billing.models.ledger import CREDIT, DEBIT, LedgerAccount, LedgerTransfer
from billing.models.ledger_checks import LedgerCheck, LedgerDifference
from billing.models.orders import JobOrder
from billing.models.payouts import Payout, PayoutEvent
from billing.models.promo_credits import PromoCredit
from billing.models.rates import RateCard
from billing.models.refunds import Refund, RefundEvent
from billing.models.saved_cards import SavedCard, SavedCardEvent
from billing.models.settlement import RatedUsage
from billing.models.spend_caps import SpendCap
from billing.models.statements import Statement, StatementEntry, StatementLine
from billing.models.stripe_commands import StripeCommand
from billing.models.stripe_customers import StripeCustomer
from billing.models.stripe_events import StripeEvent, StripeSweep
from billing.models.topups import TopUp
from billing.models.usage_days import EarningsDay, SpendDay
from billing.models.usage_voids import UsageVoid

__all__ = [
    "CREDIT",
    "DEBIT",
    "Approval",
    "AutoRecharge",
    "BalanceTransaction",
    "BillingProfile",
    "CardDispute",
    "CardDisputeEvent",
    "CardTopUp",
    "CardTopUpEvent",
    "ConnectedAccount",
    "ConnectedAccountEvent",
    "Dispute",
    "DisputeEvent",
    "DisputeMessage",
    "EarningsDay",
    "Invoice",
    "InvoiceEntry",
    "InvoiceLine",
    "JobOrder",
    "LedgerAccount",
    "LedgerCheck",
    "LedgerDifference",
    "LedgerTransfer",
    "Payout",
    "PayoutEvent",
    "PromoCredit",
    "RateCard",
    "RatedUsage",
    "Refund",
    "RefundEvent",
    "SavedCard",
    "SavedCardEvent",
    "SpendCap",
    "SpendDay",
    "Statement",
    "StatementEntry",
    "StatementLine",
    "StripeCommand",
    "StripeCustomer",
    "StripeEvent",
    "StripeSweep",
    "TopUp",
    "UsageVoid",
]
