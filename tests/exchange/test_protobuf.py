"""The wire format against the examples of its documentation, and against damaged bytes."""

import numpy as np
import pytest

from cunet.exchange import protobuf
from cunet.exchange.protobuf import Malformed, fields


@pytest.mark.parametrize(
    ("value", "data"),
    [(1, "01"), (150, "9601"), (300, "ac02"), (-2, "feffffffffffffffff01"), (0, "00")],
)
def test_varints_are_those_of_the_documentation(value, data):
    assert protobuf.varint(value).hex() == data
    assert protobuf.read_varint(memoryview(bytes.fromhex(data)), 0) == (
        value % (1 << 64),
        len(data) // 2,
    )


def test_messages_are_those_of_the_documentation():
    assert protobuf.number(1, 150).hex() == "089601"
    assert protobuf.text(2, "testing").hex() == "120774657374696e67"
    assert protobuf.blob(3, protobuf.number(1, 150)).hex() == "1a03089601"
    assert protobuf.single(5, 1.5).hex() == "2d0000c03f"


def test_what_is_written_is_read():
    message = protobuf.number(1, 7) + protobuf.text(2, "grey") + protobuf.single(16, 0.25)
    found = [(f, k, v if k == 0 else bytes(v)) for f, k, v in fields(memoryview(message))]
    assert found == [(1, 0, 7), (2, 2, b"grey"), (16, 5, np.float32(0.25).tobytes())]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("08", "does not end"),
        ("08" + "ff" * 11, "does not end"),
        ("0a05aabb", "3 bytes too late"),
        ("0dffff", "2 bytes too late"),
        ("0b", "unknown kind 3"),
        ("0001", "number 0"),
        ("0affffffffffffffffff01", "too late"),
    ],
)
def test_damaged_bytes_are_refused(data, words):
    with pytest.raises(Malformed, match=words):
        list(fields(memoryview(bytes.fromhex(data))))
