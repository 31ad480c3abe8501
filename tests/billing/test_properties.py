"""Any sequence of what can happen to money keeps every sum, and agrees with a second computation in plain Python."""

from collections import defaultdict
from dataclasses import dataclass, field

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing.models import JobOrder
from billing.services import ledger, wallets
from billing.services.closing import close_orders
from billing.services.settlement import settle_usage
from compute.models import UsageRecord
from marketplace.core.errors import DomainError
from marketplace.core.money import price_of_time
from tests.billing.helpers import Market, end_job, make_market, make_usage, order, top_up

pytestmark = pytest.mark.django_db

PRICE, SHARE = 97_531, 613  # so that almost nothing divides evenly

steps = st.one_of(
    st.tuples(st.just("top_up"), st.integers(1, 300_000), st.integers(0, 3)),
    st.tuples(st.just("order"), st.integers(1, 5_000), st.sampled_from([None, 1, 1_000, 50_000, 150_000])),
    st.tuples(st.just("work"), st.integers(0, 3), st.integers(0, 12_000_000)),
    st.tuples(st.just("work"), st.integers(0, 3), st.integers(0, 50)),
    st.tuples(st.just("copy"), st.integers(0, 9), st.integers(0, 12_000_000)),
    st.tuples(st.just("settle"), st.sampled_from([1, 2, 5_000]), st.just(0)),
    st.tuples(st.just("end"), st.integers(0, 3), st.sampled_from(["completed", "failed", "cancelled"])),
    st.tuples(st.just("close"), st.just(0), st.just(0)),
)


@dataclass
class Books:
    """What should be, computed by hand from the same events."""

    market: Market
    deposits: dict[str, int] = field(default_factory=dict)
    wallet: int = 0
    orders: list[JobOrder] = field(default_factory=list)
    left: dict[int, int] = field(default_factory=dict)  # order -> what remains of its hold
    payable: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    pending: list[UsageRecord] = field(default_factory=list)
    originals: list[UsageRecord] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)

    def top_up(self, amount: int, key: int) -> None:
        if self.deposits.setdefault(f"key {key}", amount) != amount:
            with pytest.raises(DomainError):
                top_up(self.market.organization, amount, key=f"key {key}")
            return
        top_up(self.market.organization, amount, key=f"key {key}")
        self.wallet = sum(self.deposits.values()) - self._spent()

    def _spent(self) -> int:
        return sum(order.held_micro for order in self.orders) - self.released

    released: int = 0

    def order(self, items: int, cap: int | None) -> None:
        try:
            with transaction.atomic():
                placed = order(self.market.organization, items=items, us_per_item=400_000, cap_micro=cap)
        except DomainError as error:
            assert error.code in ("insufficient_funds", "cap_too_low")
            return
        assert placed.held_micro <= self.wallet
        self.orders.append(placed)
        self.left[placed.pk] = placed.held_micro
        self.wallet -= placed.held_micro

    def work(self, which: int, compute_ms: int) -> None:
        if self.orders:
            job = self.orders[which % len(self.orders)].job
            usage = make_usage(job, self.market.nodes[which % 2], compute_ms=compute_ms)
            self.pending.append(usage)
            self.originals.append(usage)

    def copy(self, which: int, compute_ms: int) -> None:
        if self.originals:
            original = self.originals.pop(which % len(self.originals))
            node = next(node for node in self.market.nodes if node.pk != original.node_id)
            self.pending.append(make_usage(original.job, node, compute_ms=compute_ms, copy_of=original))

    def settle(self, limit: int, _: int) -> None:
        assert settle_usage(limit=limit) == min(limit, len(self.pending))
        now, self.pending = self.pending[:limit], self.pending[limit:]
        for usage in now:
            full = price_of_time(usage.compute_ms, PRICE)
            self.payable[usage.owner_id] += full * SHARE // 1000
            if usage.is_canonical:
                placed = next(row for row in self.orders if row.job_id == usage.job_id)
                self.left[placed.pk] -= min(full, self.left[placed.pk])

    def end(self, which: int, status: str) -> None:
        if self.orders and self.orders[which % len(self.orders)].pk not in self.ended:
            placed = self.orders[which % len(self.orders)]
            end_job(placed.job, status)
            self.ended.add(placed.pk)

    def close(self, *_: int) -> None:
        waiting = {usage.job_id for usage in self.pending}
        due = [o for o in self.orders if o.pk in self.ended and o.job_id not in waiting and self.left[o.pk] is not None]
        due = [o for o in due if JobOrder.objects.get(pk=o.pk).status == "held"]
        assert close_orders() == len(due)
        for placed in due:
            self.wallet += self.left[placed.pk]
            self.released += self.left[placed.pk]
            self.left[placed.pk] = 0

    def check(self) -> None:
        summary = wallets.summary(self.market.organization)
        assert (summary.available_micro, summary.held_micro) == (self.wallet, sum(self.left.values()))
        assert self.wallet >= 0
        for node in self.market.nodes:
            account = ledger.payable(node.vehicle.owner, "USD")
            assert account.balance_micro == self.payable[node.vehicle.owner_id]
        assert ledger.recompute() == []


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
@given(sequence=st.lists(steps, min_size=8, max_size=24))
def test_whatever_happens_the_books_are_right(sequence):
    with transaction.atomic():
        books = Books(make_market(price=PRICE, share=SHARE, top_up_micro=0))
        books.top_up(400_000, 99)
        for name, first, second in sequence:
            getattr(books, name)(first, second)
            books.check()
        # Running everything once more, and once more, changes nothing that the books do not know.
        books.settle(5_000, 0)
        books.close()
        books.check()
        assert (settle_usage(), close_orders()) == (0, 0)
        books.check()
        transaction.set_rollback(True)
