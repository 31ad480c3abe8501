"""What an order has given back to its customer, by voids and by upheld disputes: together never more than it charged.

Wallet and promotional credit: charges use promotional credit first. So what is given back goes to the wallet first,
until the wallet has back all that it paid, and then to promotional credit. What stays charged is then paid as if the
rest had never been charged, and promotional credit never becomes money that may be refunded.

The same money is not given back twice, by a void and by a dispute: a dispute counts only usage that is not voided, and
once a dispute is upheld, no usage that was charged can be voided any more.

Locks: a transaction that gives back money of an order, or opens a dispute about it, locks the order's row first
(`lock_order`), then the dispute or the void, and posts last. Settling and closing also lock the orders' rows before the
ledger's accounts, so there is no deadlock. Settling voids locks no order: the amounts of a void are fixed when it is
made.
"""

from dataclasses import dataclass

from django.db.models import Sum

from billing.models import Dispute, JobOrder, UsageVoid


@dataclass(frozen=True)
class ReturnedCharges:
    """What one order has given back so far."""

    order: JobOrder
    voided_micro: int  # by voids, settled or not
    granted_micro: int  # by upheld disputes
    promo_micro: int  # the part of both that went to promotional credit

    @property
    def standing_micro(self) -> int:
        """What was charged for usage that is not voided, which is what a dispute can be about."""
        return self.order.charged_micro - self.voided_micro

    @property
    def left_micro(self) -> int:
        """What may still be given back."""
        return self.standing_micro - self.granted_micro

    def promo_part(self, amount_micro: int) -> int:
        """Return the part of an amount that goes to promotional credit if the amount is given back now."""
        paid_by_wallet = max(0, self.order.charged_micro - self.order.held_promo_micro)
        returned_to_wallet = self.voided_micro + self.granted_micro - self.promo_micro
        return amount_micro - min(amount_micro, max(0, paid_by_wallet - returned_to_wallet))


def lock_order(order_id: int) -> JobOrder:
    """Return the order with its row locked until the end of the transaction."""
    return JobOrder.objects.select_for_update(no_key=True).get(pk=order_id)


def returned_charges_of(order: JobOrder) -> ReturnedCharges:
    """Return what the order has given back so far. The figures can change unless the caller has locked the order."""
    voids = UsageVoid.objects.filter(rated__order=order).aggregate(
        micro=Sum("rated__charged_micro"), promo=Sum("promo_micro")
    )
    grants = Dispute.objects.filter(order=order, status=Dispute.Status.UPHELD).aggregate(
        micro=Sum("granted_micro"), promo=Sum("granted_promo_micro")
    )
    return ReturnedCharges(
        order=order,
        voided_micro=voids["micro"] or 0,
        granted_micro=grants["micro"] or 0,
        promo_micro=(voids["promo"] or 0) + (grants["promo"] or 0),
    )
