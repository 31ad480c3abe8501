"""Accounts are made when they are first needed, by any number of processes at once."""

from collections.abc import Iterable
from dataclasses import dataclass

from accounts.models import Organization, Owner
from billing.models import CREDIT, DEBIT, LedgerAccount

Kind = LedgerAccount.Kind


@dataclass(frozen=True, kw_only=True)
class Place:
    """Names one ledger account: a kind, a currency, and whose it is (nobody's: the platform's)."""

    kind: str
    currency: str
    organization_id: int | None = None
    owner_id: int | None = None

    @property
    def key(self) -> str:
        if self.organization_id:
            return f"organization:{self.organization_id}:{self.kind}:{self.currency}"
        if self.owner_id:
            return f"owner:{self.owner_id}:{self.kind}:{self.currency}"
        return f"platform:{self.kind}:{self.currency}"

    def new(self) -> LedgerAccount:
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


def accounts(places: Iterable[Place]) -> dict[Place, LedgerAccount]:
    """The account of each place, made if there was none. One query when all exist, three when not."""
    wanted = {place.key: place for place in places}
    found = LedgerAccount.objects.in_bulk(list(wanted), field_name="key")
    missing = [place.new() for key, place in wanted.items() if key not in found]
    if missing:
        LedgerAccount.objects.bulk_create(missing, ignore_conflicts=True)
        found = LedgerAccount.objects.in_bulk(list(wanted), field_name="key")
    return {place: found[key] for key, place in wanted.items()}


def account(place: Place) -> LedgerAccount:
    """The account of one place, made if there was none."""
    return accounts([place])[place]


def wallet(organization: Organization) -> LedgerAccount:
    """What the organization may spend. Never below zero."""
    return account(Place(kind=Kind.WALLET, currency=organization.currency, organization_id=organization.pk))


def hold(organization: Organization) -> LedgerAccount:
    """What the organization's open orders may still cost. Never below zero."""
    return account(Place(kind=Kind.HOLD, currency=organization.currency, organization_id=organization.pk))


def payable(owner: Owner, currency: str) -> LedgerAccount:
    """What the marketplace owes the owner. May go below zero: corrections net on the next statement."""
    return account(Place(kind=Kind.PAYABLE, currency=currency, owner_id=owner.pk))


def platform(kind: str, currency: str) -> LedgerAccount:
    """One of the platform's own accounts: stripe_clearing, bank_clearing, revenue, verification, processing_fee."""
    return account(Place(kind=kind, currency=currency))
