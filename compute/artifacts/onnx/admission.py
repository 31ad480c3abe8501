"""Admission for the server: bytes in, verdict out. The model is never parsed in this process."""

import json
import logging
import signal
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import msgspec

from compute.artifacts.onnx.limits import DEFAULT_LIMITS, Limits
from compute.artifacts.onnx.verdict import ADMISSION_FAILED, Verdict, refused_verdict
from compute.sandbox import FinishedChild, active_layers, bubblewrap_argv, run_child, seccomp_usable

logger = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parents[3]
_PACKAGES = (_ROOT / "compute" / "artifacts" / "onnx", _ROOT / "compute" / "sandbox")
# -I ignores the working directory and PYTHON* variables. The path is added because the package may not be installed.
_START = "import sys; sys.path.append(sys.argv[1]); from compute.artifacts.onnx.child import main; main()"
_ENVIRONMENT = {"ORT_DISABLE_TELEMETRY": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
_VERDICT_BYTES = 256 * 1024
_MESSAGE_CHARS = 500
_THREADS = 16

_MEMORY = ("memory_limit", "The model needs more memory than a car may give it.")
_CRASHED = ("crashed", "The model makes the ONNX runtime crash.")
_SIGNALS: dict[int, tuple[str, str]] = {
    signal.SIGXCPU: ("cpu_limit", "Examining the model took more processor time than allowed."),
    # Not sent by us (that case is time_limit), so the kernel killed the child because memory ran out.
    signal.SIGKILL: _MEMORY,
}


def admit(
    model: bytes, *, limits: Limits = DEFAULT_LIMITS, fixed_dimensions: Mapping[str, int] | None = None
) -> Verdict:
    """Examine an uploaded ONNX model in a limited child. Return whether it may run, and what it costs.

    ``fixed_dimensions`` gives sizes to symbolic dimensions other than the batch axis, by name. No model makes it raise.
    It blocks for about a second, at most for ``limits.wall_seconds``: call it from a worker.
    """
    if len(model) > limits.upload_bytes:
        megabytes = limits.upload_bytes // 2**20
        return _complete(refused_verdict("too_large", f"The file is larger than {megabytes} MiB."), ())
    sandbox = bubblewrap_argv(read_only=_PACKAGES, environment=_ENVIRONMENT)
    command = [sys.executable, "-I", "-B", "-c", _START, str(_ROOT)]
    header = _header(model, limits, fixed_dimensions or {}, in_namespace=sandbox is not None)
    with tempfile.TemporaryDirectory(prefix="admission-") as empty:
        finished = run_child(
            [*(sandbox or ()), *command],
            stdin=[header, model],
            environment=_ENVIRONMENT,
            cwd=Path(empty),
            wall_seconds=limits.wall_seconds,
            stdout_cap_bytes=_VERDICT_BYTES,
        )
    verdict = _verdict(finished)
    if verdict.code in (ADMISSION_FAILED, "crashed", "bad_verdict"):
        logger.error("Admission child: %s, exit %s: %s", verdict.code, finished.returncode, finished.stderr)
    return _complete(verdict, active_layers())


def _header(model: bytes, limits: Limits, fixed_dimensions: Mapping[str, int], *, in_namespace: bool) -> bytes:
    header = {
        "rlimits": {
            "memory_bytes": limits.memory_bytes,
            "cpu_seconds": limits.cpu_seconds,
            "processes": _THREADS if in_namespace else None,
        },
        "seccomp": seccomp_usable(),
        "limits": msgspec.to_builtins(limits),
        "fixed_dimensions": dict(fixed_dimensions),
        "model_bytes": len(model),
    }
    return json.dumps(header).encode() + b"\n"


def _verdict(finished: FinishedChild) -> Verdict:
    """Return the verdict for how the child ended. The child's own answer counts only if nothing else ended it."""
    if finished.timed_out:
        return refused_verdict("time_limit", "Examining the model took longer than allowed.")
    if finished.overflowed:
        return refused_verdict("bad_verdict", "The model disturbed its own examination: there is no valid result.")
    if finished.signal is not None:
        return refused_verdict(*_SIGNALS.get(finished.signal, _CRASHED))
    if finished.returncode != 0:
        return refused_verdict(ADMISSION_FAILED, "We could not examine the model because of a fault on our side.")
    try:
        return Verdict.from_json(msgspec.json.decode(finished.stdout))
    except (msgspec.DecodeError, UnicodeDecodeError):
        return refused_verdict("bad_verdict", "The model disturbed its own examination: there is no valid result.")


def _complete(verdict: Verdict, layers: tuple[str, ...]) -> Verdict:
    """Add the onnxruntime version (from package metadata, without importing it) and the layers; shorten the message."""
    return replace(
        verdict,
        message=verdict.message[:_MESSAGE_CHARS],
        onnxruntime_version=version("onnxruntime"),
        layers=layers,
    )
