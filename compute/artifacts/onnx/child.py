"""The limited child of admission: a JSON header line and the model on stdin, one JSON verdict on stdout."""

import json
import os
import sys

from compute.sandbox.limits import apply_rlimits
from compute.sandbox.seccomp import apply_seccomp


def main() -> None:
    """Limit this process first, import what parses and runs models, filter, and only then read the model."""
    header = json.loads(sys.stdin.buffer.readline(65536))
    apply_rlimits(**header["rlimits"])
    # Imported late on purpose: nothing that can read a model exists in this process before its limits do.
    import msgspec

    from compute.artifacts.onnx.examine import examine
    from compute.artifacts.onnx.limits import Limits

    if header["seccomp"]:
        apply_seccomp()
    # Whatever a library prints must not get between the parent and the verdict.
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    model = sys.stdin.buffer.read(header["model_bytes"])
    limits = msgspec.convert(header["limits"], Limits)
    verdict = examine(model, limits, header["fixed_dimensions"])
    with answer:
        answer.write(msgspec.json.encode(verdict))
