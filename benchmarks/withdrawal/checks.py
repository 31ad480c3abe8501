"""What must hold when all is over: earnings stay payable, and an auditor finds every lease covered by consent."""

from __future__ import annotations

from billing.ledger.posting import recompute
from billing.models import RatedUsage
from compute.jobs import selectors
from compute.models import Attempt, UsageRecord
from marketplace.local.demo.fleet import wait_until

SETTLE_S = 300.0


def violations() -> dict[str, int]:
    """Check -> how many rows break it, 0 when all is well.

    The cars go on with what is ordered, so a row may be between two steps: looked at again until all holds, for a while. What
    is broken for good, as a lease without consent is, stays so.
    """
    found: dict[str, int] = {}

    def holds() -> bool:
        found.update(_violations())
        return not any(found.values())

    wait_until(holds, timeout_s=SETTLE_S, poll_s=1.0)
    return found


def _violations() -> dict[str, int]:
    usage = UsageRecord.objects.all()
    return {
        "attempts leased without consent in force (the auditor's query)": selectors.consent_violations(),
        "valid attempts without a usage row": Attempt.objects.filter(status="valid", usage=None).count(),
        "usage rows not settled": usage.filter(settled_at=None).count(),
        "usage rows that pay their owner nothing": usage.count()
        - RatedUsage.objects.filter(owner_micro__gt=0, usage__in=usage).count(),
        "differences in the recomputed ledger": len(recompute()),
    }


def earned() -> tuple[int, int]:
    """(units paid, micro-units for the owners) of the whole run: there must be something, or nothing was proved."""
    paid = RatedUsage.objects.filter(owner_micro__gt=0).values_list("owner_micro", flat=True)
    return len(paid), sum(paid)
