"""The peer: a Celery app whose only task does nothing, on the same Redis server in a database of its own."""

import os

from celery import Celery

QUEUE = "noop"

app = Celery("noop", broker=os.environ["PEER_BROKER_URL"])
app.conf.update(
    task_default_queue=QUEUE,
    # The same settings as the site's.
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_serializer="json",
    accept_content=["json"],
    broker_transport_options={"visibility_timeout": 900},
    broker_connection_retry_on_startup=True,
    worker_hijack_root_logger=False,
    # Celery's documentation advises this for many short tasks ("Optimizing", Prefetch Limits); the site uses 1.
    worker_prefetch_multiplier=int(os.environ.get("PEER_PREFETCH", "128")),
)


@app.task
def noop(number: int) -> None:
    """Do nothing."""
