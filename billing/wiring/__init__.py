"""Connect each Stripe command, Stripe event and approval to the package that handles it.

Only `billing.apps` imports this. The outbox, the inbox and the approvals hold registries that start empty. They can
therefore call handlers in packages that import them, without importing those packages themselves.
"""

from core import workers

# Fact that another module announces (core.workers.announce) -> task of this app to wake. Celery beat also runs each
# task regularly, so a lost announcement only costs time.
FACTS = (
    ("usage", "billing.settle_usage"),
    ("jobs_ended", "billing.close_jobs"),
    ("statements", "billing.send_payouts"),
)


def connect() -> None:
    """Fill the registries of commands, events and approvals, and subscribe tasks to facts.

    Called once by `BillingConfig.ready`, after Django has loaded all models. A second call changes nothing.
    """
    from billing.approvals import kinds
    from billing.stripe import commands, inbox
    from billing.wiring.approvals import KINDS
    from billing.wiring.commands import COMMANDS
    from billing.wiring.events import CONNECTED, OBJECTS, THIN

    commands.register(*COMMANDS)
    inbox.register(objects=OBJECTS, thin=THIN, connected=CONNECTED)
    kinds.KINDS.update(KINDS)
    for fact, task in FACTS:
        workers.subscribe(fact, task)
