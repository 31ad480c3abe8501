"""Measure the call graph of a model's own functions without expanding it.

A model of 2 KB with 28 functions that each call the next one twice expands to 2**28 nodes, and a chain of 3,000
functions crashes onnxruntime 1.31. One pass over the calls finds both numbers: the expanded size and the depth.
"""

from collections import Counter
from dataclasses import dataclass

from onnx import FunctionProto, GraphProto, ModelProto, NodeProto

from compute.artifacts.onnx.limits import Limits
from compute.artifacts.onnx.verdict import Refused
from compute.artifacts.onnx.walk import nodes_in

Key = tuple[str, str, str]


@dataclass(frozen=True)
class _Size:
    """The size of an expanded function: its nodes, and the depth of calls below it, itself included."""

    nodes: int
    height: int


def function_key(item: FunctionProto | NodeProto) -> Key:
    """Return the key (domain, name, overload) that a function and its calls share."""
    name = item.op_type if isinstance(item, NodeProto) else item.name
    return ("" if item.domain == "ai.onnx" else item.domain, name, item.overload)


def check_functions(model: ModelProto, limits: Limits) -> dict[Key, FunctionProto]:
    """Return the model's functions by key.

    Raise Refused for calls nested too deep or in a circle, or a large expansion.
    """
    if len(model.functions) > limits.functions:
        raise Refused("function_size", f"The model defines more than {limits.functions:,} functions of its own.")
    functions = {function_key(function): function for function in model.functions}
    if len(functions) != len(model.functions):
        raise Refused("function_duplicate", "The model defines the same function twice.")
    sizes: dict[Key, _Size] = {}
    for function in functions.values():
        _measure(function, functions, sizes, limits, 1)
    _measure(model.graph, functions, sizes, limits, 0)
    return functions


def _measure(
    body: GraphProto | FunctionProto,
    functions: dict[Key, FunctionProto],
    sizes: dict[Key, _Size],
    limits: Limits,
    level: int,
) -> _Size:
    """Return the size of a body with all calls expanded.

    Each function is measured once; recursion ends at the limit.
    """
    key = function_key(body) if isinstance(body, FunctionProto) else None
    if key in sizes:
        return sizes[key]
    _check_height(level, limits)
    called = Counter(function_key(node) for node in nodes_in(body))
    total, height = 0, 0
    for callee, times in called.items():
        if callee in functions:
            size = _measure(functions[callee], functions, sizes, limits, level + 1)
            total, height = total + times * size.nodes, max(height, size.height)
        else:
            total += times
    if key is not None:
        height += 1
        sizes[key] = _Size(total, height)
    _check_height(height, limits)
    if total > limits.expanded_nodes:
        raise Refused(
            "function_size",
            f"Written out, the model's own functions are more than {limits.expanded_nodes:,} operators.",
        )
    return _Size(total, height)


def _check_height(height: int, limits: Limits) -> None:
    if height > limits.function_depth:
        raise Refused(
            "function_depth",
            f"The model's functions call each other more than {limits.function_depth} deep, or in a circle.",
        )
