"""Listing what webhooks may have lost. Each sweep begins an hour before the last one ended, so that nothing is missed."""

import logging
from datetime import datetime, timedelta

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone

from billing.models import BalanceTransaction, CardDispute, StripeEvent, StripeSweep
from billing.payouts import reversals
from billing.refunds import outcomes as refund_outcomes
from billing.stripe import balance, gateway, inbox, rounds
from billing.wiring import events as event_handlers

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


def sweep_money(*, limit: int = 100) -> int:
    """Look again at refunds that are not over, and at disputes and transfers back whose money Stripe has moved and we have not
    posted.

    For what neither a webhook nor the list of events has brought. One that cannot be acted on is logged, and the others
    are looked at. How many there were. Raises StripeUnavailable.
    """
    ids = list(_unposted_disputes()[:limit])
    rounds.look_again(ids, event_handlers.dispute)
    return len(ids) + refund_outcomes.sweep(limit=limit) + reversals.sweep(limit=limit)


def _unposted_disputes() -> QuerySet[BalanceTransaction, str]:
    """Ids of disputes, by the balance's adjustments."""
    known = CardDispute.objects.filter(stripe_id=OuterRef("source_id"))
    posted = Q(Exists(known.filter(withdrawn_at__isnull=False)), amount_micro__lt=0) | Q(
        Exists(known.filter(reinstated_at__isnull=False)), amount_micro__gt=0
    )
    rows = BalanceTransaction.objects.filter(
        ~posted, type="adjustment", source_id__regex="^(dp|du)_", occurred_at__gt=timezone.now() - REACH
    )
    return rows.order_by("source_id").values_list("source_id", flat=True).distinct()


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
