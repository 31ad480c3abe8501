"""Refusals by structure alone. No runtime loads these models here."""

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from compute.artifacts.onnx.limits import DEFAULT_LIMITS, Limits
from compute.artifacts.onnx.structure import check_structure, parse_model
from compute.artifacts.onnx.verdict import Refused

SMALL = Limits(nodes=50, expanded_nodes=50)


def refusal(model: ModelProto | bytes, limits: Limits = DEFAULT_LIMITS) -> str:
    data = model if isinstance(model, bytes) else model.SerializeToString()
    with pytest.raises(Refused) as raised:
        check_structure(parse_model(data), limits)
    return raised.value.code


def accept(model: ModelProto, limits: Limits = DEFAULT_LIMITS) -> None:
    check_structure(parse_model(model.SerializeToString()), limits)


def external(name: str = "w") -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[4])
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    return tensor


def constant(build, tensor):
    return build.node("Constant", [], ["c"], value=tensor)


class TestNotAModel:
    def test_bytes_that_are_no_model(self, build):
        whole = build.relu().SerializeToString()
        noise = np.random.default_rng(7)
        for data in (
            b"",
            b"\0",
            whole[: len(whole) // 2],
            whole[:-1],
            noise.bytes(5000),
            b"PK\x03\x04" * 100,
        ):
            assert refusal(data) == "not_onnx"

    def test_a_model_without_nodes(self, build):
        assert refusal(build.model([])) == "not_onnx"

    def test_onnxruntimes_own_format_hidden_in_an_onnx_file(self, build):
        model = build.relu(producer_name="ORTM" + "x" * 20)
        assert model.SerializeToString()[4:8] == b"ORTM"
        assert refusal(model) == "not_onnx"


class TestExternalData:
    def test_in_an_initializer(self, build):
        model = build.model([build.node("Add", ["x", "w"], ["y"])], weights=[external()])
        assert refusal(model) == "external_data"

    def test_location_without_the_flag(self, build):
        tensor = external()
        tensor.data_location = TensorProto.DEFAULT
        model = build.model([build.node("Add", ["x", "w"], ["y"])], weights=[tensor])
        assert refusal(model) == "external_data"

    def test_in_an_attribute(self, build):
        model = build.model([constant(build, external()), build.node("Add", ["x", "c"], ["y"])])
        assert refusal(model) == "external_data"

    def test_in_a_list_of_tensors(self, build):
        node = build.node("Relu", ["x"], ["y"])
        node.attribute.add(name="t", type=9).tensors.append(external())
        assert refusal(build.model([node])) == "external_data"

    def test_in_a_subgraph(self, build):
        inner = helper.make_graph([constant(build, external())], "b", [], [build.value("c", (4,))])
        node = build.node("If", ["k"], ["y"], then_branch=inner, else_branch=inner)
        assert refusal(build.model([node])) == "external_data"

    def test_in_a_function(self, build):
        body = [constant(build, external()), build.node("Add", ["a", "c"], ["b"])]
        model = build.model([build.node("F", ["x"], ["y"], domain="own")], functions=[build.function("F", body)])
        assert refusal(model) == "external_data"


class TestVersions:
    @pytest.mark.parametrize("version", [0, 2, 14, 2**40])
    def test_ir(self, build, version):
        assert refusal(build.relu(ir_version=version)) == "ir_version"

    @pytest.mark.parametrize(("domain", "version"), [("", 6), ("", 27), ("ai.onnx", 99), ("ai.onnx.ml", 6)])
    def test_opset(self, build, domain, version):
        model = build.relu(opset_imports=[helper.make_opsetid(domain, version)])
        assert refusal(model) == "opset_version"

    def test_unused_imports_of_other_domains_are_harmless(self, build):
        accept(build.relu(opset_imports=[helper.make_opsetid("", 17), helper.make_opsetid("org.other", 1)]))


class TestOperators:
    @pytest.mark.parametrize("domain", ["evil.corp", "ai.onnx.contrib", "ai.onnx.preview.training"])
    def test_unknown_domain(self, build, domain):
        assert refusal(build.model([build.node("Op", ["x"], ["y"], domain=domain)])) == "operator_domain"

    def test_named_operators_of_com_microsoft(self, build):
        def model(op):
            return build.model([build.node(op, ["x"], ["y"], domain="com.microsoft")])

        accept(model("FastGelu"))
        assert refusal(model("EPContext")) == "operator_not_allowed"

    def test_unknown_domain_in_a_function_that_is_never_called(self, build):
        body = [build.node("Op", ["a"], ["b"], domain="evil.corp")]
        assert refusal(build.relu(functions=[build.function("F", body)])) == "operator_domain"

    @pytest.mark.parametrize("op", ["Loop", "Scan", "SequenceMap"])
    def test_loops(self, build, op):
        body = helper.make_graph([build.node("Identity", ["i"], ["o"])], "b", [build.value("i")], [])
        assert refusal(build.model([build.node(op, ["x"], ["y"], body=body)])) == "loop"

    def test_random(self, build):
        assert refusal(build.model([build.node("RandomNormalLike", ["x"], ["y"])])) == "random"

    def test_a_function_cannot_pose_as_a_standard_operator(self, build):
        for domain in ("", "ai.onnx", "ai.onnx.ml", "com.microsoft"):
            function = build.function("Relu", [build.node("Abs", ["a"], ["b"])], domain)
            assert refusal(build.relu(functions=[function])) == "function_shadows_operator"


class TestFunctions:
    def test_ordinary_use(self, build):
        function = build.function("F", [build.node("Relu", ["a"], ["b"])])
        accept(build.model([build.node("F", ["x"], ["y"], domain="own")], functions=[function]))

    def test_doubling_28_times(self, build):
        functions = [build.function("F0", [build.node("Relu", ["a"], ["b"])])]
        functions += [build.function(f"F{i}", build.calls(f"F{i - 1}", 2)) for i in range(1, 28)]
        model = build.model([build.node("F27", ["x"], ["y"], domain="own")], functions=functions)
        assert refusal(model) == "function_depth"

    def test_wide_but_shallow_expansion(self, build):
        functions = [build.function("F0", [build.node("Relu", ["a"], ["b"])])]
        functions += [build.function(f"F{i}", build.calls(f"F{i - 1}", 30)) for i in range(1, 5)]
        model = build.model([build.node("F4", ["x"], ["y"], domain="own")], functions=functions)
        assert refusal(model) == "function_size"

    @pytest.mark.parametrize("order", [1, -1])
    def test_chain_of_1500(self, build, order):
        functions = [build.function("F0", [build.node("Relu", ["a"], ["b"])])]
        functions += [build.function(f"F{i}", build.calls(f"F{i - 1}", 1)) for i in range(1, 1500)]
        model = build.model([build.node("F1499", ["x"], ["y"], domain="own")], functions=functions[::order])
        assert refusal(model) == "function_depth"

    def test_chain_of_exactly_ten(self, build):
        functions = [build.function("F0", [build.node("Relu", ["a"], ["b"])])]
        functions += [build.function(f"F{i}", build.calls(f"F{i - 1}", 1)) for i in range(1, 11)]
        accept(build.model([build.node("F9", ["x"], ["y"], domain="own")], functions=functions[:10]))
        model = build.model([build.node("F10", ["x"], ["y"], domain="own")], functions=functions)
        assert refusal(model) == "function_depth"

    def test_circle(self, build):
        functions = [build.function("A", build.calls("B", 1)), build.function("B", build.calls("A", 1))]
        assert refusal(build.relu(functions=functions)) == "function_depth"

    def test_calls_hidden_in_a_branch(self, build):
        inner = helper.make_graph(build.calls("F0", 60), "b", [], [build.value("b")])
        node = build.node("If", ["a"], ["b"], then_branch=inner, else_branch=inner)
        functions = [build.function("F0", [build.node("Relu", ["a"], ["b"])]), build.function("F1", [node])]
        assert refusal(build.relu(functions=functions), Limits(expanded_nodes=100)) == "function_size"

    def test_defined_twice(self, build):
        function = build.function("F", [build.node("Relu", ["a"], ["b"])])
        assert refusal(build.relu(functions=[function, function])) == "function_duplicate"

    def test_too_many(self, build):
        functions = [build.function(f"F{i}", [build.node("Relu", ["a"], ["b"])]) for i in range(5)]
        assert refusal(build.relu(functions=functions), Limits(functions=4)) == "function_size"


class TestSizes:
    def test_25_000_nodes(self, build):
        assert refusal(build.model(build.chain("Identity", 25_000))) == "too_many_nodes"

    def test_nodes_of_functions_and_branches_count(self, build):
        accept(build.model(build.chain("Identity", 50)), SMALL)
        function = build.function("F", [build.node("Relu", ["a"], ["b"])])
        assert refusal(build.model(build.chain("Identity", 50), functions=[function]), SMALL) == "too_many_nodes"
        assert refusal(build.model([build.nested_ifs(4), *build.chain("Abs", 45)]), SMALL) == "too_many_nodes"

    def test_nesting(self, build):
        accept(build.model([build.nested_ifs(8)]))
        assert refusal(build.model([build.nested_ifs(9)])) == "nesting_too_deep"
        assert refusal(build.model([build.nested_ifs(20)])) == "nesting_too_deep"

    @pytest.mark.parametrize("dims", [[2**31 + 1], [2**20, 2**20], [-1], [2**62, 2**62]])
    def test_huge_tensor(self, build, dims):
        tensor = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=dims)
        model = build.model([build.node("Add", ["x", "w"], ["y"])], weights=[tensor])
        assert refusal(model) == "tensor_too_large"


