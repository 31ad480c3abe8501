"""What must hold at the end: earnings stay payable, and an auditor finds a consent for every lease."""

from __future__ import annotations

from billing.ledger.posting import recompute
from billing.models import RatedUsage
from compute.jobs import selectors
from compute.models import Attempt, UsageRecord
from marketplace.local.demo.waiting import wait_until

SETTLE_S = 300.0


def violations() -> dict[str, int]:
    """Return check -> number of rows that violate it.

    The cars still work on what is ordered, so a row may be between two steps. The checks are therefore repeated until
    all hold, for SETTLE_S at most. A real violation, such as a lease without consent, remains.
    """
    counts: dict[str, int] = {}

    def all_hold() -> bool:
        counts.update(_violations())
        return not any(counts.values())

    wait_until(all_hold, timeout_s=SETTLE_S, poll_s=1.0)
    return counts


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
    """Return (units paid, micro-units for the owners) of the whole run. Zero would prove nothing."""
    paid = RatedUsage.objects.filter(owner_micro__gt=0).values_list("owner_micro", flat=True)
    return len(paid), sum(paid)
