"""How much of a node's work is checked: BOINC's adaptive replication with a floor.

A node with fewer than TRUSTED_AFTER consecutive valid replicated results is always replicated; afterwards a unit is with
probability max(AUDIT_FLOOR, 1 / streak). (BOINC sched_send.cpp; the floor is ours: trust must be earned for ever.)
"""

TRUSTED_AFTER = 10
AUDIT_FLOOR = 0.03
QUORUM = 2
MAX_COPIES = 5
MAX_FAILURES = 3
MAX_ATTEMPTS = 20


def replication_probability(valid_streak: int) -> float:
    if valid_streak < TRUSTED_AFTER:
        return 1.0
    return max(AUDIT_FLOOR, 1 / valid_streak)
