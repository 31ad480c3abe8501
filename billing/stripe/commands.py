"""Kinds of commands to Stripe: what each sends, how an earlier attempt's result is found, and what follows from it.

The packages that need one (payouts, refunds, ...) subclass `StripeCommandKind`; `billing.wiring` registers them, so
that the outbox imports none of them.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar

from billing.models import StripeCommand
from core.errors import DomainError

CLOCK_SKEW = timedelta(hours=1)  # the most by which our clock and Stripe's are taken to differ


@dataclass(frozen=True)
class CommandResult:
    """Stripe's answer to a command: the object that the command made, and the object's state where that matters."""

    object_id: str
    url: str = ""
    status: str = ""
    status_code: str = ""
    made_at: datetime | None = None


class StripeCommandKind(ABC):
    """One kind of write to Stripe.

    `params`, `on_done` and `on_dead` run in a transaction that has locked the command. `send` and `find` call Stripe,
    outside any transaction.
    """

    kind: ClassVar[StripeCommand.Kind]

    @abstractmethod
    def params(self, command: StripeCommand) -> dict[str, Any]:
        """Return what to send. The outbox stores it with the command, so that every attempt sends the same."""

    @abstractmethod
    def send(self, command: StripeCommand) -> CommandResult:
        """Call Stripe under the command's idempotency key.

        Raises StripeRefused, StripeUnavailable, StripeUnknownOutcome.
        """

    @abstractmethod
    def find(self, command: StripeCommand) -> CommandResult | None:
        """Return what an earlier attempt made, or None. Raises as `send`."""

    @abstractmethod
    def on_done(self, command: StripeCommand, sent: CommandResult) -> None:
        """Write the effect of a success."""

    @abstractmethod
    def on_dead(self, command: StripeCommand, error: DomainError) -> None:
        """Write the effect of a command that has been given up."""

    def may_retry(self, command: StripeCommand) -> None:  # noqa: B027 - most dead commands may be tried again
        """Raise Conflict when a dead command must not be tried again."""


# Kind -> its handler. Empty until `billing.wiring.connect` has run.
KINDS: dict[str, StripeCommandKind] = {}


def register(*handlers: StripeCommandKind) -> None:
    """Add handlers to `KINDS`, each under its own kind."""
    KINDS.update({handler.kind: handler for handler in handlers})


def since_unix(command: StripeCommand) -> int:
    """Return the Unix time (s) from which to look for an object that an earlier attempt may have made."""
    assert command.first_sent_at is not None  # set by the claim
    return int((command.first_sent_at - CLOCK_SKEW).timestamp())
