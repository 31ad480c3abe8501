"""Run a model on zeros and ones in batches of increasing size, on one thread, and measure its cost.

It runs only in the limited child process.
"""

import contextlib
import resource
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime

from compute.artifacts.onnx.limits import Limits
from compute.artifacts.onnx.signature import DeclaredInputs
from compute.artifacts.onnx.verdict import DTYPE_BYTES, Profile, Refused, Signature, TensorSpec

Array = npt.NDArray[Any]

_REPEAT_SECONDS = 0.1
_MEMORY_SHARE = 0.75
_TOLERANCE = 1.15
_MEMORY_WORDS = ("bad_alloc", "Failed to allocate", "AllocateRawInternal", "out of memory")


@dataclass(frozen=True)
class _Run:
    outputs: list[Array]
    wall_ms: float
    cpu_ms: float  # on one thread; it decides, because wall time depends on other load of the machine


class _Trial:
    def __init__(self, model: bytes, declared: DeclaredInputs, limits: Limits) -> None:
        self.declared, self.limits = declared, limits
        self.cpu_started, started = time.process_time(), time.perf_counter()
        self.session = _load(model)
        self.loaded_rss_bytes = peak_rss_bytes()
        self.load_ms = (time.perf_counter() - started) * 1000
        self.names = [output.name for output in self.session.get_outputs()]

    def run(self, batch: int, value: int) -> _Run:
        """Run once with every item of every input filled with ``value``."""
        feed = {spec.name: np.full((batch, *spec.item_shape), value, dtype=spec.dtype) for spec in self.declared.inputs}
        started, cpu_started = time.perf_counter(), time.process_time()
        try:
            outputs = self.session.run(self.names, feed)
        except Exception as error:  # onnxruntime raises RuntimeError and a dozen classes of its own
            raise _refusal("cannot_run", f"The model fails on a batch of {batch}", error) from error
        cpu_ms = (time.process_time() - cpu_started) * 1000
        wall_ms = (time.perf_counter() - started) * 1000
        _check_rows(self.names, outputs, batch)
        return _Run(outputs, wall_ms, cpu_ms)

    def check(self, batch: int) -> list[_Run]:
        """Run with zeros, with ones, and with ones again. Raise Refused if the same input gives different results."""
        runs = [self.run(batch, 0), self.run(batch, 1), self.run(batch, 1)]
        for first, again in zip(runs[1].outputs, runs[2].outputs, strict=True):
            if first.tobytes() != again.tobytes():
                raise Refused(
                    "not_repeatable",
                    "The model gives different results for the same input, so its results cannot be verified.",
                )
        return runs

    def affordable(self, runs: Sequence[_Run], batch: int, larger: int) -> bool:
        """Return whether a larger batch should stay within time and memory, if its cost grows in proportion."""
        growth = larger / batch
        slowest = max(run.cpu_ms for run in runs) / 1000
        memory = self.loaded_rss_bytes + (peak_rss_bytes() - self.loaded_rss_bytes) * growth
        return slowest * growth < self.limits.trial_run_seconds and memory < self.limits.memory_bytes * _MEMORY_SHARE


def run_trial(model: bytes, declared: DeclaredInputs, limits: Limits) -> tuple[Signature, Profile]:
    """Return the signature and the cost of a model whose structure was checked. Raise Refused."""
    _forget_peak_rss()
    trial = _Trial(model, declared, limits)
    batch, runs = 1, trial.check(1)
    outputs = _specs(trial.names, runs)
    tried = {batch: runs}
    for larger in _batches(declared, limits):
        if not trial.affordable(runs, batch, larger):
            break
        batch, runs = larger, trial.check(larger)
        tried[batch] = runs
        if _specs(trial.names, runs) != outputs:
            raise Refused("output_shape_varies", "An output's shape depends on the size of the batch.")
    signature = Signature(declared.inputs, _batch_axis(outputs, declared), declared.item_by_item)
    batch = _cheapest(tried)
    return signature, _profile(trial, signature, batch, tried[batch][1:])


def _cheapest(tried: Mapping[int, Sequence[_Run]]) -> int:
    """Return the largest batch whose time for each item is within 15 % of the minimum.

    A larger batch is not always cheaper, once it exceeds the processor's caches. But noise in the measurement must not
    select a batch of one, which runtimes compute with other code and other rounding.
    """
    cost = {batch: min(run.cpu_ms for run in runs) / batch for batch, runs in tried.items()}
    return max(batch for batch in tried if cost[batch] <= _TOLERANCE * min(cost.values()))


