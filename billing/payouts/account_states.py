"""What Stripe says about an account, as our states. Pure: the same account is always the same state, whatever came before."""

from dataclasses import dataclass
from datetime import datetime

from billing.models import ConnectedAccount
from billing.stripe.gateway import PayeeAccount
from core.errors import Conflict

Status = ConnectedAccount.Status
NOW_DUE = ("currently_due", "past_due")
FOR_GOOD = ("rejected", "unsupported")


@dataclass(frozen=True, kw_only=True)
class PayeeState:
    """`status_code` is Stripe's first reason."""

    status: str
    status_code: str
    requirements: list[dict[str, object]]
    deadline_at: datetime | None


def state_of(account: PayeeAccount) -> PayeeState:
    """The state of an account that Stripe just showed."""
    return PayeeState(
        status=_status(account),
        status_code=(account.codes[0] if account.codes and account.transfers_status != "active" else "")[:64],
        requirements=[
            {"name": entry.name, "waits_for": entry.waits_for, "due": entry.due, "errors": list(entry.errors)}
            for entry in account.requirements
        ],
        deadline_at=datetime.fromisoformat(account.deadline) if account.deadline else None,
    )


def _status(account: PayeeAccount) -> str:
    """Only an account that Stripe lets receive transfers is ready."""
    if account.closed:
        return Status.CLOSED
    if account.transfers_status == "active":
        return Status.ACTIVE
    if account.transfers_status in FOR_GOOD:
        return Status.RESTRICTED
    asked = any(entry.waits_for == "user" and entry.due in NOW_DUE for entry in account.requirements)
    if asked or "provide_info" in account.resolutions:
        return Status.ONBOARDING
    return Status.RESTRICTED if account.transfers_status == "restricted" else Status.PENDING


def asks_the_owner(row: ConnectedAccount) -> bool:
    """Whether Stripe waits for the owner, even if payments go on until then."""
    return any(entry["waits_for"] == "user" and entry["due"] in NOW_DUE for entry in row.requirements)


def refuse_closed(row: ConnectedAccount) -> None:
    """Raises Conflict for an account that is no longer used."""
    if row.status == Status.CLOSED:
        raise Conflict("This account is closed.", code="account_closed")
