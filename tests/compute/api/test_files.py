"""`/api/v1/files`: uploaded tensors are described from their header, checked, and never unpickled."""

import io
import json
import pickle
import struct

import numpy as np
import pytest
import safetensors.numpy

from compute import blobs
from compute.models import InputFile
from tests import factories

pytestmark = pytest.mark.django_db
BINARY = "application/octet-stream"
ROWS = np.arange(12, dtype=np.float32).reshape(3, 4)


@pytest.fixture
def acme():
    return factories.make_organization("acme@example.com")


@pytest.fixture
def client(acme, api):
    client = api(factories.make_key(acme)[1])
    client.raise_request_exception = False  # a crash of the server becomes a 500 here
    return client


def npy(array, **options):
    buffer = io.BytesIO()
    np.save(buffer, array, **options)
    return buffer.getvalue()


def npy_of(header: str, data: bytes = b"", version=(1, 0)) -> bytes:
    """Return a .npy file with the given header."""
    text = header.encode("latin-1")
    return b"\x93NUMPY" + bytes(version) + struct.pack("<H", len(text)) + text + data


def safetensors_of(header: object, data: bytes = b"") -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def upload(client, data, file_format="npy"):
    return client.post(f"/api/v1/files?format={file_format}", data, content_type=BINARY)


def refusal(client, data, file_format="npy"):
    answer = upload(client, data, file_format)
    assert not InputFile.objects.exists()
    assert answer.status_code == 400, answer.content[:300]
    return answer.json()["error"]["code"]


# --- good files
# ---------------------------------------------------------------------------------------------------------


def test_a_npy_file_has_one_tensor_without_a_name(acme, client):
    data = npy(ROWS)
    answer = upload(client, data)
    body = answer.json()
    assert answer.status_code == 201
    assert (body["format"], body["items"], body["size_bytes"]) == ("npy", 3, len(data))
    assert body["tensors"] == {"": {"dtype": "float32", "shape": [3, 4]}}
    assert blobs.read(body["sha256"]) == data
    assert InputFile.objects.get().organization == acme


def test_a_safetensors_file_has_names(client):
    data = safetensors.numpy.save({"ids": np.zeros((5, 7), np.int64), "mask": np.zeros((5, 7), np.bool_)})
    body = upload(client, data, "safetensors").json()
    assert (body["format"], body["items"]) == ("safetensors", 5)
    assert body["tensors"] == {
        "ids": {"dtype": "int64", "shape": [5, 7]},
        "mask": {"dtype": "bool", "shape": [5, 7]},
    }


def test_the_same_file_again_is_the_same(client):
    first, second = upload(client, npy(ROWS)), upload(client, npy(ROWS))
    assert (first.status_code, second.status_code) == (201, 200)
    assert first.json() == second.json()


def test_the_list_is_mine(client, api):
    upload(client, npy(ROWS))
    globex = api(factories.make_key(factories.make_organization())[1])
    assert len(client.get("/api/v1/files").json()["results"]) == 1
    assert globex.get("/api/v1/files").json()["results"] == []


@pytest.mark.parametrize(
    "dtype", ["bool", "int8", "uint8", "int16", "int32", "int64", "uint64", "float16", "float32", "float64"]
)
def test_every_plain_type(client, dtype):
    body = upload(client, npy(np.zeros((2, 3), dtype))).json()
    assert body["tensors"][""]["dtype"] == dtype


@pytest.mark.parametrize("shape", [(3,), (3, 1), (1, 1, 1, 1), (3, 0)])
def test_every_plain_shape(client, shape):
    body = upload(client, npy(np.zeros(shape, np.float32))).json()
    assert (body["items"], body["tensors"][""]["shape"]) == (shape[0], list(shape))


# --- bad files
# ----------------------------------------------------------------------------------------------------------


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("the server unpickled a stranger's bytes",))


@pytest.mark.parametrize("file_format", ["npy", "safetensors"])
def test_a_pickle_is_refused_unopened(client, file_format):
    assert refusal(client, pickle.dumps(Bomb()), file_format) == "input_unreadable"


def test_a_npy_of_objects_is_refused_unopened(client):
    assert refusal(client, npy(np.array([[Bomb()]], dtype=object), allow_pickle=True)) == "input_unreadable"


@pytest.mark.parametrize("keep", [0, 5, 6, 8, 9, 20, 100, 127, 128, 129, 150])
def test_a_truncated_npy(client, keep):
    assert refusal(client, npy(ROWS)[:keep]) == "input_unreadable"


@pytest.mark.parametrize("keep", [0, 1, 7, 8, 20, 60, 100])
def test_a_truncated_safetensors(client, keep):
    assert refusal(client, safetensors.numpy.save({"x": ROWS})[:keep], "safetensors") == "input_unreadable"


def test_one_in_the_clothes_of_the_other(client):
    assert refusal(client, npy(ROWS), "safetensors") == "input_unreadable"
    assert refusal(client, safetensors.numpy.save({"x": ROWS}), "npy") == "input_unreadable"


