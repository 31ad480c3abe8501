"""The child process that runs a customer's model. It serves one model only, and dies with the agent.

`process.py` starts it. It finishes its imports before a model is chosen, then reads the model from standard input,
lowers its own limits, and only then gives the bytes to onnxruntime. The agent never imports this module.
"""

from __future__ import annotations

import ctypes
import os
import resource
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy
import numpy.typing
import onnxruntime
import safetensors
import safetensors.numpy

from compute.agent.work.frames import LENGTHS_BYTES, decode_header, decode_lengths, encode_frame
from compute.sandbox.limits import apply_rlimits
from compute.sandbox.seccomp import apply_seccomp

Array = numpy.typing.NDArray[Any]
_PR_SET_PDEATHSIG = 1
_NICENESS = 10  # other programs on this computer have priority
_FATAL_ONLY = 4  # log level of onnxruntime
_ALLOCATION_ERRORS = ("bad allocation", "bad_alloc", "failed to allocate", "allocate memory", "allocator")
_RESULT_KINDS = "biuf"


class UnitError(Exception):
    """A unit that failed, with a stable code."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Channel:
    """The two pipes to the agent, blocking. When the input ends, the child exits."""

    source: BinaryIO
    sink: BinaryIO

    def receive(self) -> tuple[dict[str, Any], bytes]:
        """Return the next frame: (header, body)."""
        header_bytes, body_bytes = decode_lengths(self._exactly(LENGTHS_BYTES))
        return decode_header(self._exactly(header_bytes)), self._exactly(body_bytes)

    def send(self, header: dict[str, Any], body: bytes = b"") -> None:
        self.sink.write(encode_frame(header, body))
        self.sink.write(body)
        self.sink.flush()

    def _exactly(self, count: int) -> bytes:
        data = self.source.read(count)
        if len(data) < count:
            sys.exit(0)
        return data


def main() -> None:
    """Serve units of one model until the agent closes the pipe or kills this process."""
    # The agent may be killed (kill -9) while native code runs here and nothing reads the pipe. Then the kernel kills
    # this process (prctl(2)).
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    os.nice(_NICENESS)
    channel = _open_channel()
    channel.send({"ready": True})
    limits, model = channel.receive()
    _restrict(limits)
    session: onnxruntime.InferenceSession | None = None
    while True:
        unit, inputs = channel.receive()
        _limit_cpu(unit["cpu_seconds"])
        try:
            session = session or _load(model)
            result = _run(session, inputs, unit)
        except UnitError as error:
            channel.send({"code": error.code, "message": str(error)[:500]})
        except MemoryError:
            channel.send({"code": "memory_limit", "message": "The unit needs more memory than it was leased."})
        else:
            channel.send({"code": ""}, result)


def _open_channel() -> Channel:
    """Return the channel, with standard output redirected to standard error: native code may print between frames."""
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return Channel(sys.stdin.buffer, sink)


def _restrict(limits: dict[str, Any]) -> None:
    """Lower this process's limits. ``memory_bytes`` is what a unit may use beyond the interpreter and its libraries."""
    with open("/proc/self/statm", encoding="ascii") as statm:
        used_bytes = int(statm.read().split()[0]) * resource.getpagesize()
    apply_rlimits(
        memory_bytes=used_bytes + limits["memory_bytes"],
        cpu_seconds=limits["lifetime_cpu_seconds"],
        processes=limits["processes"],
    )
    if limits["seccomp"]:
        apply_seccomp()


def _limit_cpu(seconds: int) -> None:
    """Limit the processor time of the next unit to ``seconds``. The hard limit for the child's whole life stays."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(usage.ru_utime + usage.ru_stime) + seconds + 1
    resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


def _load(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    # Without this, a file that looks like onnxruntime's own format would be loaded as such, although admission checked
    # it as ONNX.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises a dozen error types of its own when it cannot load a model
        raise UnitError(_code(error, "model_invalid"), str(error)) from error


def _run(session: onnxruntime.InferenceSession, inputs: bytes, unit: Mapping[str, Any]) -> bytes:
    """Return the named outputs for all items as a safetensors file. Raise UnitError.

    The session runs ``batch`` items at a time, in order. Results depend on the batch size, so copies of a unit can be
    compared only if all of them use the same one.
    """
    names, items, batch = unit["outputs"], unit["items"], unit["batch"]
    if unknown := set(names) - {output.name for output in session.get_outputs()}:
        raise UnitError("output_unknown", f"The model has no outputs {sorted(unknown)}.")
    feeds = _feeds(inputs, {node.name for node in session.get_inputs()}, items)
    results: dict[str, Array] = {}
    for first in range(0, items, batch):
        chunk = {name: array[first : first + batch] for name, array in feeds.items()}
        arrays = _run_batch(session, names, chunk, min(batch, items - first))
        for name, array in zip(names, arrays, strict=True):
            if name not in results:
                results[name] = numpy.empty((items, *array.shape[1:]), array.dtype)
            collected = results[name]
            if collected.shape[1:] != array.shape[1:] or collected.dtype != array.dtype:
                raise UnitError("output_shape", f"Output {name} changes its shape from batch to batch.")
            collected[first : first + batch] = array
    return safetensors.numpy.save(results)


def _feeds(inputs: bytes, names: set[str], items: int) -> dict[str, Array]:
    try:
        feeds = safetensors.numpy.load(inputs)
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UnitError("input_invalid", str(error)) from error
    if set(feeds) != names:
        raise UnitError("input_invalid", f"The inputs are {sorted(feeds)}; the model takes {sorted(names)}.")
    if any(array.ndim == 0 or array.shape[0] != items for array in feeds.values()):
        raise UnitError("input_invalid", f"An input does not have {items} rows.")
    return feeds


def _run_batch(
    session: onnxruntime.InferenceSession, names: Sequence[str], chunk: dict[str, Array], rows: int
) -> list[Array]:
    try:
        arrays = session.run(list(names), chunk)
    except Exception as error:  # as in _load
        raise UnitError(_code(error, "run_failed"), str(error)) from error
    for name, array in zip(names, arrays, strict=True):
        if not isinstance(array, numpy.ndarray) or array.dtype.kind not in _RESULT_KINDS:
            raise UnitError("output_type", f"Output {name} is not a tensor of numbers.")
        if array.ndim == 0 or array.shape[0] != rows:
            raise UnitError("output_shape", f"Output {name} has shape {array.shape} for {rows} items.")
    return list(arrays)


def _code(error: Exception, otherwise: str) -> str:
    """Return the stable code of an onnxruntime error. Only its text shows whether memory ran out."""
    text = str(error).lower()
    if isinstance(error, MemoryError) or any(words in text for words in _ALLOCATION_ERRORS):
        return "memory_limit"
    if type(error).__name__ == "InvalidArgument":
        return "input_invalid" if otherwise == "run_failed" else otherwise
    return otherwise
