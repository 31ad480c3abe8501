"""The inbox: events of Stripe's, stored once when they arrive and acted on later, from the object as it is then.

So it does not matter how often an event comes, in what order, or whether a webhook or a listing brought it.
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
from billing.stripe import rounds
from billing.stripe.gateway import Event, StripeUnavailable
from core.errors import DomainError
from core.queue import CLAIM_FIELDS, claimed, delay, take
from core.states import transition
from core.workers import wake

logger = logging.getLogger(__name__)
TASK = "billing.process_stripe_events"
LEASE = timedelta(seconds=90)
ATTEMPTS = 14
DELAY_MAX_S = 1800
Status = StripeEvent.Status
# Takes the id of the event's object. Returns False when it is nothing of ours; raises DomainErrors.
ObjectHandler = Callable[[str], bool]
# Takes the account on which it happened, and the id of the object there. As above.
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
    """Add handlers: of events about our own objects, of API v2's, and of events on connected accounts."""
    OBJECTS.update(objects)
    THIN.update(thin)
    CONNECTED.update(connected)


def receive(events: Sequence[Event], *, source: str) -> int:
    """Store events that we do not have yet, and wake the one who acts on them. How many were new."""
    with transaction.atomic():
        known = set(
            StripeEvent.objects.filter(event_id__in=[event.id for event in events]).values_list("event_id", flat=True)
        )
        new = [_row(event, source) for event in events if event.id not in known]
        StripeEvent.objects.bulk_create(new, ignore_conflicts=True)
        if new:
            wake(TASK)
    return len(new)


def process_due(*, limit: int = 200) -> int:
    """Act on events that are due, oldest first, until none is left or `limit` were. How many were taken up. Faults: see rounds."""
    return rounds.work_off(_claim, _work, limit=limit)


def retry(*, event: StripeEvent, actor: User | None) -> None:
    """An operator's word that an event shall be acted on again. Raises InvalidTransition when it was."""
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
    """Take the first due event that nobody else has; it comes back if we do not end with it."""
    with transaction.atomic():
        due = StripeEvent.objects.filter(status=Status.RECEIVED, due_at__lte=timezone.now())
        for event in take(due, lease=lambda _: LEASE):
            event.save(update_fields=CLAIM_FIELDS)
            return event
        return None


def _work(event: StripeEvent) -> None:
    handler = _handler(event)
    if event.attempts > ATTEMPTS:
        _end(event, Status.DEAD, "crashed", "It was begun many times and never came to an end.")
    elif event.livemode != settings.STRIPE_SECRET_KEY.startswith(("sk_live_", "rk_live_")):
        _end(event, Status.SKIPPED, "other_mode")
    elif handler is None:
        _end(event, Status.SKIPPED, "unknown_type")
    else:
        try:
            ours = handler()
        except StripeUnavailable as error:
            _later(event, error)
        except DomainError as error:
            logger.exception("event %s cannot be acted on", event.event_id)
            _end(event, Status.DEAD, error.code, f"{error.message} {error.fields or ''}".strip())
        else:
            _end(event, Status.PROCESSED if ours else Status.SKIPPED, "" if ours else "not_ours")


def _handler(event: StripeEvent) -> Callable[[], bool] | None:
    """What is done about such an event. One on somebody else's account names an object that our own does not have."""
    if event.account_id and not event.is_thin:
        connected = CONNECTED.get(event.type)
        return connected and partial(connected, event.account_id, event.object_id)
    handler = (THIN if event.is_thin else OBJECTS).get(event.type)
    return handler and partial(handler, event.object_id)


def _end(event: StripeEvent, status: str, code: str, message: str = "") -> None:
    """Unless somebody took it up since: what they see is newer, and theirs is the last word."""
    with transaction.atomic():
        row = StripeEvent.objects.select_for_update().filter(claimed(event), status=Status.RECEIVED).first()
        if row:
            transition(row, status, code=code, message=message)


def _later(event: StripeEvent, error: DomainError) -> None:
    wait = delay(event.attempts, longest_s=DELAY_MAX_S)
    logger.warning("event %s: %s; again in %s", event.event_id, error.code, wait)
    StripeEvent.objects.filter(claimed(event), status=Status.RECEIVED).update(
        due_at=timezone.now() + wait, message=error.message
    )
