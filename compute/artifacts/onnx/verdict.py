"""The verdict of admission, as plain data that can be stored as JSON. Parent and child both import it."""

import math
from dataclasses import dataclass
from typing import Any, Self

import msgspec

# Element types that onnxruntime, .npy and safetensors all support: numpy name -> size in bytes.
DTYPE_BYTES = {
    "bool": 1,
    "int8": 1,
    "uint8": 1,
    "int16": 2,
    "uint16": 2,
    "float16": 2,
    "int32": 4,
    "uint32": 4,
    "float32": 4,
    "int64": 8,
    "uint64": 8,
    "float64": 8,
}
ADMITTED = "admitted"
# Not caused by the model: it is examined again later.
ADMISSION_FAILED = "admission_failed"


class Refused(Exception):
    """A model is refused. ``code`` is stable; ``message`` is a sentence for the customer."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True)
class TensorSpec:
    """One input or output. ``dtype`` is a numpy name. ``shape[0]``, the batch axis, is None or 1."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]

    @property
    def item_shape(self) -> tuple[int, ...]:
        """The shape without its batch axis; every size in it is known."""
        return tuple(size for size in self.shape[1:] if size is not None)

    @property
    def item_bytes(self) -> int:
        """Size of one item in bytes."""
        return math.prod(self.item_shape) * DTYPE_BYTES[self.dtype]


@dataclass(frozen=True)
class Signature:
    """The inputs and outputs of a model. The first axis of every tensor counts items.

    ``item_by_item`` is true for a model that was exported for a batch of exactly one: it runs once for each item.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    item_by_item: bool = False


@dataclass(frozen=True)
class Profile:
    """The costs measured in the trial, on one thread of the server.

    ``batch`` is the cheapest of the tried batches; no larger one may be run. ``ms_per_item`` (wall time) and
    ``cpu_ms_per_item`` are for that batch. ``peak_rss_bytes`` is the resident memory of the whole process that loaded
    and ran the model, ``cpu_ms`` all processor time from loading to the end of the trial.
    """

    batch: int
    ms_per_item: float
    cpu_ms_per_item: float
    load_ms: float
    cpu_ms: float
    peak_rss_bytes: int
    input_bytes_per_item: int
    output_bytes_per_item: int


@dataclass(frozen=True)
class Verdict:
    """The verdict: admitted, or refused with a stable code and a sentence for the customer.

    ``signature`` and ``profile`` are present if and only if the model was admitted. ``layers`` names the sandbox layers
    of the examination (`compute.sandbox.active_layers`).
    """

    admitted: bool
    code: str
    message: str
    signature: Signature | None = None
    profile: Profile | None = None
    onnxruntime_version: str = ""
    layers: tuple[str, ...] = ()

    @property
    def retryable(self) -> bool:
        """True if the model was not judged, because of a fault on our side."""
        return self.code == ADMISSION_FAILED

    def to_json(self) -> dict[str, Any]:
        """Return the verdict as JSON values (for a JSONField); `from_json` is the inverse."""
        return dict(msgspec.json.decode(msgspec.json.encode(self)))

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Rebuild a verdict from JSON values. Raise msgspec.ValidationError if they are not a valid verdict."""
        verdict = msgspec.convert(value, cls)
        complete = verdict.signature is not None and verdict.profile is not None
        if verdict.admitted != complete or verdict.admitted != (verdict.code == ADMITTED):
            raise msgspec.ValidationError("A verdict must have a signature and a profile if and only if it admits.")
        return verdict


def refused_verdict(code: str, message: str) -> Verdict:
    """Return a verdict that refuses the model."""
    return Verdict(admitted=False, code=code, message=message)
