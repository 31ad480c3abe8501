"""Ledger accounts. They are made when they are first needed; any number of processes may do that at once."""

from collections.abc import Iterable
from dataclasses import dataclass

from accounts.models import Organization, Owner
from billing.models import CREDIT, DEBIT, LedgerAccount

Kind = LedgerAccount.Kind


@dataclass(frozen=True, kw_only=True)
class AccountName:
    """The name of one ledger account: kind, currency, and the organization or owner (neither: the platform's)."""

    kind: str
    currency: str
    organization_id: int | None = None
    owner_id: int | None = None

    @property
    def key(self) -> str:
        """The unique text that names the account, such as "organization:7:wallet:USD". Some SQL builds it itself."""
        if self.organization_id:
            return f"organization:{self.organization_id}:{self.kind}:{self.currency}"
        if self.owner_id:
            return f"owner:{self.owner_id}:{self.kind}:{self.currency}"
        return f"platform:{self.kind}:{self.currency}"

    def new(self) -> LedgerAccount:
        """Return the account to be, unsaved."""
        return LedgerAccount(
            key=self.key,
            kind=self.kind,
            currency=self.currency,
            organization_id=self.organization_id,
            owner_id=self.owner_id,
            side=DEBIT if self.kind in LedgerAccount.DEBIT_NORMAL else CREDIT,
            floor_zero=self.kind in LedgerAccount.FLOORED,
            tracked=self.kind not in LedgerAccount.OF_PLATFORM,
        )


def accounts(places: Iterable[AccountName]) -> dict[AccountName, LedgerAccount]:
    """Return the account of each place, making the missing ones. One query if all exist, three if not."""
    wanted = {place.key: place for place in places}
    found = LedgerAccount.objects.in_bulk(list(wanted), field_name="key")
    missing = [place.new() for key, place in wanted.items() if key not in found]
    if missing:
        LedgerAccount.objects.bulk_create(missing, ignore_conflicts=True)
        found = LedgerAccount.objects.in_bulk(list(wanted), field_name="key")
    return {place: found[key] for key, place in wanted.items()}


def account(place: AccountName) -> LedgerAccount:
    """Return the account of one place, making it if it is missing."""
    return accounts([place])[place]


def wallet(organization: Organization) -> LedgerAccount:
    """Return the account of what the organization may spend. Its balance is never below zero."""
    return account(AccountName(kind=Kind.WALLET, currency=organization.currency, organization_id=organization.pk))


def hold(organization: Organization) -> LedgerAccount:
    """Return the account of what the organization's open orders may still cost. Its balance is never below zero."""
    return account(AccountName(kind=Kind.HOLD, currency=organization.currency, organization_id=organization.pk))


def payable(owner: Owner, currency: str) -> LedgerAccount:
    """Return the account of what the platform owes the owner.

    Its balance may go below zero: a correction is set off against earnings on the next statement.
    """
    return account(AccountName(kind=Kind.PAYABLE, currency=currency, owner_id=owner.pk))


def platform(kind: str, currency: str) -> LedgerAccount:
    """Return one of the platform's own accounts (LedgerAccount.OF_PLATFORM), such as `stripe_clearing` or `revenue`."""
    return account(AccountName(kind=kind, currency=currency))