class TestNames:
    @pytest.mark.parametrize("where", ["name", "op_type", "domain", "doc_string"])
    def test_not_utf8(self, build, where):
        node = build.node("Relu", ["x"], ["y"])
        setattr(node, where, "QQQQQQQQ")
        data = build.model([node]).SerializeToString().replace(b"QQQQQQQQ", b"\xff\xfe\xfa\xfb" * 2)
        assert refusal(data) == "name_not_utf8"

    def test_not_utf8_in_a_list(self, build):
        model = build.model([build.node("Sum", ["x", "QQQQQQQQ"], ["y"])])
        data = model.SerializeToString().replace(b"QQQQQQQQ", b"\xc3\x28" * 4)
        assert refusal(data) == "name_not_utf8"

    def test_length_is_counted_in_bytes(self, build):
        accept(build.model([build.node("Relu", ["x"], ["y"], name="é" * 128)]))
        assert refusal(build.model([build.node("Relu", ["x"], ["y"], name="é" * 129)])) == "name_too_long"

    def test_documentation_may_be_long(self, build):
        accept(build.relu(doc_string="word " * 1000))


class TestOtherContents:
    def test_training_info(self, build):
        model = build.relu()
        model.training_info.add()
        assert refusal(model) == "training_info"

    def test_sparse_initializer(self, build):
        model = build.relu()
        sparse = model.graph.sparse_initializer.add(dims=[4])
        sparse.values.CopyFrom(numpy_helper.from_array(np.ones(1, np.float32), "w"))
        assert refusal(model) == "sparse_tensor"

    def test_sparse_attribute(self, build):
        node = build.node("Constant", [], ["y"])
        attribute = node.attribute.add(name="sparse_value", type=11)
        attribute.sparse_tensor.dims.append(4)
        assert refusal(build.model([node])) == "sparse_tensor"

    def test_sparse_type(self, build):
        model = build.relu()
        model.graph.input[0].type.sparse_tensor_type.elem_type = 1
        assert refusal(model) == "sparse_tensor"
