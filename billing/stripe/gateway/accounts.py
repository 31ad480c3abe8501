"""Accounts of the people we pay: Accounts v2 with the recipient configuration, filled in on Stripe's own pages."""

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
LOOKED_THROUGH = 1000  # accounts, in the look for one whose answer was lost: Stripe cannot search them


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """Something that Stripe still wants, in its words, without what the owner answered."""

    name: str
    waits_for: str  # user, stripe
    due: str  # currently_due, past_due, eventually_due
    errors: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class PayeeAccount:
    """An account as Stripe has it now. `codes` and `resolutions` say why transfers are not active."""

    id: str
    command: str
    country: str
    closed: bool
    livemode: bool
    transfers_status: str  # active, pending, restricted, rejected, unsupported, or "" when never asked for
    payouts_status: str
    codes: tuple[str, ...] = ()
    resolutions: tuple[str, ...] = ()
    requirements: tuple[Requirement, ...] = ()
    deadline: str = ""  # ISO; when the first of them becomes past due


def create_account(params: dict[str, Any], *, idempotency_key: str) -> PayeeAccount:
    """Make an account. Raises as `write`."""
    options: Any = {"idempotency_key": idempotency_key}
    wanted: Any = {**params, "include": INCLUDE}
    return _account(write(lambda stripe: stripe.v2.core.accounts.create(wanted, options)))


def retrieve_account(account_id: str) -> PayeeAccount:
    """The account now. Raises as `read`."""
    return _account(read(lambda stripe: stripe.v2.core.accounts.retrieve(account_id, {"include": INCLUDE})))


def find_account(*, command: str) -> PayeeAccount | None:
    """The account that a command made, if it is among the first that Stripe lists. Raises as `read`.

    API v2 has no search, so the list is looked through. Should the account be missed, Stripe's memory of the key (30 days
    in v2) makes a second request return the first account; and a second account, never onboarded, can hold no money.
    """
    wanted: Any = {"applied_configurations": ["recipient"], "limit": 100}

    def look(stripe: Any) -> str:
        rows: Iterable[Account] = stripe.v2.core.accounts.list(wanted).auto_paging_iter()
        return next((row.id for row in islice(rows, LOOKED_THROUGH) if metadata_of(row).get("command") == command), "")

    found = read(look)
    return retrieve_account(found) if found else None


def account_link(account_id: str, *, use_case: UseCase, return_url: str, refresh_url: str) -> str:
    """The address of Stripe's page for this owner: opens once, for some minutes. Never keep it. Raises as `read`.

    A link that got lost does no harm, so this counts as reading.
    """
    wanted: Any = {
        "account": account_id,
        "use_case": {"type": use_case, use_case: {"return_url": return_url, "refresh_url": refresh_url}},
    }
    return read(lambda stripe: stripe.v2.core.account_links.create(wanted, _fresh("account_link"))).url


def login_link(account_id: str) -> str:
    """The address of the owner's Express dashboard: opens once. Never keep it. Raises as `read`."""
    return read(lambda stripe: stripe.v1.accounts.login_links.create(account_id, {}, _fresh("login_link"))).url


def _fresh(name: str) -> Any:
    return {"idempotency_key": f"{name}:{uuid.uuid4()}"}


def _account(row: Account) -> PayeeAccount:
    balance = _at(row, "configuration", "recipient", "capabilities", "stripe_balance")
    details = _at(balance, "stripe_transfers", "status_details") or []
    return PayeeAccount(
        id=row.id,
        command=metadata_of(row).get("command", ""),
        country=str(_at(row, "identity", "country") or "").upper(),
        closed=bool(_at(row, "closed")),
        livemode=row.livemode,
        transfers_status=str(_at(balance, "stripe_transfers", "status") or ""),
        payouts_status=str(_at(balance, "payouts", "status") or ""),
        codes=tuple(detail.code for detail in details),
        resolutions=tuple(detail.resolution for detail in details),
        requirements=tuple(
            Requirement(
                name=entry.description,
                waits_for=entry.awaiting_action_from,
                due=entry.minimum_deadline.status,
                errors=tuple(str(error.code) for error in entry.errors),
            )
            for entry in _at(row, "requirements", "entries") or []
        ),
        deadline=str(_at(row, "requirements", "summary", "minimum_deadline", "time") or ""),
    )


def _at(item: Any, *names: str) -> Any:
    """What stands at the end of a path, or None: API v2 leaves out what has no value or was not asked for."""
    for name in names:
        item = getattr(item, name, None)
    return item
