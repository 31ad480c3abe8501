"""Any sequence of events keeps every sum of money, and agrees with a second computation in plain Python."""

from collections import defaultdict
from contextlib import nullcontext, suppress
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.ledger import posting
from billing.models import JobOrder
from billing.orders import voids
from billing.orders.closing import close_orders
from billing.orders.settlement import settle_usage
from billing.wallet import wallets
from compute.models import UsageRecord
from core.errors import Conflict, InvalidInput, PaymentRequired
from tests.billing.helpers import Market, end_job, give_credit, make_market, make_usage, order, top_up
from tests.long import examples

pytestmark = pytest.mark.django_db

PRICE, KWH, SHARE = 97_531, 199_933, 613  # chosen so that almost nothing divides evenly

hours = st.integers(0, 12_000_000)  # three of them use up most holds
steps = st.one_of(
    st.tuples(st.just("top_up"), st.integers(1, 300_000), st.integers(0, 3)),
    st.tuples(st.just("order"), st.integers(1, 5_000), st.sampled_from([None, 1, 1_000, 50_000, 150_000])),
    st.tuples(st.just("work"), st.integers(0, 3), hours),
    st.tuples(st.just("work"), st.integers(0, 3), st.integers(0, 50)),
    st.tuples(st.just("work"), st.just(0), hours),
    st.tuples(st.just("copy"), st.integers(0, 9), hours),
    st.tuples(st.just("give"), st.integers(1, 200_000), st.just(0)),
    st.tuples(st.just("void"), st.integers(0, 9), st.just(0)),
    st.tuples(st.just("settle"), st.sampled_from([1, 3, 5_000]), st.just(0)),
    st.tuples(st.just("end"), st.integers(0, 3), st.sampled_from(["completed", "failed", "cancelled"])),
    st.tuples(st.just("close"), st.just(0), st.just(0)),
)


