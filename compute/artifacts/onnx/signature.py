"""Read the inputs that a model declares, with all dimensions except the batch axis known.

The first axis of every input counts items. It must be symbolic, so that a job can be cut anywhere. A model whose inputs
all have size 1 there is accepted too and runs item by item; any other fixed size is refused. Other symbolic dimensions
get their size from ``fixed_dimensions``, by their name in the model, or as ``input_name[axis]`` if they have no name.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from onnx import GraphProto, TypeProto, ValueInfoProto, helper

from compute.artifacts.onnx.limits import Limits
from compute.artifacts.onnx.verdict import DTYPE_BYTES, Refused, TensorSpec

_DTYPES = {int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype))): dtype for dtype in DTYPE_BYTES}


@dataclass(frozen=True)
class DeclaredInputs:
    """The inputs that a run needs, and whether their batch axis is fixed at 1."""

    inputs: tuple[TensorSpec, ...]
    item_by_item: bool


def read_inputs(graph: GraphProto, limits: Limits, fixed_dimensions: Mapping[str, int]) -> DeclaredInputs:
    """Return the declared inputs. Raise Refused if they cannot be cut into items or are not plain tensors."""
    given = {tensor.name for tensor in graph.initializer}
    declared = [value for value in graph.input if value.name not in given]
    if not declared or not graph.output:
        raise Refused("no_inputs", "The model needs at least one input and one output.")
    if len(declared) + len(graph.output) > limits.inputs_and_outputs:
        raise Refused("too_many_inputs", f"The model has more than {limits.inputs_and_outputs} inputs and outputs.")
    for value in graph.output:
        _tensor_type(value)
    sizes = _Sizes(fixed_dimensions)
    inputs = tuple(_spec(value, sizes) for value in declared)
    sizes.check_all_used()
    _check_item_bytes(inputs, limits)
    return DeclaredInputs(inputs, _item_by_item(inputs))


def _check_item_bytes(inputs: tuple[TensorSpec, ...], limits: Limits) -> None:
    if sum(spec.item_bytes for spec in inputs) > limits.item_bytes:
        raise Refused("item_too_large", f"One item of input is larger than {limits.item_bytes // 2**20} MiB.")


def _item_by_item(inputs: tuple[TensorSpec, ...]) -> bool:
    """Return True if the batch axis is 1 everywhere, False if it is symbolic everywhere. Raise Refused otherwise."""
    batches = {spec.shape[0] for spec in inputs}
    if batches not in ({None}, {1}):
        names = ", ".join(spec.name[:40] for spec in inputs if spec.shape[0] is not None)
        raise Refused(
            "batch_axis_fixed",
            f"The first axis of {names} has a fixed size. It counts items: export the model with a dynamic "
            "first axis on every input.",
        )
    return batches == {1}


class _Sizes:
    """The sizes that the customer gives to symbolic dimensions, and which of them the model uses."""

    def __init__(self, given: Mapping[str, int]) -> None:
        self._given = given
        self._used: set[str] = set()

    def get(self, symbol: str, place: str) -> int:
        for name in (symbol, place):
            if name and name in self._given:
                self._used.add(name)
                return self._positive(name)
        raise Refused(
            "dimension_not_fixed",
            f"Dimension {(symbol or place)[:80]} of input {place[:80]} varies. Give the size to run it with.",
        )

    def check_all_used(self) -> None:
        unknown = sorted(set(self._given) - self._used)
        if unknown:
            raise Refused("dimension_unknown", f"The model has no variable dimension {unknown[0][:80]}.")

    def _positive(self, name: str) -> int:
        size = self._given[name]
        if size < 1:
            raise Refused("dimension_invalid", f"Dimension {name[:80]} needs a size of at least 1.")
        return size


def _tensor_type(value: ValueInfoProto) -> TypeProto.Tensor:
    if not value.type.HasField("tensor_type"):
        raise Refused(
            "not_a_tensor",
            f"{value.name[:80]} is not a plain tensor. Export without sequences and maps (zipmap=False).",
        )
    return value.type.tensor_type


def _spec(value: ValueInfoProto, sizes: _Sizes) -> TensorSpec:
    declared = _tensor_type(value)
    if not declared.HasField("shape") or not declared.shape.dim:
        raise Refused("shape_missing", f"Input {value.name[:80]} declares no shape. Its first axis must count items.")
    shape = [_dimension(value.name, axis, dim, sizes) for axis, dim in enumerate(declared.shape.dim)]
    return TensorSpec(value.name, _dtype(value.name, declared.elem_type), tuple(shape))


def _dimension(name: str, axis: int, dim: object, sizes: _Sizes) -> int | None:
    size = int(getattr(dim, "dim_value", 0))
    if size > 0:
        return size
    return None if axis == 0 else sizes.get(str(getattr(dim, "dim_param", "")), f"{name}[{axis}]")


def _dtype(name: str, elem_type: int) -> str:
    """Return the numpy name of an element type. Types without an exact numpy equivalent, as bfloat16, raise Refused."""
    if elem_type in _DTYPES:
        return _DTYPES[elem_type]
    raise Refused("dtype_not_supported", f"{name[:80]} must hold numbers of a common type, or bool.")
