"""Waiting times between retries: "Exponential Backoff And Jitter" (Brooker, AWS 2015), the variant "full jitter"."""

from __future__ import annotations

import random

CAP_S = 30.0
_RANDOM = random.SystemRandom()


class Backoff:
    """A sequence of waiting times. The n-th is uniform in [0, min(cap, base x 2^n)] seconds."""

    def __init__(self, *, base_s: float = 0.5, cap_s: float = CAP_S) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._tries = 0

    def reset(self) -> None:
        """Begin the sequence again, after a success."""
        self._tries = 0

    def next(self, *, at_least_s: float = 0.0) -> float:
        """Return the next waiting time in seconds, at least ``at_least_s`` (which counts up to the cap)."""
        ceiling = min(self._cap_s, self._base_s * 2.0 ** min(self._tries, 16))
        self._tries += 1
        return max(_RANDOM.uniform(0.0, ceiling), min(at_least_s, self._cap_s))
