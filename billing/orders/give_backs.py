"""What an order gives back to its customer, by voids and by upheld disputes: together never more than it charged.

Pockets: charges use promotional credit up first, so what is given back goes to the wallet first, until all that the wallet
paid is back, and then to promotional credit. What stays charged is paid as if nothing else had been, and credit never
becomes money that may be refunded.

A void and an upheld dispute do not meet on the same money: a dispute counts only the ratings that are not voided, and once
one is upheld, nothing that was charged is voided any more.

Locks: who gives back of an order, or lets somebody claim it, holds the order's row first (`locked`), then the dispute or
the void, then posts. Settling and closing hold the orders' rows before the ledger's accounts too, so nobody waits in a
circle. Settling voids needs no order: what a void gives back, and to which pocket, is written on it when it is made.
"""

from dataclasses import dataclass

from django.db.models import Sum

from billing.models import Dispute, JobOrder, UsageVoid


@dataclass(frozen=True)
class GivenBack:
    """Of one order: by voids, settled or not, and by upheld disputes; `promo_micro` is the part of both that is credit."""

    order: JobOrder
    voided_micro: int
    granted_micro: int
    promo_micro: int

    @property
    def standing_micro(self) -> int:
        """What was charged for usage that is not voided: what disputes are about."""
        return self.order.charged_micro - self.voided_micro

    @property
    def left_micro(self) -> int:
        """What may still be given back."""
        return self.standing_micro - self.granted_micro

    def promo_part(self, amount_micro: int) -> int:
        """Of an amount that is given back now, what goes to promotional credit."""
        by_wallet = max(0, self.order.charged_micro - self.order.held_promo_micro)
        to_wallet = self.voided_micro + self.granted_micro - self.promo_micro
        return amount_micro - min(amount_micro, max(0, by_wallet - to_wallet))


def locked(order_id: int) -> JobOrder:
    """The order, its row locked until the end of the transaction."""
    return JobOrder.objects.select_for_update(no_key=True).get(pk=order_id)


def of(order: JobOrder) -> GivenBack:
    """So far. It stays so only while the order is locked."""
    voids = UsageVoid.objects.filter(rated__order=order).aggregate(
        micro=Sum("rated__charged_micro"), promo=Sum("promo_micro")
    )
    grants = Dispute.objects.filter(order=order, status=Dispute.Status.UPHELD).aggregate(
        micro=Sum("granted_micro"), promo=Sum("granted_promo_micro")
    )
    return GivenBack(
        order=order,
        voided_micro=voids["micro"] or 0,
        granted_micro=grants["micro"] or 0,
        promo_micro=(voids["promo"] or 0) + (grants["promo"] or 0),
    )
