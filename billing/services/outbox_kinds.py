"""What each kind of command sends, how it is found again, and what follows from it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from billing.models import StripeCommand
from billing.services import (
    charge_commands,
    checkout_commands,
    customer_commands,
    detach_commands,
    setup_commands,
)
from billing.services.sent import Sent
from marketplace.core.errors import DomainError

__all__ = ["KINDS", "CommandKind", "Sent"]


@dataclass(frozen=True)
class CommandKind:
    """`params` and `done` run in a transaction with the command; `send` and `find` call Stripe outside of one."""

    params: Callable[[StripeCommand], dict[str, Any]]
    send: Callable[[StripeCommand], Sent]
    find: Callable[[StripeCommand], Sent | None]
    done: Callable[[StripeCommand, Sent], None]
    dead: Callable[[StripeCommand, DomainError], None]


KINDS: dict[str, CommandKind] = {
    kind.value: CommandKind(module.params, module.send, module.find, module.done, module.dead)
    for kind, module in {
        StripeCommand.Kind.CREATE_CUSTOMER: customer_commands,
        StripeCommand.Kind.CREATE_CHECKOUT_SESSION: checkout_commands,
        StripeCommand.Kind.CREATE_SETUP_SESSION: setup_commands,
        StripeCommand.Kind.CHARGE_SAVED_CARD: charge_commands,
        StripeCommand.Kind.DETACH_CARD: detach_commands,
    }.items()
}
