"""The interface of an energy counter: of the processor, of a GPU, or of a board's power sensors."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Literal, Protocol

Method = Literal["rapl", "nvml", "ina3221", "model"]
# How the counted energy is divided: by the share of all busy processor time ("busy"), or evenly between the units that
# run at the same time on a device that only units use ("present").
Share = Literal["busy", "present"]


class CounterError(Exception):
    """The counter cannot be read, now or at all."""


class Counter(Protocol):
    """A source of energy readings.

    Read it between `begin` and `end`: a counter that has to sample does so only then.
    """

    method: Method
    share: Share

    def read_uj(self) -> float:
        """Return the microjoules since the counter was created; the value never falls. Raise CounterError."""
        ...

    def begin(self) -> None: ...

    def end(self) -> None: ...


class Integral:
    """Energy of a device that reports only its power: the integral of samples, five a second, by the trapezoidal rule.

    ``power_mw`` returns the present power in milliwatts, or raises CounterError.
    """

    def __init__(
        self, power_mw: Callable[[], float], *, every_s: float = 0.2, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._power_mw, self._every_s, self._clock = power_mw, every_s, clock
        self._lock = threading.Lock()
        self._stop: threading.Event | None = None
        self._total_uj = 0.0
        self._last: tuple[float, float] | None = None

    def begin(self) -> None:
        self._stop = stop = threading.Event()
        self._last = None
        threading.Thread(target=self._sample, args=(stop,), name="energy", daemon=True).start()

    def end(self) -> None:
        if self._stop is not None:
            self._stop.set()

    def read_uj(self) -> float:
        """Take a sample and return the microjoules so far. Raise CounterError."""
        with self._lock:
            now_s, power_mw = self._clock(), self._power_mw()
            if self._last is not None:
                then_s, before_mw = self._last
                self._total_uj += (before_mw + power_mw) / 2 * (now_s - then_s) * 1000
            self._last = now_s, power_mw
            return self._total_uj

    def _sample(self, stop: threading.Event) -> None:
        while not stop.wait(self._every_s):
            try:
                self.read_uj()
            except CounterError:
                return  # the next `read_uj` raises the error to its caller
