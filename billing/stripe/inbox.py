"""The inbox: Stripe's events, each stored once when it arrives. A worker acts on it later.

The worker fetches the object that the event names and acts on the object's present state. Duplicate events, their
order, and whether a webhook or a listing (billing/stripe/sweeps.py) delivered them therefore make no difference.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from accounts.access import audit
from accounts.models import User
from billing.models import StripeEvent
from billing.stripe import batches
from billing.stripe.gateway import Event, StripeUnavailable
from core.errors import DomainError
from core.queue import CLAIM_FIELDS, claim, claim_condition, retry_delay
from core.states import transition
from core.workers import wake

logger = logging.getLogger(__name__)
TASK = "billing.process_stripe_events"
LEASE = timedelta(seconds=90)
ATTEMPTS = 14
DELAY_MAX_S = 1800
Status = StripeEvent.Status
# Takes the id of the event's object. Returns False when the object is not ours; raises DomainErrors.
ObjectHandler = Callable[[str], bool]
# Takes the id of the connected account on which the event happened and the id of the object there. Returns and raises
# the same.
ConnectedHandler = Callable[[str, str], bool]
# Event type -> handler. Empty until `billing.wiring.connect` has run.
OBJECTS: dict[str, ObjectHandler] = {}
THIN: dict[str, ObjectHandler] = {}
CONNECTED: dict[str, ConnectedHandler] = {}


def register(
    *,
    objects: Mapping[str, ObjectHandler],
    thin: Mapping[str, ObjectHandler],
    connected: Mapping[str, ConnectedHandler],
) -> None:
    """Add handlers by event type.

    `objects` are events about objects of our own account, `thin` events of Stripe's API v2, and `connected` events on
    connected accounts.
    """
    OBJECTS.update(objects)
    THIN.update(thin)
    CONNECTED.update(connected)


def receive(events: Sequence[Event], *, source: str) -> int:
    """Store the events that we do not have yet and wake the worker that acts on them. Return how many were new."""
    with transaction.atomic():
        known = set(
            StripeEvent.objects.filter(event_id__in=[event.id for event in events]).values_list("event_id", flat=True)
        )
        new = [_row(event, source) for event in events if event.id not in known]
        # Another webhook or sweep may be storing the same events at this moment.
        StripeEvent.objects.bulk_create(new, ignore_conflicts=True)
        if new:
            wake(TASK)
    return len(new)


def process_due(*, limit: int = 200) -> int:
    """Act on events that are due, oldest first, up to `limit` of them. Return how many were claimed.

    An unexpected exception does not stop the others; the first is raised at the end (see `batches.process_claims`).
    """
    return batches.process_claims(_claim, _work, limit=limit)


def retry(*, event: StripeEvent, actor: User | None) -> None:
    """Queue an event again on behalf of an operator.

    Raises InvalidTransition when the event's state does not allow it.
    """
    with transaction.atomic():
        event = StripeEvent.objects.select_for_update().get(pk=event.pk)
        audit.record(
            actor=actor, action="stripe_event.retry", subject=event.event_id, type=event.type, code=event.status_code
        )
        transition(event, Status.RECEIVED, due_at=timezone.now(), attempts=0, message="")
        wake(TASK)


def _row(event: Event, source: str) -> StripeEvent:
    return StripeEvent(
        event_id=event.id,
        type=event.type,
        is_thin=event.is_thin,
        object_id=event.object_id[:255],
        account_id=event.account_id[:255],
        api_version=event.api_version[:64],
        livemode=event.livemode,
        occurred_at=event.occurred_at,
        source=source,
        payload_sha256=event.payload_sha256,
    )


def _claim() -> StripeEvent | None:
    """Claim the first due event that no other worker holds, or return None.

    If we die, the event is due when the lease ends.
    """
    with transaction.atomic():
        due = StripeEvent.objects.filter(status=Status.RECEIVED, due_at__lte=timezone.now())
        for event in claim(due, lease=lambda _: LEASE):
            event.save(update_fields=CLAIM_FIELDS)
            return event
        return None


def _work(event: StripeEvent) -> None:
    handler = _handler(event)
    if event.attempts > ATTEMPTS:
        _end(event, Status.DEAD, "crashed", "Processing was started many times and never finished.")
    # Events of Stripe's test mode must not move real money, and events of live mode must not reach a test site.
    elif event.livemode != settings.STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_")):
        _end(event, Status.SKIPPED, "other_mode")
    elif handler is None:
        _end(event, Status.SKIPPED, "unknown_type")
    else:
        try:
            ours = handler()
        except StripeUnavailable as error:
            _retry_later(event, error)
        except DomainError as error:
            logger.exception("event %s cannot be acted on", event.event_id)
            _end(event, Status.DEAD, error.code, f"{error.message} {error.fields or ''}".strip())
        else:
            _end(event, Status.PROCESSED if ours else Status.SKIPPED, "" if ours else "not_ours")


def _handler(event: StripeEvent) -> Callable[[], bool] | None:
    """Return the handler of the event, ready to call, or None for an unknown type.

    The object of an event on a connected account exists only on that account, so its handler gets the account's id as
    well.
    """
    if event.account_id and not event.is_thin:
        connected = CONNECTED.get(event.type)
        return connected and partial(connected, event.account_id, event.object_id)
    handler = (THIN if event.is_thin else OBJECTS).get(event.type)
    return handler and partial(handler, event.object_id)


def _end(event: StripeEvent, status: str, code: str, message: str = "") -> None:
    """Move the event to its final state, unless another worker has claimed it since: that one sees a newer object."""
    with transaction.atomic():
        row = StripeEvent.objects.select_for_update().filter(claim_condition(event), status=Status.RECEIVED).first()
        if row:
            transition(row, status, code=code, message=message)


def _retry_later(event: StripeEvent, error: DomainError) -> None:
    wait = retry_delay(event.attempts, longest_s=DELAY_MAX_S)
    logger.warning("event %s: %s; again in %s", event.event_id, error.code, wait)
    StripeEvent.objects.filter(claim_condition(event), status=Status.RECEIVED).update(
        due_at=timezone.now() + wait, message=error.message
    )
