"""What is held for an order, and what comes back: promotional credit goes first, and is what charges use up first."""

from collections.abc import Sequence

from accounts.models import Organization
from billing.ledger import posting
from billing.ledger.posting import Place, Posting
from billing.models import JobOrder, LedgerAccount, LedgerTransfer

Kind = LedgerAccount.Kind


def promo_part(organization: Organization, held_micro: int) -> int:
    """How much of a hold promotional credit pays. With any credit the organization's orders wait for each other from here on.

    Two orders that read the same credit would else both count on it, and one be refused though the wallet covers it. The
    organization's row is locked since only the database's own function may write to the ledger's accounts.
    """
    if not _promo_micro(organization):
        return 0
    Organization.objects.select_for_update(no_key=True).get(pk=organization.pk)
    return min(held_micro, _promo_micro(organization))


def take(order: JobOrder, *, currency: str) -> None:
    """Move what the order holds out of its pockets. Raises PaymentRequired `insufficient_funds`."""
    hold, promo, wallet = _places(order, currency)
    accounts = posting.accounts([hold, promo, wallet] if order.held_promo_micro else [hold, wallet])
    pockets = [(promo, order.held_promo_micro, ":promo"), (wallet, order.held_micro - order.held_promo_micro, "")]
    posting.post(
        [
            Posting(
                kind=LedgerTransfer.Kind.HOLD,
                debit=accounts[pocket],
                credit=accounts[hold],
                amount_micro=amount_micro,
                idempotency_key=f"hold:{order.job_id}{suffix}",
                meta={"job": str(order.job.public_id)},
            )
            for pocket, amount_micro, suffix in pockets
            if amount_micro
        ]
    )


def releases(orders: Sequence[JobOrder]) -> list[Posting]:
    """What goes back of each order that still holds something, to the pocket that it came from."""
    parts = [
        (order, hold, pocket, amount_micro, suffix)
        for order in orders
        for hold, promo, wallet in [_places(order, order.rate_card.currency)]
        for pocket, amount_micro, suffix in [
            (promo, order.left_promo_micro, ":promo"),
            (wallet, order.left_micro - order.left_promo_micro, ""),
        ]
        if amount_micro
    ]
    accounts = posting.accounts({place for _, hold, pocket, _, _ in parts for place in (hold, pocket)})
    return [
        Posting(
            kind=LedgerTransfer.Kind.RELEASE,
            debit=accounts[hold],
            credit=accounts[pocket],
            amount_micro=amount_micro,
            idempotency_key=f"release:{order.job_id}{suffix}",
            meta={"order": order.pk},
        )
        for order, hold, pocket, amount_micro, suffix in parts
    ]


def _promo_micro(organization: Organization) -> int:
    account = LedgerAccount.objects.filter(
        organization=organization, kind=Kind.PROMO_WALLET, currency=organization.currency
    )
    return account.values_list("balance_micro", flat=True).first() or 0


def _places(order: JobOrder, currency: str) -> tuple[Place, Place, Place]:
    hold, promo, wallet = (
        Place(kind=kind, currency=currency, organization_id=order.organization_id)
        for kind in (Kind.HOLD, Kind.PROMO_WALLET, Kind.WALLET)
    )
    return hold, promo, wallet
