"""Limits on numbers and texts from nodes, checked before they reach the database.

One value that PostgreSQL refuses would fail the whole batch of syncs.
"""

import re

from compute import protocol

BIGINT_MAX = 2**63 - 1
INTEGER_MAX = 2**31 - 1
SMALLINT_MAX = 2**15 - 1
QUANTITY_MAX = 10**12  # milliseconds or milliwatt-hours of one execution: about thirty years, or one gigawatt-hour
RECORD_MAX_BYTES = 8 * 1024  # records of our agent have about 700 bytes
WORD = re.compile(r"[A-Za-z0-9_.+-]{1,48}")
OUTCOMES = ("ok", "error", "cancelled")
METHOD = re.compile(r"[a-z0-9_]{1,32}")
DIGEST = re.compile(r"[0-9a-f]{64}")


def fits(request: protocol.SyncRequest) -> bool:
    """Return whether every field of a sync can be stored unchanged."""
    named = [(r.attempt, r.fence) for r in request.running] + [(r.attempt, r.fence) for r in request.reports]
    words = [request.reason, request.agent_version, *(report.code for report in request.reports)]
    return (
        0 < request.seq <= BIGINT_MAX
        and 0 <= request.policy_version <= INTEGER_MAX
        and all(0 < attempt <= BIGINT_MAX and 0 <= fence <= INTEGER_MAX for attempt, fence in named)
        and (request.hardware is None or hardware_fits(request.hardware))
        and (request.chain == "" or DIGEST.fullmatch(request.chain) is not None)
        and (request.health is None or 0 <= request.health.units_failed <= INTEGER_MAX)
        and not any("\0" in word for word in words)
    )


def hardware_fits(hardware: protocol.Hardware) -> bool:
    """Return whether the description of a computer has only simple words and a possible number of cores."""
    words = [hardware.machine, hardware.isa, hardware.provider, hardware.onnxruntime, *hardware.layers]
    return 0 < hardware.cores <= SMALLINT_MAX and len(words) <= 20 and all(WORD.fullmatch(word) for word in words)


def meter_fits(payload: protocol.MeterPayload) -> bool:
    """Return whether the fields of a meter record that become columns can be stored unchanged."""
    return (
        0 < payload.seq <= BIGINT_MAX
        and payload.outcome in OUTCOMES
        and 0 <= payload.compute_ms <= QUANTITY_MAX
        and 0 <= payload.energy_mwh <= QUANTITY_MAX
        and METHOD.fullmatch(payload.energy_method) is not None
        and (payload.output == "" or DIGEST.fullmatch(payload.output) is not None)
    )
