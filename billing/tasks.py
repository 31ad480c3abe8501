"""Celery tasks of the app. Each calls one service, finds its work in table rows, and may run twice or concurrently."""

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
BUDGET_S = 30.0  # how long a task works before it leaves the rest to the next run


def _drain(work: Callable[[], int]) -> None:
    """Call `work` until it returns 0, or until BUDGET_S has passed: the next run does the rest."""
    deadline = time.monotonic() + BUDGET_S
    while work() and time.monotonic() < deadline:
        pass


@contextmanager
def _skip_if_unavailable(what: str) -> Iterator[None]:
    """Log StripeUnavailable and end the block: the next run does the rest."""
    try:
        yield
    except StripeUnavailable as error:
        logger.warning("%s: %s", what, error)


@shared_task(name="billing.settle_usage")
def settle_usage() -> None:
    """Settle verified usage: charge customers and pay owners."""
    workers.begin("billing.settle_usage")
    _drain(settlement.settle_usage)


@shared_task(name=voids.TASK)
def settle_voids() -> None:
    """Post the corrections of usage that was voided."""
    workers.begin(voids.TASK)
    _drain(voids.settle_voids)


@shared_task(name="billing.close_jobs")
def close_jobs() -> None:
    """Close the orders of ended jobs: release what is left of their holds."""
    workers.begin("billing.close_jobs")
    closing.close_orders()


@shared_task(name="billing.check_ledger")
def check_ledger() -> None:
    """Run the hourly checks of the ledger: all except those that read every usage record."""
    check_runs.run(names=ledger_checks.HOURLY)


@shared_task(name="billing.check_whole_ledger")
def check_whole_ledger() -> None:
    """Run all checks of the ledger, each night."""
    check_runs.run()


@shared_task(name="billing.summarize_earnings")
def summarize_earnings() -> None:
    """Queue the earnings mails of owners who asked for them."""
    summaries.summarize()


@shared_task(name=outbox.TASK)
def send_stripe_commands() -> None:
    """Send the commands of the outbox that are due."""
    workers.begin(outbox.TASK)
    outbox.send_due()


@shared_task(name=inbox.TASK)
def process_stripe_events() -> None:
    """Act on the events of the inbox that are due."""
    workers.begin(inbox.TASK)
    inbox.process_due()


@shared_task(name=recharges.TASK)
def recharge_low() -> None:
    """Queue a recharge for every wallet below its threshold. Does nothing without STRIPE_SECRET_KEY."""
    workers.begin(recharges.TASK)
    if settings.STRIPE_SECRET_KEY:
        _drain(recharges.recharge_low)


@shared_task(name="billing.close_invoices")
def close_invoices() -> None:
    """Close last month's invoices once the grace period after the month has passed. A later run catches up."""
    invoices.close_month()


@shared_task(name="billing.mail_low_balances")
def mail_low_balances() -> None:
    """Queue the mails about wallets that fell below the customer's threshold."""
    low_balance.mail_low()


@shared_task(name="billing.mail_expiring_cards")
def mail_expiring_cards() -> None:
    """Queue the mails about cards of automatic recharges that expire soon."""
    saved_card_mails.mail_expiring()


@shared_task(name="billing.collect_owed")
def collect_owed() -> None:
    """Collect debts for disputed payments from wallets that have money again, for instance from an ended job."""
    chargebacks.collect_owed()


@shared_task(name=resolutions.TASK)
def resolve_refunds() -> None:
    """Settle the refunds that were given up and that two operators approved to settle by Stripe's state.

    Does nothing without STRIPE_SECRET_KEY.
    """
    workers.begin(resolutions.TASK)
    if settings.STRIPE_SECRET_KEY:
        resolutions.resolve_approved()


@shared_task(name="billing.sweep_stripe")
def sweep_stripe() -> None:
    """Fetch events that webhooks did not deliver, new movements of our balance, and the state of refunds and disputes.

    Does nothing without STRIPE_SECRET_KEY; when Stripe is unavailable, the next run does the rest.
    """
    if not settings.STRIPE_SECRET_KEY:
        return
    with _skip_if_unavailable("Stripe could not be swept"):
        sweeps.sweep_events()
        sweeps.sweep_balance()
        disputed_payments.sweep()
        refund_outcomes.sweep()
        reversals.sweep()


@shared_task(name=connected_accounts.SEND_PAYOUTS)
def send_payouts() -> None:
    """Queue the payouts that are due and covered by our balance. When Stripe is unavailable, the next run does it."""
    workers.begin(connected_accounts.SEND_PAYOUTS)
    with _skip_if_unavailable("payouts could not be sent"):
        _drain(payouts.send_due)


@shared_task(name="billing.refresh_payees")
def refresh_payees() -> None:
    """Fetch the state of accounts that are not ready and of payouts that are not at a bank, in case a webhook was lost.

    Does nothing without STRIPE_SECRET_KEY.
    """
    if not settings.STRIPE_SECRET_KEY:
        return
    with _skip_if_unavailable("payees could not be read again"):
        connected_accounts.refresh_unready()
        bank.refresh_open()


@shared_task(name="billing.refresh_due_payees")
def refresh_due_payees() -> None:
    """Fetch the state of ready accounts that are to be paid soon.

    At most 1000 an hour, since a month's payouts are all due at once. Does nothing without STRIPE_SECRET_KEY.
    """
    if not settings.STRIPE_SECRET_KEY:
        return
    with _skip_if_unavailable("payees who are due could not be read again"):
        connected_accounts.refresh_to_be_paid(limit=1000)


@shared_task(name="billing.close_statements")
def close_statements() -> None:
    """Close last month's statements once the grace period after the month has passed. A later run catches up."""
    statements.close_month()
