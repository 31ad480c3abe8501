"""Celery's doors to the services. Every task looks at rows and does nothing when they are done."""

import logging
import time

from celery import shared_task

from billing.services import closing, ledger, settlement, summaries
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
