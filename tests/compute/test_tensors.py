"""Untrusted tensor files, slicing and joining them, and the comparison of two results."""

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from compute import tensors
from compute.tensors import DTYPES, NPY, SAFETENSORS, Tensor
from core.errors import DomainError, InvalidInput

TMP = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
dtypes = st.sampled_from([np.dtype(name) for name in DTYPES.values()])


def npy(tmp_path: Path, array: Any) -> Path:
    path = tmp_path / "x.npy"
    np.save(path, array)
    return path


def npy_header(tmp_path: Path, header: bytes, version: int = 1) -> Path:
    path, size = tmp_path / "x.npy", len(header) + 1
    path.write_bytes(
        b"\x93NUMPY"
        + bytes([version, 0])
        + size.to_bytes(2 if version == 1 else 4, "little")
        + header
        + b"\n"
        + b"\0" * 64
    )
    return path


def safetensors_raw(header: Any, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def code_of(ask: Any) -> str:
    with pytest.raises(InvalidInput) as caught:
        ask()
    return caught.value.code


# Reading a header


@TMP
@given(array=dtypes.flatmap(lambda d: npst.arrays(d, npst.array_shapes(max_dims=4, max_side=5))))
def test_a_file_is_described_by_its_header(tmp_path, array):
    wanted = Tensor(array.dtype.name, array.shape)
    assert tensors.describe(npy(tmp_path, array), NPY) == {"": wanted}
    path = tmp_path / "x.safetensors"
    path.write_bytes(safetensors.numpy.save({"a": np.ascontiguousarray(array)}))
    assert tensors.describe(path, SAFETENSORS) == {"a": wanted}


SHAPE = b"{'descr': '<f4', 'fortran_order': False, 'shape': %s, }"
HEADERS = [
    b"",
    b"(((",
    b"'''",
    b"\xff",
    b"  x\n y",
    b"[" * 9000,
    b"-" * 9000 + b"1",
    b"{1L: 2",
    b"(" * 150 + b"1" + b")" * 150,
    SHAPE % b"(-1, 4)",
    SHAPE % b"(-1, -4)",
    SHAPE % b"(True, 4)",
    SHAPE % b"(2305843009213693952, 4)",
    SHAPE % b"(1180591620717411303424, 4)",
    SHAPE % b"(1000000, 4)",
    SHAPE % b"(1.5, 4)",
    SHAPE % (b"(" + b"1, " * 70 + b")"),
    b"{'descr': 'O', 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': 7, 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': '<M8[ns]', 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': '<U4', 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }",
    b"{'descr': '>f4', 'fortran_order': False, 'shape': (1, 4), }",
    b"{'descr': '<f4', 'fortran_order': True, 'shape': (2, 4), }",
]


@pytest.mark.parametrize("version", [1, 3])
@pytest.mark.parametrize("header", HEADERS, ids=lambda h: h[:30].decode("latin1"))
def test_a_hostile_npy_header_is_refused_with_a_code(tmp_path, header, version):
    path = npy_header(tmp_path, header, version)
    assert code_of(lambda: tensors.describe(path, NPY)) == "input_unreadable"


@pytest.mark.parametrize("file_format", [NPY, SAFETENSORS])
@TMP
@given(data=st.binary(max_size=200) | st.binary(max_size=60).map(lambda b: b"\x93NUMPY\x01\x00" + b))
def test_random_bytes_are_refused_with_a_code(tmp_path, data, file_format):
    path = tmp_path / "x"
    path.write_bytes(data)
    try:
        tensors.describe(path, file_format)
    except InvalidInput as error:
        if error.code != "input_unreadable":
            raise


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 7,
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 10**9) + b"{}",
        safetensors_raw(b"[" * 5000),
        safetensors_raw({"a": {"dtype": "F32", "shape": [2, 2], "data_offsets": [0, 8]}}, b"\0" * 8),
        safetensors_raw({"a": {"dtype": "F32", "shape": [2**62, 8], "data_offsets": [0, 0]}}),
        safetensors_raw({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 400]}}, b"\0" * 4),
        safetensors_raw({"a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 0]}}, b"\0" * 4),
        safetensors_raw({"a": {"dtype": "F32", "shape": [-1], "data_offsets": [0, 4]}}, b"\0" * 4),
        safetensors_raw({"a": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 4),
        safetensors_raw({"a": {"dtype": "BF16", "shape": [2], "data_offsets": [0, 4]}}, b"\0" * 4),
        safetensors_raw({"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}, b"\0" * 9),
    ],
)
def test_a_hostile_safetensors_file_is_refused_with_a_code(tmp_path, data):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    assert code_of(lambda: tensors.describe(path, SAFETENSORS)) == "input_unreadable"
    outputs = [{"name": "a", "dtype": "float32", "shape": [None]}]
    assert code_of(lambda: tensors.check_result(data, outputs, 1)) in {"result_unreadable", "result_shape"}


def test_pickles_are_never_loaded(tmp_path):
    path = tmp_path / "x.npy"
    np.save(path, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    assert code_of(lambda: tensors.describe(path, NPY)) == "input_unreadable"
    np.savez(tmp_path / "x.npz", a=np.zeros(3))
    assert code_of(lambda: tensors.describe(tmp_path / "x.npz", NPY)) == "input_unreadable"


@pytest.mark.parametrize("shapes", [[()], [(0, 4)], [(3,), (4,)], [], [(2, 1), ()]])
def test_every_tensor_has_the_same_number_of_rows(shapes):
    found = {str(index): Tensor("float32", shape) for index, shape in enumerate(shapes)}
    assert code_of(lambda: tensors.item_count(found)) == "rows_differ"
    assert tensors.item_count({"a": Tensor("float32", (7, 1)), "b": Tensor("int64", (7,))}) == 7


# Slicing and joining


@TMP
@given(
    array=dtypes.flatmap(lambda d: npst.arrays(d, npst.array_shapes(min_dims=1, max_dims=3, max_side=7))),
    step=st.integers(1, 9),
    file_format=st.sampled_from([NPY, SAFETENSORS]),
)
def test_slices_hold_every_row_once_in_order(tmp_path, array, step, file_format):
    array = np.ascontiguousarray(array)
    path = tmp_path / "x"
    if file_format == NPY:
        path = npy(tmp_path, array)
    else:
        path.write_bytes(safetensors.numpy.save({"x": array}))
    parts = [safetensors.numpy.load(p)["x"] for p in tensors.slices(path, file_format, ["x"], step, len(array))]
    assert [len(part) for part in parts[:-1]] == [step] * (len(parts) - 1)
    joined = np.concatenate(parts)
    assert joined.dtype == array.dtype
    assert joined.tobytes() == array.tobytes()


@TMP
@given(
    chunks=st.lists(st.integers(1, 4), min_size=1, max_size=5),
    first=dtypes,
    second=dtypes,
    width=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_join_is_concatenation(chunks, first, second, width, seed):
    rng = np.random.default_rng(seed)
    units = [
        {
            name: np.frombuffer(rng.bytes(n * width * dtype.itemsize), dtype=dtype).reshape(n, width)
            if dtype != np.bool_
            else rng.integers(0, 2, (n, width)).astype(bool)
            for name, dtype in (("p", first), ("q", second))
        }
        for n in chunks
    ]
    header = {name: Tensor(units[0][name].dtype.name, (sum(chunks), width)) for name in ("p", "q")}
    data = b"".join(tensors.join_results(header, (iter([u[name].tobytes() for u in units]) for name in header)))
    read = safetensors.numpy.load(data)
    for name in header:
        whole = np.concatenate([u[name] for u in units])
        assert read[name].shape == whole.shape
        assert read[name].dtype == whole.dtype
        assert read[name].tobytes() == whole.tobytes()


def test_one_output_as_npy(tmp_path):
    path, array = tmp_path / "r", np.arange(6, dtype=np.int64).reshape(3, 2)
    path.write_bytes(safetensors.numpy.save({"y": array}))
    assert np.array_equal(np.load(io.BytesIO(tensors.as_npy(path, "y"))), array)
    with pytest.raises(DomainError) as caught:
        tensors.as_npy(path, "z")
    assert (caught.value.code, caught.value.fields) == ("output_unknown", {"outputs": ["y"]})


# Results

OUTPUTS = [{"name": "y", "dtype": "float32", "shape": [None, 2]}]


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"z": np.zeros((3, 2), np.float32)},
        {"y": np.zeros((3, 2), np.float64)},
        {"y": np.zeros((2, 2), np.float32)},
        {"y": np.zeros((4, 2), np.float32)},
        {"y": np.zeros((3, 3), np.float32)},
        {"y": np.zeros(6, np.float32)},
        {"y": np.zeros((3, 2, 1), np.float32)},
        {"y": np.zeros((3, 2), np.float32), "z": np.zeros(1)},
    ],
)
def test_a_result_of_another_shape_is_refused(arrays):
    assert code_of(lambda: tensors.check_result(safetensors.numpy.save(arrays), OUTPUTS, 3)) == "result_shape"


def test_a_result_of_the_right_shape_is_taken():
    tensors.check_result(safetensors.numpy.save({"y": np.zeros((3, 2), np.float32)}), OUTPUTS, 3)


def agree(a: Any, b: Any, rtol: float = 1e-3, atol_scale: float = 1e-5) -> bool:
    return tensors.results_agree({"y": np.asarray(a)}, {"y": np.asarray(b)}, rtol=rtol, atol_scale=atol_scale)


F = np.float32
SAME = [
    (F([1, 2]), F([1.0009, 2.0019])),
    (F([1000, 0]), F([1000, 0.009])),
    (F([np.nan, 1]), F([np.nan, 1])),
    (F([np.inf, -np.inf]), F([np.inf, -np.inf])),
    (np.array([1, 2]), np.array([1, 2])),
    (F([]), F([])),
    (np.array([True, False]), np.array([True, False])),
    (F([0.0]), F([-0.0])),
    (np.float16([1]), np.float16([1.0009])),
    (np.float64([1e308]), np.float64([1e308])),
    (F([np.inf, 1]), F([np.inf, 1.0005])),
]
DIFFERENT = [
    (F([1, 2]), F([1.0011, 2])),
    (F([1000, 0]), F([1000, 0.011])),
    (F([1]), F([np.nan])),
    (F([np.nan]), F([1])),
    (F([np.inf]), F([-np.inf])),
    (F([np.inf]), F([3e38])),
    (F([3e38]), F([np.inf])),
    (F([0]), F([1e-30])),
    (np.array([1000000]), np.array([1000001])),
    (np.array([True]), np.array([False])),
    (F([1]), np.float64([1])),
    (F([1]), F([[1]])),
    (F([1]), F([1, 1])),
    (np.array([2**63], np.uint64), np.array([2**63 + 1], np.uint64)),
    (np.float64([1e308]), np.float64([-1e308])),
    (F([1e-3]), F([0])),
]


@pytest.mark.parametrize(("a", "b"), SAME)
def test_the_same_answer(a, b):
    assert agree(a, b)


@pytest.mark.parametrize(("a", "b"), DIFFERENT)
def test_another_answer(a, b):
    assert not agree(a, b)


def test_every_output_must_agree():
    one, two = {"p": F([1]), "q": F([1])}, {"p": F([1]), "q": F([2])}
    assert not tensors.results_agree(one, two, rtol=1e-3, atol_scale=1e-5)
    assert not tensors.results_agree(one, {"p": F([1])}, rtol=1e-3, atol_scale=1e-5)


def test_without_tolerance_only_equal_answers_agree():
    assert agree(F([1, np.nan]), F([1, np.nan]), 0, 0)
    assert not agree(F([1]), np.nextafter(F([1]), F(2)), 0, 0)
