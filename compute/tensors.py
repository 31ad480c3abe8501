"""Tensors in files: customers' `.npy` and `.safetensors`, and the safetensors files of unit inputs and results.

All files come from untrusted sources. Pickle is never used; shapes and sizes are checked before an array is allocated.
"""

import io
import json
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy
from numpy.lib import format as npy_format

from core.errors import InvalidInput

Array = npt.NDArray[Any]
NPY, SAFETENSORS = "npy", "safetensors"
NAME_MAX_LENGTH = 256
TENSORS_MAX = 64
SINGLE = ""  # the name of the one tensor in a .npy file
# safetensors dtype name -> numpy dtype name (from the specification of the safetensors format)
DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
}


@dataclass(frozen=True)
class Tensor:
    """The numpy dtype name and the shape of a tensor."""

    dtype: str
    shape: tuple[int, ...]


def describe(path: Path, file_format: str) -> dict[str, Tensor]:
    """Return the tensors of a file by name, read from its header alone. Raise InvalidInput `input_unreadable`."""
    try:
        if file_format == NPY:
            array = _open_npy(path)
            return {SINGLE: Tensor(array.dtype.name, array.shape)}
        with safetensors.safe_open(path, framework="numpy") as file:
            if len(file.keys()) > TENSORS_MAX:
                raise ValueError("too many tensors")
            if any("\0" in name or len(name) > NAME_MAX_LENGTH for name in file.keys()):  # noqa: SIM118 - not a mapping
                raise ValueError("unusable name")
            slices = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            return {name: Tensor(DTYPES[s.get_dtype()], tuple(s.get_shape())) for name, s in slices.items()}
    # numpy parses the header of a .npy file as a Python literal, so a hostile header may raise MemoryError, TokenError,
    # TypeError and others.
    except Exception as error:
        raise InvalidInput(f"This is not a readable .{file_format} file.", code="input_unreadable") from error


def item_count(tensors: Mapping[str, Tensor]) -> int:
    """Return the length of the first axis, which all tensors must share. Raise InvalidInput `rows_differ` otherwise."""
    lengths = {tensor.shape[0] if tensor.shape else 0 for tensor in tensors.values()}
    if len(lengths) != 1 or 0 in lengths:
        raise InvalidInput("Every tensor needs the same number of rows, at least one.", code="rows_differ")
    return int(lengths.pop())


def slices(path: Path, file_format: str, names: Sequence[str], step: int, total: int) -> Iterator[bytes]:
    """Yield the items as consecutive safetensors files of `step` items each. `names` are the model's input names."""
    if file_format == NPY:
        array = _open_npy(path)
        for first in range(0, total, step):
            yield safetensors.numpy.save({names[0]: np.ascontiguousarray(array[first : first + step])})
        return
    with safetensors.safe_open(path, framework="numpy") as file:
        views = {name: file.get_slice(name) for name in names}
        for first in range(0, total, step):
            last = min(first + step, total)
            yield safetensors.numpy.save({name: np.ascontiguousarray(v[first:last]) for name, v in views.items()})


def load_result(data: bytes) -> dict[str, Array]:
    """Return the arrays of a result file by name. Raise InvalidInput `result_unreadable`."""
    try:
        return safetensors.numpy.load(data)
    except (ValueError, KeyError, safetensors.SafetensorError) as error:
        raise InvalidInput("The result is not a readable safetensors file.", code="result_unreadable") from error


def check_result(data: bytes, outputs: Sequence[Mapping[str, Any]], items: int) -> None:
    """Refuse a result whose names, dtypes or shapes are not those of the model's outputs for `items` items.

    `outputs` is ModelArtifact.outputs; null in a shape means any length. Raise InvalidInput `result_shape`.
    """
    arrays = load_result(data)
    if set(arrays) != {output["name"] for output in outputs}:
        raise InvalidInput("The result does not have the model's outputs.", code="result_shape")
    for output in outputs:
        array = arrays[output["name"]]
        declared = [items, *output["shape"][1:]]
        fits = array.ndim == len(declared) and all(
            want is None or have == want for have, want in zip(array.shape, declared, strict=True)
        )
        if not fits or array.dtype.name != output["dtype"]:
            raise InvalidInput(f"Output {output['name']} has another shape or type.", code="result_shape")


def join_results(header_of: Mapping[str, Tensor], parts: Iterator[Iterator[bytes]]) -> Iterator[bytes]:
    """Yield a safetensors file in chunks: the header of the complete tensors, then the bytes of each tensor.

    `parts` has one iterator of bytes for each tensor, in the order of `header_of`.
    """
    header, offset = {}, 0
    for name, tensor in header_of.items():
        size = int(np.prod(tensor.shape, dtype=np.int64)) * np.dtype(tensor.dtype).itemsize
        kind = next(code for code, dtype in DTYPES.items() if dtype == tensor.dtype)
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [offset, offset + size]}
        offset += size
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    yield struct.pack("<Q", len(text)) + text
    for part in parts:
        yield from part


def as_npy(path: Path, name: str) -> bytes:
    """Return one tensor of a result file as `.npy` bytes. Raise InvalidInput `output_unknown` for an unknown name."""
    with safetensors.safe_open(path, framework="numpy") as file:
        if name not in file.keys():  # noqa: SIM118 - not a mapping
            raise InvalidInput("There is no such output.", code="output_unknown", outputs=sorted(file.keys()))
        buffer = io.BytesIO()
        np.save(buffer, file.get_tensor(name), allow_pickle=False)
        return buffer.getvalue()


def results_agree(left: Mapping[str, Array], right: Mapping[str, Array], *, rtol: float, atol_scale: float) -> bool:
    """Return whether two results of one unit agree: |a - b| <= atol_scale x max|a| + rtol x |a| for every element.

    A bound for every element is stricter than cosine similarity, which would accept the results of a cheaper model.
    """
    if left.keys() != right.keys():
        return False
    return all(_close(left[name], right[name], rtol, atol_scale) for name in left)


def _close(a: Array, b: Array, rtol: float, atol_scale: float) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype:
        return False
    if not np.issubdtype(a.dtype, np.floating):
        return bool(np.array_equal(a, b))
    finite = np.abs(a[np.isfinite(a)]).astype(np.float64)
    scale = float(finite.max()) if finite.size else 0.0
    wide = a.astype(np.float64), b.astype(np.float64)
    with np.errstate(over="ignore"):  # a difference that overflows is infinite, so it counts as a difference
        return bool(np.allclose(wide[1], wide[0], rtol=rtol, atol=atol_scale * scale, equal_nan=True))


def _open_npy(path: Path) -> Array:
    with np.errstate(over="raise"):  # refuse a shape whose number of elements overflows a machine word
        array = npy_format.open_memmap(path, mode="r")
    if array.dtype.name not in DTYPES.values() or not array.flags.c_contiguous or array.dtype.byteorder == ">":
        raise ValueError("unsupported array")
    return array
