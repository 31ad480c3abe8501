"""Energy of a work unit: measured where the computer has a counter, else modelled.

The meter record names the method.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from compute.agent.energy.counter import Counter, CounterError, Method
from compute.agent.energy.ina3221 import Ina3221
from compute.agent.energy.meter import EnergyMeter
from compute.agent.energy.nvml import open_nvml
from compute.agent.energy.rapl import Rapl
from compute.agent.energy.rounding import round_half_up, to_mwh

__all__ = ["METHOD_SENTENCES", "EnergyMeter", "Method", "open_energy", "round_half_up", "to_mwh"]

log = logging.getLogger(__name__)
SYS = Path("/sys")
_GPU_PROVIDERS = ("CUDAExecutionProvider", "TensorrtExecutionProvider")
METHOD_SENTENCES = {
    "rapl": "measured by the processor's counter",
    "nvml": "measured by the GPU's counter, the rest of the computer not included",
    "ina3221": "measured by the board's power sensors",
    "model": "modelled: the class's power by compute time",
}


def open_energy(
    *, power_mw: int, provider: str, sys: Path = SYS, nvml: Any = None, pause: Callable[[float], None] = time.sleep
) -> EnergyMeter:
    """Return the best meter for the device that runs the units.

    On a GPU this is the GPU's counter, else the board's sensors; otherwise the processor's counter, else the board's
    sensors. When none of them can be read the energy is modelled from ``power_mw``, the power of the hardware class.
    """
    if provider in _GPU_PROVIDERS:
        choices: list[Callable[[], Counter]] = [lambda: open_nvml(nvml), lambda: Ina3221(sys, share="present")]
    else:
        choices = [lambda: Rapl(sys, pause=pause), lambda: Ina3221(sys)]
    for choice in choices:
        try:
            return EnergyMeter(power_mw, choice())
        except CounterError as error:
            log.debug("Energy: %s", error)
    return EnergyMeter(power_mw)
