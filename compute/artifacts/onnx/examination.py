"""The examination of a model: parse it, check structure and inputs, run onnx's checker, run a trial.

It runs only in the limited child process.
"""

from collections.abc import Mapping

from onnx import checker
from onnx.shape_inference import InferenceError

from compute.artifacts.onnx.limits import Limits
from compute.artifacts.onnx.signature import DeclaredInputs, read_inputs
from compute.artifacts.onnx.structure import check_structure, parse_model
from compute.artifacts.onnx.trial import readable_error, run_trial
from compute.artifacts.onnx.verdict import ADMITTED, Refused, Verdict, refused_verdict


def examine(model: bytes, limits: Limits, fixed_dimensions: Mapping[str, int]) -> Verdict:
    """Admit or refuse a model. It never raises: every error that a model causes becomes a verdict."""
    try:
        declared = _declared(model, limits, fixed_dimensions)
        _check_validity(model)
        signature, profile = run_trial(model, declared, limits)
    except Refused as refusal:
        return refused_verdict(refusal.code, refusal.message)
    except MemoryError:
        return refused_verdict("memory_limit", "The model needs more memory than a car may give it.")
    except Exception as error:  # parsers may raise anything on hostile bytes
        return refused_verdict("crashed", f"Examining the model failed: {type(error).__name__}.")
    return Verdict(True, ADMITTED, "The model is admitted.", signature, profile)


def _declared(model: bytes, limits: Limits, fixed_dimensions: Mapping[str, int]) -> DeclaredInputs:
    """Check the structure and return the declared inputs. The parsed copy of the model is freed on return."""
    parsed = parse_model(model)
    check_structure(parsed, limits)
    return read_inputs(parsed.graph, limits, fixed_dimensions)


def _check_validity(model: bytes) -> None:
    """Run onnx's checker with shape inference. This is safe only because functions and loops were checked before."""
    try:
        checker.check_model(model, full_check=True)
    except (checker.ValidationError, InferenceError) as error:
        raise Refused("invalid_model", f"The model breaks the ONNX rules: {readable_error(str(error))}") from error
