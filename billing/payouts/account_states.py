"""Our state of an owner's account, computed from what Stripe shows of it alone. Our earlier state plays no part."""

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
    """Our state of an account that Stripe showed."""

    status: str
    status_code: str  # the first of Stripe's reasons why the account cannot receive transfers, or ""
    requirements: list[dict[str, object]]
    deadline_at: datetime | None


def state_of(account: PayeeAccount) -> PayeeState:
    """Return our state of an account as Stripe shows it."""
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
    """Return our status. Only an account to which Stripe allows transfers is ready (ACTIVE)."""
    if account.closed:
        return Status.CLOSED
    if account.transfers_status == "active":
        return Status.ACTIVE
    if account.transfers_status in FOR_GOOD:
        return Status.RESTRICTED
    waits_for_owner = any(entry.waits_for == "user" and entry.due in NOW_DUE for entry in account.requirements)
    if waits_for_owner or "provide_info" in account.resolutions:
        return Status.ONBOARDING
    return Status.RESTRICTED if account.transfers_status == "restricted" else Status.PENDING


def needs_owners_answer(row: ConnectedAccount) -> bool:
    """Return whether Stripe waits for information from the owner now, even if payments continue meanwhile."""
    return any(entry["waits_for"] == "user" and entry["due"] in NOW_DUE for entry in row.requirements)


def refuse_closed(row: ConnectedAccount) -> None:
    """Raise Conflict (`account_closed`) for an account that is no longer used."""
    if row.status == Status.CLOSED:
        raise Conflict("This account is closed.", code="account_closed")
