import time
from collections.abc import Callable

from marketplace.local.fake_stripe import objects, payee_objects
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.store import Store
from marketplace.local.fake_stripe.webhooks import Deliveries


class Emitter:
    """Stores objects as they change, and tells of each change by an event."""

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store, self.clock = store, clock
        self.deliveries = Deliveries(store)
        self.account = ""  # whose objects the present request is about; empty: the platform's
        self.available_at_once = True  # or a charge pays transfers after two days only, as at Stripe
        self.banks_at_once = False  # or what an account receives goes on to its bank by itself
        self.request: tuple[str | None, str | None] = (None, None)  # id and idempotency key of what causes the change

    def now(self) -> int:
        return int(self.clock())

    def changed(self, kind: str, item: Object) -> Object:
        """Keep the object and announce it."""
        self.store.put(item)
        request_id, key = self.request
        event = objects.event(
            self.store.new_id("evt"), self.now(), kind=kind, about=item, request_id=request_id, key=key
        )
        if owner := item.get("_account"):  # on somebody else's account: told to us, listed there
            event |= {"account": owner, "_account": owner}
        self._send(event)
        return item

    def thin(self, kind: str, about: Object) -> None:
        """Announce a change as API v2 does: without the object."""
        self._send(payee_objects.thin_event(self.store.new_id("evt"), self.clock(), kind=kind, about=about))

    def _send(self, event: Object) -> None:
        self.store.put(event)
        self.deliveries.add(event, self.clock())
