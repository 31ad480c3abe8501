"""Celery's doors to the services. Every task looks at rows and does nothing when they are done."""

import logging
import time

from celery import shared_task
from django.conf import settings

from billing.gateway import StripeUnavailable
from billing.services import card_disputes, closing, inbox, ledger, outbox, settlement, summaries, sweeps
from compute.services import kicks

logger = logging.getLogger(__name__)
BUDGET_S = 30.0


@shared_task(name="billing.settle_usage")
def settle_usage() -> None:
    """Settle until nothing is left, or the next run may as well do it."""
    kicks.begin("billing.settle_usage")
    until = time.monotonic() + BUDGET_S
    while settlement.settle_usage() and time.monotonic() < until:
        pass


@shared_task(name="billing.close_jobs")
def close_jobs() -> None:
    kicks.begin("billing.close_jobs")
    closing.close_orders()


@shared_task(name="billing.check_ledger")
def check_ledger() -> None:
    for difference in ledger.recompute():
        logger.error("the ledger does not add up: %s", difference)


@shared_task(name="billing.summarize_earnings")
def summarize_earnings() -> None:
    summaries.summarize()


@shared_task(name=outbox.TASK)
def send_stripe_commands() -> None:
    kicks.begin(outbox.TASK)
    outbox.send_due()


@shared_task(name=inbox.TASK)
def process_stripe_events() -> None:
    kicks.begin(inbox.TASK)
    inbox.process_due()


@shared_task(name="billing.collect_owed")
def collect_owed() -> None:
    """Wallets that owe for disputed payments give what ended jobs gave back to them."""
    card_disputes.collect_owed()


@shared_task(name="billing.sweep_stripe")
def sweep_stripe() -> None:
    """What webhooks lost, and what Stripe booked. Nothing without a key; when Stripe is away, the next run does it."""
    if not settings.STRIPE_SECRET_KEY:
        return
    try:
        sweeps.sweep_events()
        sweeps.sweep_balance()
        sweeps.sweep_money()
    except StripeUnavailable as error:
        logger.warning("Stripe could not be swept: %s", error)
