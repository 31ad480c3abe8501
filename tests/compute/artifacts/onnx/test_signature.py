"""The inputs that a model declares."""

import pytest
from onnx import TensorProto, helper

from compute.artifacts.onnx.limits import DEFAULT_LIMITS, Limits
from compute.artifacts.onnx.signature import read_inputs
from compute.artifacts.onnx.verdict import Refused, TensorSpec


def read(model, limits=DEFAULT_LIMITS, **sizes):
    return read_inputs(model.graph, limits, sizes)


def refusal(model, limits=DEFAULT_LIMITS, **sizes):
    with pytest.raises(Refused) as raised:
        read(model, limits, **sizes)
    return raised.value.code


def test_batch_axis_and_fixed_sizes(build):
    inputs = [build.value("x", ("N", 3, 8)), build.value("ids", (None, 5), TensorProto.INT64)]
    declared = read(build.relu(inputs=inputs))
    assert declared.inputs == (
        TensorSpec("x", "float32", (None, 3, 8)),
        TensorSpec("ids", "int64", (None, 5)),
    )
    assert not declared.item_by_item
    assert [spec.item_bytes for spec in declared.inputs] == [96, 40]


def test_initializers_are_not_inputs(build):
    weight = helper.make_tensor("w", TensorProto.FLOAT, [4], [0.0] * 4)
    model = build.relu(inputs=[build.value("x"), build.value("w", (4,))], weights=[weight])
    assert [spec.name for spec in read(model).inputs] == ["x"]


def test_a_batch_of_exactly_one_runs_item_by_item(build):
    declared = read(build.relu(inputs=[build.value("x", (1, 4))]))
    assert declared.item_by_item
    assert declared.inputs[0].shape == (1, 4)
    assert declared.inputs[0].item_shape == (4,)


def test_any_other_fixed_batch_is_refused(build):
    assert refusal(build.relu(inputs=[build.value("x", (8, 4))])) == "batch_axis_fixed"
    mixed = [build.value("x", ("N", 4)), build.value("k", (1,))]
    assert refusal(build.relu(inputs=mixed)) == "batch_axis_fixed"


def test_other_symbolic_dimensions_need_a_size(build):
    model = build.relu(inputs=[build.value("x", ("N", "length"))])
    assert refusal(model) == "dimension_not_fixed"
    assert read(model, length=16).inputs[0].shape == (None, 16)
    assert refusal(model, length=0) == "dimension_invalid"
    assert refusal(model, length=16, width=2) == "dimension_unknown"


def test_a_dimension_without_a_name_is_addressed_by_its_place(build):
    model = build.relu(inputs=[build.value("x", ("N", None))])
    assert refusal(model) == "dimension_not_fixed"
    assert read(model, **{"x[1]": 7}).inputs[0].shape == (None, 7)


def test_missing_shapes(build):
    assert refusal(build.relu(inputs=[build.value("x", ())])) == "shape_missing"
    bare = helper.make_tensor_value_info("x", TensorProto.FLOAT, None)
    assert refusal(build.relu(inputs=[bare])) == "shape_missing"


@pytest.mark.parametrize("dtype", [TensorProto.STRING, TensorProto.BFLOAT16, TensorProto.COMPLEX64, 0, 999])
def test_types_that_are_not_numbers(build, dtype):
    model = build.relu()
    model.graph.input[0].type.tensor_type.elem_type = dtype
    assert refusal(model) == "dtype_not_supported"


def test_maps_and_sequences(build):
    model = build.relu()
    model.graph.output[0].type.sequence_type.elem_type.tensor_type.elem_type = 1
    assert refusal(model) == "not_a_tensor"


def test_counts_and_sizes(build):
    many = [build.value(f"x{i}") for i in range(64)]
    assert refusal(build.relu(inputs=many)) == "too_many_inputs"
    assert refusal(build.relu(inputs=[build.value("x", ("N", 300))]), Limits(item_bytes=1000)) == "item_too_large"
    model = build.relu()
    del model.graph.input[:]
    assert refusal(model) == "no_inputs"
