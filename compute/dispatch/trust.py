"""How much of a node's work is verified: BOINC's adaptive replication with a minimum.

Units of a node with fewer than TRUSTED_AFTER consecutive valid replicated results are always replicated. Afterwards a
unit is replicated with the probability max(AUDIT_FLOOR, 1 / streak). The method is from BOINC (sched_send.cpp); the
minimum is our addition, so that no node is ever trusted without checks.
"""

TRUSTED_AFTER = 10
AUDIT_FLOOR = 0.03
QUORUM = 2
MAX_COPIES = 5
MAX_FAILURES = 3
MAX_ATTEMPTS = 20


def replication_probability(valid_streak: int) -> float:
    """Return the probability that a unit of a node with this streak is replicated."""
    if valid_streak < TRUSTED_AFTER:
        return 1.0
    return max(AUDIT_FLOOR, 1 / valid_streak)
