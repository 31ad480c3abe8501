"""Sweeps: list Stripe's events and balance transactions, and store those that webhooks did not deliver.

Each sweep begins an hour before the end of the one before it, since Stripe may list a row some time after its
timestamp.
"""

import logging
from datetime import datetime, timedelta

from django.utils import timezone

from billing.models import StripeEvent, StripeSweep
from billing.stripe import balance, gateway, inbox

logger = logging.getLogger(__name__)
OVERLAP = timedelta(hours=1)
LOOK_BACK = timedelta(days=30) - OVERLAP  # Stripe keeps events for 30 days
Subject = StripeSweep.Subject


def sweep_events() -> StripeSweep:
    """List Stripe's events since the last sweep, store those that no webhook delivered and return the sweep's row.

    Raises StripeUnavailable.
    """
    since, until = _span(Subject.EVENTS)
    events = gateway.list_events(since_unix=int(since.timestamp()), until_unix=int(until.timestamp()) + 1)
    missing = inbox.receive(events, source=StripeEvent.Source.SWEEP)
    return _record_sweep(Subject.EVENTS, since, until, len(events), missing)


def sweep_balance() -> StripeSweep:
    """List the movements of our balance since the last sweep, store the new ones and return the sweep's row.

    Raises StripeUnavailable.
    """
    since, until = _span(Subject.BALANCE)
    movements = gateway.list_balance(since_unix=int(since.timestamp()), until_unix=int(until.timestamp()) + 1)
    return _record_sweep(Subject.BALANCE, since, until, len(movements), balance.record(movements))


def _span(subject: str) -> tuple[datetime, datetime]:
    now = timezone.now()
    last = StripeSweep.objects.filter(subject=subject).order_by("-until_at").first()
    since = last.until_at - OVERLAP if last else now - LOOK_BACK
    if subject == Subject.EVENTS and since < now - LOOK_BACK:
        logger.error(
            "Stripe no longer lists events between %s and %s: compare top-ups with Stripe by hand",
            since,
            now - LOOK_BACK,
        )
        since = now - LOOK_BACK
    return since, now


def _record_sweep(subject: str, since: datetime, until: datetime, listed: int, missing: int) -> StripeSweep:
    if missing:
        logger.info("sweep of %s since %s: %s of %s were not stored yet", subject, since, missing, listed)
    return StripeSweep.objects.create(subject=subject, since_at=since, until_at=until, listed=listed, missing=missing)
