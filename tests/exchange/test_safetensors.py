"""Files of named arrays: the safetensors package reads ours and we read its own; headers that are
not as the format has them are refused."""

import json

import numpy as np
import pytest

from cunet.errors import DataError
from cunet.exchange import safetensors

theirs = pytest.importorskip("safetensors.numpy")

rng = np.random.default_rng(3)
ARRAYS = {
    "b": rng.normal(size=(2, 3)).astype(np.float32),
    "a.weight": rng.normal(size=(3, 1, 2, 2)),
    "half": rng.normal(size=5).astype(np.float16),
    "count": np.array(7, np.int64),
    "none": np.zeros((0, 4), np.float32),
}


def same(found, expected):
    return found.keys() == expected.keys() and all(
        found[n].dtype == a.dtype and np.array_equal(found[n], a) for n, a in expected.items()
    )


def test_the_package_reads_ours(tmp_path):
    path = tmp_path / "a.safetensors"
    strided = ARRAYS | {"turned": ARRAYS["a.weight"].transpose(2, 0, 3, 1)}
    safetensors.write(path, strided, {"format": "pt"})
    assert same(theirs.load_file(path), strided)


def test_we_read_the_package_s(tmp_path):
    path = tmp_path / "a.safetensors"
    theirs.save_file(ARRAYS, path, {"format": "pt", "words": "grüße"})
    found, metadata = safetensors.read(path)
    assert same({name: one.read() for name, one in found.items()}, ARRAYS)
    assert metadata == {"format": "pt", "words": "grüße"}
    assert found["half"].kind == "float16" and found["b"].shape == (2, 3)


def test_bfloat16_is_the_upper_half_of_float32(tmp_path):
    path, values = tmp_path / "a.safetensors", np.array([1.5, -3.0, 2**-30], np.float32)
    data = (values.view("<u4") >> 16).astype("<u2").tobytes()
    path.write_bytes(file_of({"x": ["BF16", [3], [0, 6]]}, data))
    assert np.array_equal(safetensors.read(path)[0]["x"].read(), values)


def file_of(entries, data, header=None):
    table = {n: dict(zip(("dtype", "shape", "data_offsets"), e, strict=True))
             for n, e in entries.items()}  # fmt: skip
    text = json.dumps(table).encode() if header is None else header
    return len(text).to_bytes(8, "little") + text + data


F = "F32"


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"1234", "cut off"),
        ((1 << 62).to_bytes(8, "little") + b"{}", "a header of"),
        (file_of({}, b"", b"[1]"), "no table"),
        (file_of({}, b"", b"[" * 5000), "no JSON"),
        (file_of({}, b"", b'{"a": 1, "a": 2}'), "two entries"),
        (file_of({}, b"", b'{"a": 1}'), "has no dtype"),
        (file_of({}, b"", b'{"__metadata__": 3}'), "metadata"),
        (file_of({"x": ["F31", [1], [0, 4]]}, b"1234"), "dtype 'F31'"),
        (file_of({"x": [F, [-1], [0, 4]]}, b"1234"), "shape"),
        (file_of({"x": [F, [1.0], [0, 4]]}, b"1234"), "shape"),
        (file_of({"x": [F, [True], [0, 4]]}, b"1234"), "shape"),
        (file_of({"x": [F, [2], [0, 4]]}, b"1234"), "has 4 bytes"),
        (file_of({"x": [F, [1 << 61, 1 << 61], [0, 4]]}, b"1234"), "has 4 bytes"),
        (file_of({"x": [F, [1], [4, 8]]}, b"1234"), "4 bytes behind the file"),
        (file_of({"x": [F, [1], [4, 8]]}, b"12345678"), "begins at byte 4"),
        (file_of({"x": [F, [1], [0, 4]], "y": [F, [1], [0, 4]]}, b"1234"), "begins at byte 0"),
        (file_of({"x": [F, [1], [0, 4]], "y": [F, [1], [8, 12]]}, b"123456789012"), "byte 8"),
        (file_of({"x": [F, [1], [0, 4]]}, b"12345"), "1 bytes belong to no array"),
        (file_of({"x": [F, [1], [4, 0]]}, b"1234"), "bytes"),
    ],
)
def test_headers_that_lie_are_refused(tmp_path, data, words):
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    with pytest.raises(DataError, match=words) as raised:
        safetensors.read(path)
    assert str(path) in str(raised.value)
