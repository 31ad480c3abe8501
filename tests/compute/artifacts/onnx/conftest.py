"""Small models, built in the tests. Only structure checks run in this process; models are loaded in a child."""

from collections.abc import Sequence
from typing import Any

import pytest
from onnx import FunctionProto, ModelProto, NodeProto, TensorProto, ValueInfoProto, helper

OPSETS = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]


class Build:
    """Builds models, by default with one float input x and one output y."""

    node = staticmethod(helper.make_node)

    def value(
        self, name: str, shape: Sequence[int | str | None] = ("N", 4), dtype: int = TensorProto.FLOAT
    ) -> ValueInfoProto:
        return helper.make_tensor_value_info(name, dtype, list(shape))

    def model(
        self,
        nodes: Sequence[NodeProto],
        *,
        inputs: Sequence[ValueInfoProto] = (),
        outputs: Sequence[ValueInfoProto] = (),
        weights: Sequence[TensorProto] = (),
        **fields: Any,
    ) -> ModelProto:
        graph = helper.make_graph(nodes, "g", inputs or [self.value("x")], outputs or [self.value("y")], list(weights))
        return helper.make_model(graph, **{"opset_imports": OPSETS, "ir_version": 10, **fields})

    def relu(self, **fields: Any) -> ModelProto:
        return self.model([self.node("Relu", ["x"], ["y"])], **fields)

    def chain(self, op: str, length: int, **attributes: Any) -> list[NodeProto]:
        """Return a chain of ``length`` nodes from x to y."""
        names = ["x", *(f"v{i}" for i in range(1, length)), "y"]
        return [self.node(op, [names[i]], [names[i + 1]], **attributes) for i in range(length)]

    def function(self, name: str, nodes: Sequence[NodeProto], domain: str = "own") -> FunctionProto:
        return helper.make_function(domain, name, ["a"], ["b"], nodes, OPSETS)

    def calls(self, name: str, times: int) -> list[NodeProto]:
        """Return the body of a function that calls another function ``times`` times."""
        names = ["a", *(f"v{i}" for i in range(1, times)), "b"]
        return [self.node(name, [names[i]], [names[i + 1]], domain="own") for i in range(times)]

    def nested_ifs(self, depth: int) -> NodeProto:
        """Return nested If operators, ``depth`` graphs below the main one."""
        node = self.node("Identity", ["x"], ["r0"])
        for level in range(depth):
            branch = helper.make_graph([node], "b", [], [self.value(f"r{level}")])
            other = helper.make_graph([self.node("Identity", ["x"], [f"o{level}"])], "o", [], [self.value(f"o{level}")])
            out = "y" if level == depth - 1 else f"r{level + 1}"
            node = self.node("If", ["c"], [out], then_branch=branch, else_branch=other)
        return node


@pytest.fixture(scope="session")
def build() -> Build:
    return Build()
