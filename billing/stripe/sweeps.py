"""Listing what webhooks may have lost. Each sweep begins an hour before the last one ended, so that nothing is missed."""

import logging
from datetime import datetime, timedelta

from django.utils import timezone

from billing.models import StripeEvent, StripeSweep
from billing.stripe import balance, gateway, inbox

logger = logging.getLogger(__name__)
OVERLAP = timedelta(hours=1)  # lists may show a row some time after its moment
REACH = timedelta(days=30) - OVERLAP  # Stripe keeps events no longer
Subject = StripeSweep.Subject


def sweep_events() -> StripeSweep:
    """List Stripe's events since the last sweep and store those that no webhook brought. Raises StripeUnavailable."""
    since, until = _span(Subject.EVENTS)
    events = gateway.list_events(since_unix=int(since.timestamp()), until_unix=int(until.timestamp()) + 1)
    missing = inbox.receive(events, source=StripeEvent.Source.SWEEP)
    return _written(Subject.EVENTS, since, until, len(events), missing)


def sweep_balance() -> StripeSweep:
    """List our balance's movements since the last sweep and keep those that are new. Raises StripeUnavailable."""
    since, until = _span(Subject.BALANCE)
    movements = gateway.list_balance(since_unix=int(since.timestamp()), until_unix=int(until.timestamp()) + 1)
    return _written(Subject.BALANCE, since, until, len(movements), balance.record(movements))


def _span(subject: str) -> tuple[datetime, datetime]:
    now = timezone.now()
    last = StripeSweep.objects.filter(subject=subject).order_by("-until_at").first()
    since = last.until_at - OVERLAP if last else now - REACH
    if subject == Subject.EVENTS and since < now - REACH:
        logger.error(
            "events between %s and %s are out of reach: compare top-ups with Stripe by hand", since, now - REACH
        )
        since = now - REACH
    return since, now


def _written(subject: str, since: datetime, until: datetime, listed: int, missing: int) -> StripeSweep:
    if missing:
        logger.info("%s of %s %s since %s were new to us", missing, listed, subject, since)
    return StripeSweep.objects.create(subject=subject, since_at=since, until_at=until, listed=listed, missing=missing)
