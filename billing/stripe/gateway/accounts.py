"""Connected accounts of the owners we pay: Accounts v2, recipient configuration, filled in on Stripe's pages."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Literal

from billing.stripe.gateway.client import read, write
from billing.stripe.gateway.rows import metadata_of

if TYPE_CHECKING:
    from stripe.v2.core import Account

INCLUDE: Any = ["configuration.recipient", "identity", "requirements"]
UseCase = Literal["account_onboarding", "account_update"]
LOOKED_THROUGH = 1000  # how many accounts `find_account` reads: Stripe cannot search them


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A piece of information that Stripe still requires, by Stripe's name for it, without the owner's answers."""

    name: str
    waits_for: str  # user, stripe
    due: str  # currently_due, past_due, eventually_due
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PayeeAccount:
    """The present state of an account.

    `codes` and `resolutions` say why transfers are not active and what would help.
    """

    id: str
    command: str
    country: str
    closed: bool
    livemode: bool
    transfers_status: str  # active, pending, restricted, rejected, unsupported, or "" when never requested
    payouts_status: str
    codes: tuple[str, ...] = ()
    resolutions: tuple[str, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    deadline: str = ""  # ISO 8601: when the first requirement becomes past due


def create_account(params: dict[str, Any], *, idempotency_key: str) -> PayeeAccount:
    """Create an account and return it. Raises as `write`."""
    options: Any = {"idempotency_key": idempotency_key}
    wanted: Any = {**params, "include": INCLUDE}
    return _account(write(lambda stripe: stripe.v2.core.accounts.create(wanted, options)))


def retrieve_account(account_id: str) -> PayeeAccount:
    """Return the account's present state. Raises as `read`."""
    return _account(read(lambda stripe: stripe.v2.core.accounts.retrieve(account_id, {"include": INCLUDE})))


def find_account(*, command: str) -> PayeeAccount | None:
    """Return the account that a command made, or None if it is not among the first LOOKED_THROUGH listed.

    Raises as `read`. API v2 has no search. Should an existing account be missed, Stripe remembers the idempotency key
    (30 days in v2), so a second request returns the first account; after that time, a second account, never onboarded,
    could hold no money.
    """
    wanted: Any = {"applied_configurations": ["recipient"], "limit": 100}

    def look(stripe: Any) -> str:
        rows: Iterable[Account] = stripe.v2.core.accounts.list(wanted).auto_paging_iter()
        return next((row.id for row in islice(rows, LOOKED_THROUGH) if metadata_of(row).get("command") == command), "")

    found = read(look)
    return retrieve_account(found) if found else None


def account_link(account_id: str, *, use_case: UseCase, return_url: str, refresh_url: str) -> str:
    """Return the URL of Stripe's page for this owner.

    It opens once, for some minutes: never store it. Creating a link counts as reading, since a lost link does no harm.
    Raises as `read`.
    """
    wanted: Any = {
        "account": account_id,
        "use_case": {"type": use_case, use_case: {"return_url": return_url, "refresh_url": refresh_url}},
    }
    return read(lambda stripe: stripe.v2.core.account_links.create(wanted, _fresh_key("account_link"))).url


def login_link(account_id: str) -> str:
    """Return the URL of the owner's Express dashboard. It opens once: never store it. Raises as `read`."""
    return read(lambda stripe: stripe.v1.accounts.login_links.create(account_id, {}, _fresh_key("login_link"))).url


def _fresh_key(name: str) -> Any:
    # A new key for each call: under a repeated one Stripe would return the first link, which opens only once.
    return {"idempotency_key": f"{name}:{uuid.uuid4()}"}


def _account(row: Account) -> PayeeAccount:
    balance = _nested(row, "configuration", "recipient", "capabilities", "stripe_balance")
    details = _nested(balance, "stripe_transfers", "status_details") or []
    return PayeeAccount(
        id=row.id,
        command=metadata_of(row).get("command", ""),
        country=str(_nested(row, "identity", "country") or "").upper(),
        closed=bool(_nested(row, "closed")),
        livemode=row.livemode,
        transfers_status=str(_nested(balance, "stripe_transfers", "status") or ""),
        payouts_status=str(_nested(balance, "payouts", "status") or ""),
        codes=tuple(detail.code for detail in details),
        resolutions=tuple(detail.resolution for detail in details),
        requirements=tuple(
            Requirement(
                name=entry.description,
                waits_for=entry.awaiting_action_from,
                due=entry.minimum_deadline.status,
                errors=tuple(str(error.code) for error in entry.errors),
            )
            for entry in _nested(row, "requirements", "entries") or []
        ),
        deadline=str(_nested(row, "requirements", "summary", "minimum_deadline", "time") or ""),
    )


def _nested(item: Any, *names: str) -> Any:
    """Return the value at a path of attributes, or None: API v2 omits what has no value or was not requested."""
    for name in names:
        item = getattr(item, name, None)
    return item
