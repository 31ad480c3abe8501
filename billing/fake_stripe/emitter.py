import time
from collections.abc import Callable

from billing.fake_stripe import objects
from billing.fake_stripe.objects import Object
from billing.fake_stripe.store import Store
from billing.fake_stripe.webhooks import Deliveries


class Emitter:
    """Stores objects as they change, and tells of each change by an event."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store, self.clock = store, clock
        self.deliveries = Deliveries(store)
        self.request: tuple[str | None, str | None] = (None, None)  # id and idempotency key of what causes the change

    def now(self) -> int:
        return int(self.clock())

    def changed(self, kind: str, item: Object) -> Object:
        """Keep the object and announce it."""
        self.store.put(item)
        request_id, key = self.request
        event = objects.event(
            self.store.new_id("evt"), self.now(), kind=kind, about=item, request_id=request_id, key=key
        )  # fmt: skip
        self.store.put(event)
        self.deliveries.add(event, self.clock())
        return item