@dataclass
class Books:
    """The expected sums, computed in another way from the same events; each method is an event."""

    market: Market
    deposits: dict[int, int] = field(default_factory=dict)
    orders: list[JobOrder] = field(default_factory=list)
    left: dict[int, int] = field(default_factory=dict)  # order -> what remains of its hold
    charged: dict[int, int] = field(default_factory=lambda: defaultdict(int))  # order -> what it has cost
    to_wallet: dict[int, int] = field(default_factory=lambda: defaultdict(int))  # order -> what voids gave back to it
    credit: int = 0
    returned: int = 0  # to the wallet, when orders closed and usage was voided
    ended: set[int] = field(default_factory=set)
    closed: set[int] = field(default_factory=set)
    pending: list[UsageRecord] = field(default_factory=list)
    settled: dict[int, int] = field(default_factory=dict)  # usage -> what the customer was charged for it
    originals: list[UsageRecord] = field(default_factory=list)  # work without a copy that checks it
    payable: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    @property
    def wallet(self) -> int:
        held = sum(order.held_micro - order.held_promo_micro for order in self.orders)
        return sum(self.deposits.values()) - held + self.returned

    def give(self, amount: int, _: int = 0) -> None:
        give_credit(self.market.organization, amount)
        self.credit += amount

    def top_up(self, amount: int, key: int) -> None:
        """Top up. The same key again credits nothing more, and with another amount it is refused."""
        differs = self.deposits.setdefault(key, amount) != amount
        with pytest.raises(Conflict) if differs else nullcontext():
            top_up(self.market.organization, amount, key=f"key {key}")

    def order(self, items: int, cap: int | None) -> None:
        before, credit = self.wallet + self.credit, self.credit
        with suppress(PaymentRequired, InvalidInput), transaction.atomic():
            placed = order(self.market.organization, items=items, us_per_item=400_000, cap_micro=cap)
            assert placed.held_micro <= min(before, cap or before)
            assert placed.held_promo_micro == min(credit, placed.held_micro)
            self.credit -= placed.held_promo_micro
            self.orders.append(placed)
            self.left[placed.pk] = placed.held_micro

    def work(self, which: int, compute_ms: int) -> None:
        if self.orders:
            job = self.orders[which % len(self.orders)].job
            usage = make_usage(job, self.market.nodes[which % 2], compute_ms=compute_ms, energy_mwh=compute_ms // 250)
            self.pending.append(usage)
            self.originals.append(usage)

    def copy(self, which: int, compute_ms: int) -> None:
        if self.originals:
            original = self.originals.pop(which % len(self.originals))
            node = next(node for node in self.market.nodes if node.pk != original.node_id)
            self.pending.append(make_usage(original.job, node, compute_ms=compute_ms, copy_of=original))

    def settle(self, limit: int, _: int = 0) -> None:
        assert settle_usage(limit=limit) == min(limit, len(self.pending))
        settled, self.pending = self.pending[:limit], self.pending[limit:]
        for usage in settled:
            self.payable[usage.owner_id] += paid(usage)
            self.settled[usage.pk] = 0
            if usage.is_canonical:
                placed = next(row for row in self.orders if row.job_id == usage.job_id)
                self.settled[usage.pk] = min(charged(usage), self.left[placed.pk])
                self.left[placed.pk] -= self.settled[usage.pk]
                self.charged[placed.pk] += self.settled[usage.pk]

    def void(self, which: int, _: int = 0) -> None:
        if self.settled:
            usage = UsageRecord.objects.get(pk=list(self.settled)[which % len(self.settled)])
            rows = [voids.void(rated=usage.rated, reason="test", actor=None) for _ in range(2)]
            assert rows[0] == rows[1]
            assert [voids.settle_voids(), voids.settle_voids()] == [1, 0]
            placed, back = next(row for row in self.orders if row.job_id == usage.job_id), self.settled.pop(usage.pk)
            paid_by_wallet = max(0, self.charged[placed.pk] - placed.held_promo_micro)
            to_wallet = min(back, paid_by_wallet - self.to_wallet[placed.pk])
            self.to_wallet[placed.pk] += to_wallet
            self.returned += to_wallet
            self.credit += back - to_wallet
            self.payable[usage.owner_id] -= paid(usage)

    def end(self, which: int, status: str) -> None:
        if self.orders and (placed := self.orders[which % len(self.orders)]).pk not in self.ended:
            end_job(placed.job, status)
            self.ended.add(placed.pk)

    def close(self, *_: int) -> None:
        waiting = {usage.job_id for usage in self.pending}
        due = [row for row in self.orders if row.pk in self.ended - self.closed and row.job_id not in waiting]
        assert close_orders() == len(due)
        for placed in due:
            self.closed.add(placed.pk)
            credit = max(0, placed.held_promo_micro - (placed.held_micro - self.left[placed.pk]))
            self.credit += credit
            self.returned += self.left[placed.pk] - credit
            self.left[placed.pk] = 0

    def check(self) -> None:
        summary = wallets.summary(self.market.organization)
        assert (summary.promo_micro, summary.held_micro) == (self.credit, sum(self.left.values()))
        assert summary.available_micro == self.wallet + self.credit
        assert self.wallet >= 0
        for node in self.market.nodes:
            account = posting.payable(node.vehicle.owner, "USD")
            assert account.balance_micro == self.payable[node.vehicle.owner_id]
        assert posting.recompute() == []


def charged(usage: UsageRecord) -> int:
    return round(Fraction(usage.compute_ms * PRICE, 3_600_000) + Fraction(usage.energy_mwh * KWH, 1_000_000))


def paid(usage: UsageRecord) -> int:
    time = Fraction(usage.compute_ms * PRICE * SHARE, 3_600_000_000)
    return floor(time + Fraction(usage.energy_mwh * KWH, 1_000_000))


@settings(max_examples=examples(25), deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(sequence=st.lists(steps, min_size=8, max_size=24))
def test_whatever_happens_the_books_are_right(sequence):
    with transaction.atomic():
        books = Books(make_market(price=PRICE, share=SHARE, top_up_micro=0, price_micro_per_kwh=KWH))
        books.top_up(400_000, 99)
        books.order(1_000, None)
        for name, first, second in sequence:
            getattr(books, name)(first, second)
            books.check()
        # Settling and closing what is left, and then once more, changes only what the books expect.
        books.settle(5_000)
        books.close()
        books.check()
        assert (settle_usage(), close_orders()) == (0, 0)
        books.check()
        transaction.set_rollback(True)
