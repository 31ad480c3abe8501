"""What each kind of command sends, how it is found again, and what follows from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from billing.chargebacks import commands as evidence_commands
from billing.models import StripeCommand
from billing.payouts import account_commands, reversal_commands
from billing.payouts import commands as transfer_commands
from billing.refunds import commands as refund_commands
from billing.stripe import customer_commands
from billing.stripe.commands import Sent
from billing.topups import charge_commands, detach_commands, setup_commands
from billing.topups import commands as checkout_commands
from core.errors import DomainError

__all__ = ["KINDS", "CommandKind", "Sent"]


@dataclass(frozen=True)
class CommandKind:
    """`params` and `done` run in a transaction with the command; `send` and `find` call Stripe outside of one.

    A module may have `may_retry`: it raises when a dead command must not be tried again. Runs with the command locked.
    """

    params: Callable[[StripeCommand], dict[str, Any]]
    send: Callable[[StripeCommand], Sent]
    find: Callable[[StripeCommand], Sent | None]
    done: Callable[[StripeCommand, Sent], None]
    dead: Callable[[StripeCommand, DomainError], None]
    may_retry: Callable[[StripeCommand], None]


def _anything(command: StripeCommand) -> None:
    """Most dead commands may be tried again."""


def _kind(module: Any) -> CommandKind:
    may_retry = getattr(module, "may_retry", _anything)
    return CommandKind(module.params, module.send, module.find, module.done, module.dead, may_retry)


KINDS: dict[str, CommandKind] = {
    kind.value: _kind(module)
    for kind, module in {
        StripeCommand.Kind.CREATE_CUSTOMER: customer_commands,
        StripeCommand.Kind.CREATE_CHECKOUT_SESSION: checkout_commands,
        StripeCommand.Kind.CREATE_ACCOUNT: account_commands,
        StripeCommand.Kind.CREATE_TRANSFER: transfer_commands,
        StripeCommand.Kind.REVERSE_TRANSFER: reversal_commands,
        StripeCommand.Kind.CREATE_SETUP_SESSION: setup_commands,
        StripeCommand.Kind.CHARGE_SAVED_CARD: charge_commands,
        StripeCommand.Kind.DETACH_CARD: detach_commands,
        StripeCommand.Kind.CREATE_REFUND: refund_commands,
        StripeCommand.Kind.SUBMIT_EVIDENCE: evidence_commands,
    }.items()
}
