"""Store changed objects and emit an event for each change."""

import time
from collections.abc import Callable

from marketplace.local.fake_stripe import objects, payee_objects
from marketplace.local.fake_stripe.objects import Object
from marketplace.local.fake_stripe.store import Store
from marketplace.local.fake_stripe.webhooks import Deliveries


class Emitter:
    """Stores objects as they change, and emits an event for each change.

    It also holds the fake's switches and its clock.
    """

    def __init__(self, store: Store, clock: Callable[[], float] = time.time) -> None:
        self.store, self.clock = store, clock
        self.deliveries = Deliveries(store)
        self.account = ""  # the account whose objects the present request reads; "" is the platform
        self.available_at_once = True  # False: charges are available for transfers after two days, as at Stripe
        self.banks_at_once = False  # True: what an account receives is paid to its bank at once
        self.request: tuple[str | None, str | None] = (None, None)  # id and idempotency key of the present request

    def now(self) -> int:
        """Return the time in whole Unix seconds."""
        return int(self.clock())

    def changed(self, kind: str, item: Object) -> Object:
        """Store the object and emit an event of this kind. Return the object."""
        self.store.put(item)
        request_id, key = self.request
        event = objects.event(
            self.store.new_id("evt"), self.now(), kind=kind, about=item, request_id=request_id, key=key
        )
        if owner := item.get("_account"):  # a connected account's event: sent to our webhook, listed in that account
            event |= {"account": owner, "_account": owner}
        self._send(event)
        return item

    def thin(self, kind: str, about: Object) -> None:
        """Emit an event of API v2, which does not include the object."""
        self._send(payee_objects.thin_event(self.store.new_id("evt"), self.clock(), kind=kind, about=about))

    def _send(self, event: Object) -> None:
        self.store.put(event)
        self.deliveries.add(event, self.clock())