@pytest.mark.parametrize(
    "array",
    [
        np.asfortranarray(ROWS),
        ROWS.astype(">f4"),
        ROWS.astype(np.complex64),
        np.array([["a"]]),
        np.array([b"a"]),
        np.array([["2026-01-01"]], dtype="datetime64[D]"),
        np.zeros(2, dtype=[("a", "f4")]),
    ],
    ids=["fortran", "big endian", "complex", "text", "bytes", "dates", "records"],
)
def test_layouts_and_types_that_no_tensor_has(client, array):
    assert refusal(client, npy(array)) == "input_unreadable"


HEADERS = {
    "no dictionary": "[1, 2]\n",
    "open bracket": "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4\n",
    "open string": "{'descr': '<f4\n",
    "a call": "__import__('os').system('true')\n",
    "deep": "(" * 5000 + "\n",
    "deep minus": "-" * 9000 + "1\n",
    "long": " " * 20000 + "\n",
    "huge": "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }\n",
    "huger": "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999999, 4), }\n",
    "more than there is": "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 4), }\n",
    "negative": "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, -4), }\n",
    "one negative": "{'descr': '<f4', 'fortran_order': False, 'shape': (-3, 4), }\n",
    "text in the shape": "{'descr': '<f4', 'fortran_order': False, 'shape': ('3', 4), }\n",
    "no such type": "{'descr': '<q9', 'fortran_order': False, 'shape': (3, 4), }\n",
    "strange type": "{'descr': [('a', 'O')], 'fortran_order': False, 'shape': (3, 4), }\n",
    "type is a number": "{'descr': 7, 'fortran_order': False, 'shape': (3, 4), }\n",
    "zero bytes": "\x00" * 118 + "\n",
    "nothing": "",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_malicious_npy_header(client, name):
    assert refusal(client, npy_of(HEADERS[name], ROWS.tobytes())) == "input_unreadable"


@pytest.mark.parametrize("version", [(0, 0), (4, 0), (255, 255)])
def test_a_npy_version_that_there_is_not(client, version):
    good = "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n"
    assert refusal(client, npy_of(good, ROWS.tobytes(), version)) == "input_unreadable"


SPEC = {"dtype": "F32", "shape": [3, 4], "data_offsets": [0, 48]}
TABLES = {
    "not json": b"{" * 100,
    "not an object": [1],
    "gap": {"x": SPEC | {"data_offsets": [8, 56]}},
    "overlap": {"x": SPEC, "y": SPEC},
    "wrong length": {"x": SPEC | {"shape": [3, 5]}},
    "negative": {"x": SPEC | {"shape": [-3, -4]}},
    "overflow": {"x": SPEC | {"shape": [2**62, 4]}},
    "no such type": {"x": SPEC | {"dtype": "F31"}},
    "a type that numpy lacks": {"x": SPEC | {"dtype": "BF16", "shape": [3, 8]}},
    "twice": b'{"x":{"dtype":"F32","shape":[3,4],"data_offsets":[0,48]},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
    "huge header": struct.pack("<Q", 2**40),
}


@pytest.mark.parametrize("name", TABLES)
def test_a_malicious_safetensors_header(client, name):
    assert refusal(client, safetensors_of(TABLES[name], ROWS.tobytes()), "safetensors") == "input_unreadable"


def test_no_tensor_at_all(client):
    assert refusal(client, safetensors.numpy.save({}), "safetensors") == "rows_differ"


@pytest.mark.parametrize(
    "tensors",
    [
        {"a": np.zeros((3, 2)), "b": np.zeros((4, 2))},
        {"a": np.zeros((0, 2))},
        {"a": np.zeros(())},
        {"a": np.zeros((3, 2)), "b": np.zeros(())},
    ],
    ids=["differ", "none", "scalar", "one scalar"],
)
def test_the_first_axis_counts_items(client, tensors):
    assert refusal(client, safetensors.numpy.save(tensors), "safetensors") == "rows_differ"


def test_no_rows_and_no_axis_in_a_npy(client):
    assert refusal(client, npy(np.zeros((0, 4), np.float32))) in ("rows_differ", "input_unreadable")
    assert refusal(client, npy(np.float32(1))) == "rows_differ"


@pytest.mark.parametrize("name", ["a\x00b", "\x00"])
def test_names_that_a_database_cannot_keep(client, name):
    assert refusal(client, safetensors.numpy.save({name: ROWS}), "safetensors") == "input_unreadable"


@pytest.mark.parametrize("name", ["Ünïcode", "", "a b", "../../etc/passwd", "__proto__", "x" * 200])
def test_names_that_are_only_odd(client, name):
    body = upload(client, safetensors.numpy.save({name: ROWS}), "safetensors").json()
    assert list(body["tensors"]) == [name]


# --- around the file
# ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file_format", ["", "NPY", "npz", "pickle", "csv"])
def test_the_format_must_be_said(client, file_format):
    assert refusal(client, npy(ROWS), file_format) == "format_unknown"


def test_a_file_that_is_too_large(client, settings):
    settings.INPUT_MAX_BYTES = 100
    answer = upload(client, npy(ROWS))
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "too_large")
    assert not [path for path in settings.BLOB_ROOT.rglob("*") if path.is_file()]
