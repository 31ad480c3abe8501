"""The limited child process of admission: reads a JSON header line and the model, and writes one verdict in JSON."""

import json
import os
import sys

from compute.sandbox.limits import apply_rlimits
from compute.sandbox.seccomp import apply_seccomp


def main() -> None:
    """Limit this process, import the libraries, apply the seccomp filter, and only then read and examine the model."""
    header = json.loads(sys.stdin.buffer.readline(65536))
    apply_rlimits(**header["rlimits"])
    # Imported after the limits are set, so that no code that can read a model runs without them.
    import msgspec

    from compute.artifacts.onnx.examination import examine
    from compute.artifacts.onnx.limits import Limits

    if header["seccomp"]:
        apply_seccomp()
    # Standard output goes to standard error, so that text printed by a library cannot corrupt the verdict.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    model = sys.stdin.buffer.read(header["model_bytes"])
    limits = msgspec.convert(header["limits"], Limits)
    verdict = examine(model, limits, header["fixed_dimensions"])
    with answer:
        answer.write(msgspec.json.encode(verdict))
