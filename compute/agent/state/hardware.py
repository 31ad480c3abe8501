"""Describe this computer, as far as it affects results or prices."""

from __future__ import annotations

import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import psutil

from compute import sandbox
from compute.protocol import Hardware

CPUINFO = Path("/proc/cpuinfo")
# For each machine: the vector extensions that change results, best first, and the name if it has none of them.
_EXTENSIONS = {
    "x86_64": (("avx512_vnni", "avx512f", "avx2"), "sse"),
    "aarch64": (("asimddp", "asimd"), "none"),
}
Kind = Literal["simulated", "box", "oem"]


def describe(kind: Kind) -> Hardware:
    """Return the hardware of this machine. onnxruntime is not imported; its version comes from the package metadata."""
    machine = platform.machine()
    return Hardware(
        machine=machine,
        isa=isa(machine, _cpu_flags()),
        provider="CPUExecutionProvider",
        onnxruntime=version("onnxruntime"),
        cores=os.cpu_count() or 1,
        memory_bytes=psutil.virtual_memory().total,
        layers=sandbox.active_layers(),
        kind=kind,
    )


def isa(machine: str, flags: frozenset[str]) -> str:
    """Return the best vector extension of this machine among ``flags`` (from /proc/cpuinfo)."""
    names, otherwise = _EXTENSIONS.get(machine, ((), "unknown"))
    return next((name for name in names if name in flags), otherwise)


def _cpu_flags(cpuinfo: Path = CPUINFO) -> frozenset[str]:
    """Return the flags of the first processor ("flags" on x86, "Features" on ARM)."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return frozenset()
    for line in lines:
        name, _, value = line.partition(":")
        if name.strip() in ("flags", "Features"):
            return frozenset(value.split())
    return frozenset()
