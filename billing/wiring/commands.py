"""All kinds of Stripe commands that the outbox can send."""

from billing.chargebacks.commands import EvidenceCommand
from billing.payouts.commands import AccountCommand, ReversalCommand, TransferCommand
from billing.refunds.commands import RefundCommand
from billing.stripe.commands import StripeCommandKind
from billing.stripe.customers import CustomerCommand
from billing.topups.commands import ChargeCommand, CheckoutCommand, DetachCommand, SetupCommand

COMMANDS: tuple[StripeCommandKind, ...] = (
    CustomerCommand(),
    CheckoutCommand(),
    SetupCommand(),
    ChargeCommand(),
    DetachCommand(),
    RefundCommand(),
    AccountCommand(),
    TransferCommand(),
    ReversalCommand(),
    EvidenceCommand(),
)
