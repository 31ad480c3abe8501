"""Holds of orders, and their release. A hold takes promotional credit first, and charges use that part first."""

from collections.abc import Sequence

from accounts.models import Organization
from billing.ledger import posting
from billing.ledger.posting import AccountName, Posting
from billing.models import JobOrder, LedgerAccount, LedgerTransfer

Kind = LedgerAccount.Kind


def promo_part(organization: Organization, held_micro: int) -> int:
    """Return the part of a hold that promotional credit pays, in micro-units.

    If the organization has any credit, its row is locked until the end of the transaction, so that its orders wait for
    each other. Otherwise two orders could count on the same credit, and one would be refused although the wallet covers
    it. The organization is locked rather than the account because only the database's own function writes to ledger
    accounts.
    """
    if not _promo_micro(organization):
        return 0
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    return min(held_micro, _promo_micro(organization))


def post_hold(order: JobOrder, *, currency: str) -> None:
    """Post the order's hold, from promotional credit and the wallet. Raises PaymentRequired (`insufficient_funds`)."""
    hold, promo, wallet = _places(order, currency)
    accounts = posting.accounts([hold, promo, wallet] if order.held_promo_micro else [hold, wallet])
    parts = [(promo, order.held_promo_micro, ":promo"), (wallet, order.held_micro - order.held_promo_micro, "")]
    posting.post(
        [
            Posting(
                kind=LedgerTransfer.Kind.HOLD,
                debit=accounts[source],
                credit=accounts[hold],
                amount_micro=amount_micro,
                idempotency_key=f"hold:{order.job_id}{suffix}",
                meta={"job": str(order.job.public_id)},
            )
            for source, amount_micro, suffix in parts
            if amount_micro
        ]
    )


def release_postings(orders: Sequence[JobOrder]) -> list[Posting]:
    """Return the postings that release what the orders still hold, to the accounts that it came from."""
    parts = [
        (order, hold, target, amount_micro, suffix)
        for order in orders
        for hold, promo, wallet in [_places(order, order.rate_card.currency)]
        for target, amount_micro, suffix in [
            (promo, order.left_promo_micro, ":promo"),
            (wallet, order.left_micro - order.left_promo_micro, ""),
        ]
        if amount_micro
    ]
    accounts = posting.accounts({place for _, hold, target, _, _ in parts for place in (hold, target)})
    return [
        Posting(
            kind=LedgerTransfer.Kind.RELEASE,
            debit=accounts[hold],
            credit=accounts[target],
            amount_micro=amount_micro,
            idempotency_key=f"release:{order.job_id}{suffix}",
            meta={"order": order.pk},
        )
        for order, hold, target, amount_micro, suffix in parts
    ]


def _promo_micro(organization: Organization) -> int:
    account = LedgerAccount.objects.filter(
        organization=organization, kind=Kind.PROMO_WALLET, currency=organization.currency
    )
    return account.values_list("balance_micro", flat=True).first() or 0


def _places(order: JobOrder, currency: str) -> tuple[AccountName, AccountName, AccountName]:
    hold, promo, wallet = (
        AccountName(kind=kind, currency=currency, organization_id=order.organization_id)
        for kind in (Kind.HOLD, Kind.PROMO_WALLET, Kind.WALLET)
    )
    return hold, promo, wallet
