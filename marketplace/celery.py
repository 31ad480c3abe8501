"""The Celery app and the whole beat schedule.

Services wake their tasks at once (`core.workers.wake`). A wake-up may be lost, so beat runs every task again at an
interval: each task finds its work in table rows and does nothing when there is none.
"""

import os
from typing import Any

from celery import Celery
from celery.schedules import crontab
from celery.signals import task_postrun, worker_process_init

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "marketplace.settings")
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

app = Celery("driveway")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks()
# Without this, Celery closes the whole connection pool around every task: each task would begin a new PostgreSQL
# session, with cold caches and no query plans.
app.conf["CELERY_DB_REUSE_MAX"] = 2**62


@task_postrun.connect
def return_connections(**_: Any) -> None:
    """Return the task's database connection to the pool, which discards broken ones."""
    from django.db import close_old_connections

    close_old_connections()


@worker_process_init.connect
def leave_parents_connections(**_: Any) -> None:
    """Close the connection pools that a worker inherited by fork: otherwise two processes would use one socket."""
    from django.db import connections
    from django.db.backends.postgresql.base import DatabaseWrapper

    for connection in connections.all(initialized_only=True):
        if isinstance(connection, DatabaseWrapper):
            connection.close_pool()


app.conf.beat_schedule = {
    # name: task, and its interval in seconds or as a crontab
    "dispatch-rounds": {"task": "compute.dispatch_round", "schedule": 1.0},
    "settle-usage": {"task": "billing.settle_usage", "schedule": 1.0},
    "settle-voids": {"task": "billing.settle_voids", "schedule": 60.0},
    "admit-models": {"task": "compute.admit_models", "schedule": 10.0},
    "plan-jobs": {"task": "compute.plan_jobs", "schedule": 5.0},
    "assemble-jobs": {"task": "compute.assemble_jobs", "schedule": 5.0},
    "close-away": {"task": "compute.close_away", "schedule": 15.0},
    "close-jobs": {"task": "billing.close_jobs", "schedule": 5.0},
    "price-nodes": {"task": "compute.price_nodes", "schedule": 60.0},
    "send-mails": {"task": "accounts.send_mails", "schedule": 5.0},
    "find-away-vehicles": {"task": "compute.tell_of_absences", "schedule": 600.0},
    "close-statements": {"task": "billing.close_statements", "schedule": 3600.0},
    "close-invoices": {"task": "billing.close_invoices", "schedule": 3600.0},
    "summarize-earnings": {"task": "billing.summarize_earnings", "schedule": 6 * 3600.0},
    "send-stripe-commands": {"task": "billing.send_stripe_commands", "schedule": 5.0},
    "process-stripe-events": {"task": "billing.process_stripe_events", "schedule": 5.0},
    "recharge-low": {"task": "billing.recharge_low", "schedule": 10.0},
    "mail-low-balances": {"task": "billing.mail_low_balances", "schedule": 60.0},
    "mail-expiring-cards": {"task": "billing.mail_expiring_cards", "schedule": 6 * 3600.0},
    "sweep-stripe": {"task": "billing.sweep_stripe", "schedule": 300.0},
    "resolve-refunds": {"task": "billing.resolve_refunds", "schedule": 300.0},
    "send-payouts": {"task": "billing.send_payouts", "schedule": 300.0},
    "refresh-payees": {"task": "billing.refresh_payees", "schedule": 86_400.0},
    "refresh-due-payees": {"task": "billing.refresh_due_payees", "schedule": 3600.0},
    "collect-owed": {"task": "billing.collect_owed", "schedule": 60.0},
    "expire-consents": {"task": "accounts.expire_consents", "schedule": 60.0},
    "remind-of-consents": {"task": "accounts.remind_of_consents", "schedule": 3600.0},
    "build-exports": {"task": "privacy.build_exports", "schedule": 60.0},
    "erase-due": {"task": "privacy.erase_due", "schedule": 300.0},
    "retention": {"task": "privacy.retention", "schedule": 86_400.0},
    "check-ledger": {"task": "billing.check_ledger", "schedule": 3600.0},
    "check-whole-ledger": {"task": "billing.check_whole_ledger", "schedule": crontab(hour=3, minute=20)},  # UTC
}
