"""Waiting between tries: "Exponential Backoff And Jitter" (Brooker, AWS 2015), the full jitter form."""

from __future__ import annotations

import random

CAP_S = 30.0
_RANDOM = random.SystemRandom()


class Backoff:
    """Each `next()` is uniform in [0, min(cap, base x 2^n)] seconds, or what the server asked for if more."""

    def __init__(self, *, base_s: float = 0.5, cap_s: float = CAP_S) -> None:
        self._base_s = base_s
        self._cap_s = cap_s
        self._tries = 0

    def reset(self) -> None:
        self._tries = 0

    def next(self, *, at_least_s: float = 0.0) -> float:
        ceiling = min(self._cap_s, self._base_s * 2.0 ** min(self._tries, 16))
        self._tries += 1
        return max(_RANDOM.uniform(0.0, ceiling), min(at_least_s, self._cap_s))
