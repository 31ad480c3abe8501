"""A real ONNX model whose units keep a vehicle busy for seconds: a deep stack of matrix products."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

INPUTS, WIDTH, LAYERS = 16, 768, 500  # about 600 million multiplications an item
OPSET, IR_VERSION = 17, 8


def model_bytes() -> bytes:
    """Return the model, x float32 [n, 16] -> y float32 [n, 1].

    The layers share their weights to keep the file small.
    """
    random = np.random.default_rng(3)
    weights = {
        "first": random.normal(size=(INPUTS, WIDTH)) / np.sqrt(INPUTS),
        "middle": random.normal(size=(WIDTH, WIDTH)) * 0.9 / np.sqrt(WIDTH),  # contracts, so results stay alike
        "shift": random.normal(size=WIDTH) * 0.1,
        "last": random.normal(size=(WIDTH, 1)) / np.sqrt(WIDTH),
    }
    nodes = [helper.make_node("MatMul", ["x", "first"], ["h0"])]
    for layer in range(LAYERS):
        nodes += [
            helper.make_node("MatMul", [f"h{layer}", "middle"], [f"m{layer}"]),
            helper.make_node("Add", [f"m{layer}", "shift"], [f"a{layer}"]),
            helper.make_node("Tanh", [f"a{layer}"], [f"h{layer + 1}"]),
        ]
    nodes.append(helper.make_node("MatMul", [f"h{LAYERS}", "last"], ["y"]))
    graph = helper.make_graph(
        nodes,
        "withdrawal",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", INPUTS])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def inputs(items: int, seed: int) -> npt.NDArray[np.float32]:
    """Return random inputs, float32 [items, 16]."""
    return np.random.default_rng(seed).normal(size=(items, INPUTS)).astype(np.float32)
