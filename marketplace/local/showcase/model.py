"""The customer's models: small networks, written with ONNX's own helpers and never loaded here."""

from itertools import pairwise

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FEATURES, LABELS = 64, 2  # ordinary or not. Small results travel within a report


def model(*, name: str, layers: int, width: int, seed: int) -> bytes:
    """Return an ONNX file: `x` float32 [n, FEATURES] -> `score` float32 [n, LABELS], through `layers` dense layers."""
    rng = np.random.default_rng(seed)
    sizes = [FEATURES, *[width] * layers, LABELS]
    nodes, weights, value = [], [], "x"
    for index, (rows, columns) in enumerate(pairwise(sizes)):
        weight = rng.normal(0, rows**-0.5, (rows, columns)).astype(np.float32)
        weights.append(numpy_helper.from_array(weight, f"w{index}"))
        nodes.append(helper.make_node("MatMul", [value, f"w{index}"], [f"m{index}"]))
        nodes.append(helper.make_node("Tanh", [f"m{index}"], [value := f"h{index}"]))
    nodes.append(helper.make_node("Softmax", [value], ["score"], axis=1))
    graph = helper.make_graph(
        nodes,
        name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", FEATURES])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", LABELS])],
        weights,
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return bytes(made.SerializeToString())
