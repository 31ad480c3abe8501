"""Which noun handles which command, event and approval. Nothing imports it but the app's start.

The outbox, the inbox and the approvals hold registries that start empty, so that they stand below the nouns that they call.
"""

from core import workers

# What others announce -> the task of ours that acts on it. Beat runs each of them as well.
FACTS = (
    ("usage", "billing.settle_usage"),
    ("jobs_ended", "billing.close_jobs"),
    ("statements", "billing.send_payouts"),
)


def connect() -> None:
    """Fill the registries. Called once, when Django has loaded all models; a second call changes nothing."""
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
