"""Celery's doors to the services. Every task looks at rows and does nothing when they are done."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from celery import shared_task
from django.conf import settings

from billing.chargebacks import chargebacks
from billing.chargebacks import sweep as disputed_payments
from billing.earnings import summaries
from billing.invoices import invoices
from billing.ledger import check_runs
from billing.ledger import checks as ledger_checks
from billing.orders import closing, settlement, voids
from billing.payouts import accounts as connected_accounts
from billing.payouts import bank, payouts, reversals
from billing.refunds import outcomes as refund_outcomes
from billing.refunds import resolutions
from billing.statements import statements
from billing.stripe import inbox, outbox, sweeps
from billing.stripe.gateway import StripeUnavailable
from billing.topups import mails as saved_card_mails
from billing.topups import recharges
from billing.wallet import low_balance
from core import workers

logger = logging.getLogger(__name__)
BUDGET_S = 30.0


def _drain(work: Callable[[], int]) -> None:
    """Until nothing is left, or the next run may as well do it."""
    until = time.monotonic() + BUDGET_S
    while work() and time.monotonic() < until:
        pass


@contextmanager
def _or_next_time(what: str) -> Iterator[None]:
    """When Stripe is away, the next run does it."""
    try:
        yield
    except StripeUnavailable as error:
        logger.warning("%s: %s", what, error)


@shared_task(name="billing.settle_usage")
def settle_usage() -> None:
    workers.begin("billing.settle_usage")
    _drain(settlement.settle_usage)


@shared_task(name=voids.TASK)
def settle_voids() -> None:
    workers.begin(voids.TASK)
    _drain(voids.settle_voids)


@shared_task(name="billing.close_jobs")
def close_jobs() -> None:
    workers.begin("billing.close_jobs")
    closing.close_orders()


@shared_task(name="billing.check_ledger")
def check_ledger() -> None:
    """Each hour: all but what reads every usage record."""
    check_runs.run(names=ledger_checks.HOURLY)


@shared_task(name="billing.check_whole_ledger")
def check_whole_ledger() -> None:
    check_runs.run()


@shared_task(name="billing.summarize_earnings")
def summarize_earnings() -> None:
    summaries.summarize()


@shared_task(name=outbox.TASK)
def send_stripe_commands() -> None:
    workers.begin(outbox.TASK)
    outbox.send_due()


@shared_task(name=inbox.TASK)
def process_stripe_events() -> None:
    workers.begin(inbox.TASK)
    inbox.process_due()


@shared_task(name=recharges.TASK)
def recharge_low() -> None:
    """Until nobody is left whose wallet is low. Nothing without a key."""
    workers.begin(recharges.TASK)
    if settings.STRIPE_SECRET_KEY:
        _drain(recharges.recharge_low)


@shared_task(name="billing.close_invoices")
def close_invoices() -> None:
    """Those of the last month, once its time of grace has passed; at any later run too, if this one was missed."""
    invoices.close_month()


@shared_task(name="billing.mail_low_balances")
def mail_low_balances() -> None:
    low_balance.mail_low()


@shared_task(name="billing.mail_expiring_cards")
def mail_expiring_cards() -> None:
    saved_card_mails.mail_expiring()


@shared_task(name="billing.collect_owed")
def collect_owed() -> None:
    """Wallets that owe for disputed payments give what ended jobs gave back to them."""
    chargebacks.collect_owed()


@shared_task(name=resolutions.TASK)
def resolve_refunds() -> None:
    """Given up, and approved to be settled as Stripe has them."""
    workers.begin(resolutions.TASK)
    if settings.STRIPE_SECRET_KEY:
        resolutions.resolve_approved()


@shared_task(name="billing.sweep_stripe")
def sweep_stripe() -> None:
    """What webhooks lost, and what Stripe booked. Nothing without a key; when Stripe is away, the next run does it."""
    if not settings.STRIPE_SECRET_KEY:
        return
    with _or_next_time("Stripe could not be swept"):
        sweeps.sweep_events()
        sweeps.sweep_balance()
        refund_outcomes.sweep()
        reversals.sweep()
        disputed_payments.sweep()


@shared_task(name=connected_accounts.SEND_PAYOUTS)
def send_payouts() -> None:
    """What is due and covered. When Stripe is away, the next run does it."""
    workers.begin(connected_accounts.SEND_PAYOUTS)
    with _or_next_time("payouts could not be sent"):
        _drain(payouts.send_due)


@shared_task(name="billing.refresh_payees")
def refresh_payees() -> None:
    """Accounts that are not ready and payouts that are not at a bank, as Stripe has them: what webhooks lost."""
    if not settings.STRIPE_SECRET_KEY:
        return
    with _or_next_time("payees could not be read again"):
        connected_accounts.refresh_unready()
        bank.refresh_open()


@shared_task(name="billing.refresh_due_payees")
def refresh_due_payees() -> None:
    """Ready accounts that are about to be paid, each hour so many: those of a month's statements are all due at once."""
    if not settings.STRIPE_SECRET_KEY:
        return
    with _or_next_time("payees who are due could not be read again"):
        connected_accounts.refresh_to_be_paid(limit=1000)


@shared_task(name="billing.close_statements")
def close_statements() -> None:
    """The month that is over, when its grace is: repeatable, so every few hours."""
    statements.close_month()
