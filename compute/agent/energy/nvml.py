"""NVML: the energy of an NVIDIA GPU, through nvidia-ml-py. It does not include the rest of the computer."""

from __future__ import annotations

import importlib
from typing import Any

from compute.agent.energy.counter import Counter, CounterError, Integral, Method, Share

_DEVICE = 0  # the default device of onnxruntime's CUDA provider


def open_nvml(library: Any = None) -> Counter:
    """Return the GPU's total energy counter (Volta and later), else its sampled power. Raise CounterError.

    ``library`` is the module `pynvml` or an object with the same functions.
    """
    if library is None:
        library = _load()
    try:
        library.nvmlInit()
        device = library.nvmlDeviceGetHandleByIndex(_DEVICE)
        library.nvmlDeviceGetPowerUsage(device)
    except library.NVMLError as error:
        raise CounterError(f"no NVIDIA GPU: {error}") from error
    try:
        return NvmlCounter(library, device)
    except CounterError:
        return NvmlPower(library, device)


class NvmlCounter:
    """The GPU's own counter: millijoules since the driver was loaded."""

    method: Method = "nvml"
    share: Share = "present"

    def __init__(self, library: Any, device: Any) -> None:
        self._library, self._device = library, device
        self._start_mj = self._read_mj()

    def read_uj(self) -> float:
        return (self._read_mj() - self._start_mj) * 1000

    def begin(self) -> None:
        """Do nothing: the hardware counts all the time."""

    def end(self) -> None:
        """Do nothing: the hardware counts all the time."""

    def _read_mj(self) -> int:
        try:
            return int(self._library.nvmlDeviceGetTotalEnergyConsumption(self._device))
        except self._library.NVMLError as error:
            raise CounterError(f"NVML: {error}") from error


class NvmlPower(Integral):
    """The sampled power of a GPU that has no energy counter."""

    method: Method = "nvml"
    share: Share = "present"

    def __init__(self, library: Any, device: Any) -> None:
        self._library, self._device = library, device
        super().__init__(self._device_mw)

    def _device_mw(self) -> float:
        try:
            return float(self._library.nvmlDeviceGetPowerUsage(self._device))
        except self._library.NVMLError as error:
            raise CounterError(f"NVML: {error}") from error


def _load() -> Any:
    try:
        return importlib.import_module("pynvml")
    except ImportError as error:
        raise CounterError("nvidia-ml-py is not installed") from error
