"""Tables as CSV: what another reader gets, digit for digit."""

import csv

import numpy as np

from cunet.files import read_description
from cunet.measuring import csv_text


def table_of():
    rng = np.random.default_rng(0)
    return {
        "page": np.zeros(4, np.int64), "label": np.arange(1, 5),
        "x": rng.random(4) * 1e5 / 3, "tiny": rng.random(4) * 1e-19,
        "low": np.array([0, 255, 7, 1], np.uint8), "f": rng.random(4).astype(np.float32),
        "touches_border": np.array([True, False, False, True]),
    }  # fmt: skip


def test_nothing_is_lost(tmp_path):
    table, path = table_of(), tmp_path / "a.csv"
    made_by = 'cunet segment "a, b\n1".tif, image \u00b5'
    path.write_bytes(csv_text.header([*table]) + csv_text.rows(table, made_by))
    with open(path, newline="", encoding="ascii") as file:
        header, *records = csv.reader(file)
    assert header == [*table, "made_by"] and len(records) == 4
    for k, record in enumerate(records):
        assert record[-1] == 'cunet segment "a, b\n1".tif, image ?'
        for name, text in zip(header, record[:-1], strict=False):
            if name == "touches_border":
                assert text == str(bool(table[name][k])).lower()
            else:
                assert float(text) == float(table[name][k]), name
                assert ("." in text or "e" in text) == (table[name].dtype.kind == "f")
    assert read_description(path) == 'cunet segment "a, b\n1".tif, image ?'
    assert not csv_text.bare(path)


def test_a_header_alone_is_known_and_nothing_else_is(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(csv_text.header([*table_of()]))
    assert path.read_bytes().endswith(b",made_by\r\n") and path.read_bytes().count(b"\n") == 1
    assert csv_text.bare(path) and read_description(path) == ""
    for other in (b"", b"a,b\r\n", b"page,label,x", b"page,label,x\r\n1,2,3\r\n"):
        path.write_bytes(other)
        assert not csv_text.bare(path) and read_description(path) == ""
    assert not csv_text.bare(tmp_path / "missing.csv")