def _load(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises RuntimeError and a dozen classes of its own
        raise _refusal("cannot_load", "The runtime cannot load the model", error) from error


def _refusal(code: str, sentence: str, error: Exception) -> Refused:
    text = str(error)
    if isinstance(error, MemoryError) or any(word in text for word in _MEMORY_WORDS):
        return Refused("memory_limit", "The model needs more memory than a car may give it.")
    return Refused(code, f"{sentence}: {readable_error(text)}")


def readable_error(text: str) -> str:
    """Return the useful part of a library's error text: one printable line without source paths."""
    line = next((line for line in text.splitlines() if line.strip()), "no details")
    for mark in (" : FAIL : ", " : INVALID_GRAPH : ", " : NOT_IMPLEMENTED : ", " : INVALID_ARGUMENT : "):
        line = line.rpartition(mark)[2]
    if line.startswith("/"):
        line = line.rpartition(") ")[2] or line
    return "".join(char for char in line if char.isprintable())[:200]


def _batches(declared: DeclaredInputs, limits: Limits) -> Sequence[int]:
    if declared.item_by_item:
        return ()
    return sorted({size for size in (limits.trial_batch, limits.max_batch) if size > 1})


def _check_rows(names: Sequence[str], outputs: Sequence[object], batch: int) -> None:
    for name, output in zip(names, outputs, strict=True):
        if not isinstance(output, np.ndarray) or str(output.dtype) not in DTYPE_BYTES:
            raise Refused("not_a_tensor", f"Output {name[:80]} is not a plain tensor of numbers.")
        if output.ndim == 0 or output.shape[0] != batch:
            raise Refused(
                "output_not_per_item",
                f"Output {name[:80]} has shape {output.shape} for a batch of {batch}. Each output must have "
                "one row per item.",
            )


def _specs(names: Sequence[str], runs: Sequence[_Run]) -> tuple[TensorSpec, ...]:
    """Return the outputs of all runs. Raise Refused if their shapes depend on the values of the input."""
    variants = {
        tuple(
            TensorSpec(name, str(output.dtype), (None, *output.shape[1:]))
            for name, output in zip(names, run.outputs, strict=True)
        )
        for run in runs
    }
    if len(variants) != 1:
        raise Refused("output_shape_varies", "An output's shape depends on the values of the input.")
    return variants.pop()


def _batch_axis(outputs: Sequence[TensorSpec], declared: DeclaredInputs) -> tuple[TensorSpec, ...]:
    first = 1 if declared.item_by_item else None
    return tuple(TensorSpec(spec.name, spec.dtype, (first, *spec.shape[1:])) for spec in outputs)


def _profile(trial: _Trial, signature: Signature, batch: int, warm: Sequence[_Run]) -> Profile:
    walls = [run.wall_ms for run in warm]
    wall, cpu, items = time.perf_counter(), time.process_time(), 0
    while not items or time.perf_counter() - wall < _REPEAT_SECONDS:
        walls.append(trial.run(batch, 1).wall_ms)
        items += batch
    cpu_ms = (time.process_time() - cpu) * 1000
    output_bytes = sum(spec.item_bytes for spec in signature.outputs)
    if output_bytes > trial.limits.item_bytes:
        raise Refused("item_too_large", f"One item of output is larger than {trial.limits.item_bytes // 2**20} MiB.")
    return Profile(
        batch=batch,
        ms_per_item=round(statistics.median(walls) / batch, 6),
        cpu_ms_per_item=round(cpu_ms / items, 6),
        load_ms=round(trial.load_ms, 3),
        cpu_ms=round((time.process_time() - trial.cpu_started) * 1000, 3),
        peak_rss_bytes=peak_rss_bytes(),
        input_bytes_per_item=sum(spec.item_bytes for spec in signature.inputs),
        output_bytes_per_item=output_bytes,
    )


def peak_rss_bytes() -> int:
    """Return the peak resident memory of this process.

    It is read from /proc, because getrusage also counts the parent from which the process was forked.
    """
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _forget_peak_rss() -> None:
    """Reset the peak (proc(5), clear_refs), so that parsing is not counted. Where this is forbidden, it is counted."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")
