"""The state machine finds faults: each fault is planted into our code, and one of the runs must fail an assertion."""

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
from django.db import transaction
from django.utils import timezone

from billing.models import StripeCommand
from billing.refunds import refunds
from billing.stripe import outbox
from billing.stripe.commands import KINDS
from core.states import transition
from marketplace.local.fake_stripe.store import Store
from tests.billing.machine.money import run
from tests.conformance.fixture import FakeWorld, stripe

__all__ = ["stripe"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.long]
RUNS = 80
Patch = pytest.MonkeyPatch


def sent_again_blindly(patch: Patch) -> None:
    """Send again without looking whether Stripe has done it, while Stripe has forgotten the idempotency key."""
    patch.setattr(Store, "answer", lambda store, key: None)
    patch.setattr(Store, "remember", lambda store, *answer: None)
    for kind in KINDS.values():
        patch.setattr(kind, "find", lambda command: None)


def noted_before_its_effect(patch: Patch) -> None:
    """Mark a command as done in one transaction and write its effect in another: a crash between them loses it."""

    def settle(command: StripeCommand, sent: Any) -> None:
        with transaction.atomic():
            row = StripeCommand.objects.select_for_update().get(pk=command.pk)
            if row.status != "queued":
                return
            transition(row, "done", object_id=sent.object_id, outcome_unknown=False, message="", done_at=timezone.now())
        with transaction.atomic():
            KINDS[row.kind].on_done(row, sent)

    patch.setattr(outbox, "_settle", settle)


def asked_twice_for_one_click(patch: Patch) -> None:
    """Ignore the idempotency key of a refund."""
    patch.setattr(refunds, "_earlier", lambda organization, key: [])
    patch.setattr(refunds, "_keys", lambda key: [str(uuid4()) for _ in range(refunds.LOTS_MAX)])


FAULTS = [sent_again_blindly, noted_before_its_effect, asked_twice_for_one_click]


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_found(stripe: FakeWorld, settings: Any, monkeypatch: Patch, fault: Callable[[Patch], None]):
    fault(monkeypatch)
    with pytest.raises(AssertionError):
        run(stripe, settings, first=1, runs=RUNS, steps=40, shrinks=False)
