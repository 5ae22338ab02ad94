"""Model files that are damaged on purpose: every claim is checked before anything is made of it."""

import itertools
import json
import os
import struct
import tracemalloc
import zipfile
from io import BytesIO

import numpy as np
import pytest

import cunet
from cunet.errors import CunetError, DataError, DeviceError, NumericError
from cunet.net import checkpoint
from cunet.net.array_shapes import parameter_shapes, statistic_shapes
from cunet.net.normalization import Normalization
from cunet.net.shape import Shape

ARGUMENTS = {
    "width": [1, 3], "depth": [1, 2, 3], "in_channels": [1, 3], "classes": [2, 4],
    "variant": ["paper", "release2015"], "batch_norm": [False, True], "sigmoid": [False, True],
}  # fmt: skip


def test_shapes_by_arithmetic_are_those_of_the_network():
    tried = 0
    for values in itertools.product(*ARGUMENTS.values()):
        given = dict(zip(ARGUMENTS, values, strict=True))
        if given["sigmoid"] and given["classes"] != 2:
            continue
        net = cunet.UNet(**given)
        found = {p.name: p.value.shape for p in net.parameters()}
        assert list(parameter_shapes(net.shape).items()) == list(found.items()), given
        assert statistic_shapes(net.shape) == {k: v.shape for k, v in net.statistics().items()}
        tried += 1
    assert tried == 2 * 3 * 2 * 2 * 2 * 3


# Files that lie


@pytest.fixture
def path(tmp_path):
    """A resumable model file with batch normalization and Adam."""
    net = cunet.UNet(width=2, depth=1, batch_norm=True)
    solver = cunet.Adam(net.parameters(), lr=0.1)
    for p in net.parameters():
        p.grad += 1
    solver.step()
    progress = {"step": 1, "seconds": 0.5, "best": None, "best_step": None}
    checkpoint.save(tmp_path / "net.npz", net, solver, progress)
    return tmp_path / "net.npz"


def members(path):
    with zipfile.ZipFile(path) as file:
        return {name: file.read(name) for name in file.namelist()}


def write(path, parts, packing=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", packing) as file:
        for name, content in parts.items():
            file.writestr(name, content)


def npy(array):
    output = BytesIO()
    np.save(output, array)
    return output.getvalue()


def with_array(path, name, change):
    parts = members(path)
    array = np.load(BytesIO(parts[f"{name}.npy"]))
    write(path, parts | {f"{name}.npy": npy(change(array))})


def with_header(path, change):
    parts = members(path)
    header = json.loads(str(np.load(BytesIO(parts["header.npy"]))))
    change(header)
    write(path, parts | {"header.npy": npy(np.array(json.dumps(header)))})


def refused(path, match="model"):
    with pytest.raises(DataError, match=match) as caught:
        cunet.load(path)
    assert caught.value.exit_code == 3 and str(path) in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value).replace(str(path), "")) < 300


def put(value, at=0):
    def change(array):
        array.flat[at] = value
        return array

    return change


ARRAYS = [
    ("head.biases", put(np.nan), "head.biases.*NaN"),
    ("contract1.conv1.filters", put(-np.inf, 3), "contract1.conv1.filters.*infinity"),
    ("contract0.conv1.variance", put(-1e-6), "variance.*negative"),
    ("contract0.conv1.mean", put(np.nan), "NaN"),
    ("solver/m/head.filters", put(np.nan), "NaN"),
    ("solver/v/head.filters", put(-1), "negative"),
    ("head.biases", lambda a: a.astype("f8"), "float64.*float32"),
    ("head.biases", lambda a: a.astype("f2"), "float16"),
    ("head.biases", lambda a: a.astype(">f4"), "head.biases"),
    ("head.biases", lambda a: a.astype("c8"), "complex64"),
    ("head.biases", lambda a: a.astype("i4"), "int32"),
    ("head.biases", lambda a: a.astype(bool), "bool"),
    ("head.biases", lambda a: a.astype("U8"), "head.biases"),
    ("head.biases", lambda a: a[:, None], "shape"),
    ("head.biases", lambda a: a[:1], "shape"),
    ("solver/m/head.biases", lambda a: a[:1], "shape"),
    ("solver/v/head.biases", lambda a: a.astype("f8"), "float64"),
    ("contract0.conv1.variance", lambda a: a.astype("f2"), "float16"),
]


@pytest.mark.parametrize(("name", "change", "match"), ARRAYS, ids=range(len(ARRAYS)))
def test_arrays_that_no_training_leaves(path, name, change, match):
    with_array(path, name, change)
    refused(path, match)


def set_net(**values):
    return lambda header: header["net"].update(values)


def set_norm(**values):
    return lambda header: header["normalization"].update(values)


def put_in(**values):
    return lambda header: header.update(values)


NAN = float("nan")
HEADERS = [
    *[set_net(width=w) for w in (3, 0, -1, True, 2.0, "2", None, [2], 10**9, 10**400)],
    *[set_net(depth=d) for d in (2, 0, 12, 13, 1000, 10**30, 1.0, False)],
    *[set_net(classes=c) for c in (3, 1, 256, "2")],
    *[set_net(in_channels=c) for c in (3, 0, 10**7)],
    *[set_net(dropout=d) for d in (1, -0.1, NAN, "0.5", None, True)],
    *[set_net(dtype=d) for d in ("float16", "float64", ">f4", "object", 4, None)],
    *[set_net(seed=s) for s in (-1, 0.5, None, 10**30)],
    *[set_net(resize=r) for r in (0, -5, 1e3, 10**6, "big", True)],
    *[set_net(batch_norm=b) for b in (False, 1, None)],
    *[set_net(sigmoid=s) for s in (True, 0)],
    *[set_net(padding=p) for p in ("same ", 3, None)],
    *[set_net(variant=v) for v in ("release2015", "", ["paper"], None)],
    set_net(device="cuda"), set_net(engine="os"), lambda h: h["net"].pop("width"),
    *[set_norm(mean=m) for m in ([], [0.0, 0.0], 0.0, None, [NAN], ["0"], [True], [10**400])],
    *[set_norm(deviation=[d]) for d in (0.0, -1.0, NAN, float("inf"))],
    *[set_norm(low=v) for v in ([], [float("inf")], [None], "1")],
    *[set_norm(per_image=p) for p in (1, "yes", None, [])],
    set_norm(more=[1.0]), lambda h: h["normalization"].pop("low"),
    *[put_in(done=d) for d in (-1, 1.5, "1", None, True, 10**30)],
    *[put_in(scaling=s) for s in (1, [1.0], [1.0, 2.0, NAN], [-1.0, 0, 0], "abc", {}, [0, 0, 0])],
    *[put_in(progress=p) for p in (None, [], 3, {"step": -1}, {"step": 1.5}, {"step": "1"})],
    *[put_in(progress={"step": 1, "seconds": s}) for s in (NAN, -1, "1", None)],
    *[put_in(progress={"best": b}) for b in (NAN, "0.1", [0.1])],
    *[put_in(format=f) for f in (True, 1.0, 2, None, "1", [1])],
    *[put_in(net=n) for n in (None, [], {}, "net")],
    *[put_in(normalization=n) for n in (None, [], {})],
]  # fmt: skip


@pytest.mark.parametrize("change", HEADERS, ids=range(len(HEADERS)))
def test_headers_that_no_version_wrote(path, change):
    with_header(path, change)
    refused(path)


def test_a_good_file_passes_all_of_this(path):
    with_header(path, lambda header: None)
    net = cunet.load(path)
    header, arrays = checkpoint.read(path)
    assert net.shape == Shape(2, 1, batch_norm=True) and header["done"] == 1
    assert arrays.keys() == {n.removesuffix(".npy") for n in members(path)} - {"header"}
    for name, content in members(path).items():
        if name != "header.npy":
            np.testing.assert_array_equal(arrays[name[:-4]], np.load(BytesIO(content)))
    by_columns = {p.name: np.asfortranarray(p.value) for p in net.parameters()}
    parts = members(path) | {f"{name}.npy": npy(a) for name, a in by_columns.items()}
    write(path, parts, zipfile.ZIP_DEFLATED)
    for p, q in zip(net.parameters(), cunet.load(path).parameters(), strict=True):
        np.testing.assert_array_equal(p.value, q.value)


def head_of(descr, shape):
    output = BytesIO()
    what = {"descr": descr, "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(output, what)
    return output.getvalue()


DEEP = "[" * 100_000 + "]" * 100_000
HOSTILE = {
    "garbage": {"head.biases.npy": b"garbage"},
    "empty member": {"head.biases.npy": b""},
    "claims 4 TB": {"head.biases.npy": head_of("<f4", (10**12,))},
    "claims less than nothing": {"head.biases.npy": head_of("<f4", (-2,)) + bytes(8)},
    "a wide type": {"head.biases.npy": head_of("|V4", (2,)) + bytes(8)},
    "a table": {"head.biases.npy": head_of([("a", "<f2"), ("b", "<f2")], (2,)) + bytes(8)},
    "a pickle": {"head.biases.npy": head_of("|O", (2,)) + b"cos\nsystem\n(S'true'\ntR."},
    "more than it says": {"head.biases.npy": npy(np.zeros(2, "f4")) + bytes(64)},
    "nested text": {"head.biases.npy": b"\x93NUMPY\x01\x00\xff\x7f" + b"(" * 0x7FFF},
    "long header of version 2": {
        "head.biases.npy": b"\x93NUMPY\x02\x00" + struct.pack("<L", 50 << 20) + bytes(50 << 20)
    },
    "header of zeros": {"header.npy": npy(np.zeros((), "U200000"))},
    "header of no characters": {
        "header.npy": head_of("<U2", ()) + struct.pack("<2L", 0x110000, 0xFFFFFFFF)
    },
    "header too long": {"header.npy": npy(np.array(" " * 1_100_000))},
    "header of many": {"header.npy": npy(np.array(["{}", "{}"]))},
    "header of bytes": {"header.npy": npy(np.array(b"{}"))},
    "nested header": {"header.npy": npy(np.array(DEEP))},
    "header of one long number": {"header.npy": npy(np.array("1" * 100_000))},
}


@pytest.mark.parametrize("parts", HOSTILE.values(), ids=HOSTILE)
def test_a_small_file_takes_little_memory(path, parts):
    write(path, members(path) | parts, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    try:
        refused(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_zeros_that_unpack_to_gigabytes(path):
    """A network of half a gigabyte, told and packed consistently in a megabyte."""
    shape = Shape(64, 4)
    header = json.loads(str(np.load(BytesIO(members(path)["header.npy"]))))
    header["net"].update(width=64, depth=4, batch_norm=False)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as file:
        file.writestr("header.npy", npy(np.array(json.dumps(header))))
        del header["done"]
        for name, size in parameter_shapes(shape).items():
            for prefix in ("", "solver/m/", "solver/v/"):
                file.writestr(f"{prefix}{name}.npy", npy(np.zeros(size, "f4")))
    assert path.stat().st_size < 1 << 20
    tracemalloc.start()
    try:
        refused(path, "unpack to 372,")
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


def test_members_that_are_not_asked_for_are_not_read(path):
    before = cunet.load(path)
    parts = members(path) | {"hidden.npy": bytes(200 << 20), "a/b.txt": b"no array"}
    write(path, parts, zipfile.ZIP_DEFLATED)
    tracemalloc.start()
    try:
        after = cunet.load(path)
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()
    for p, q in zip(before.parameters(), after.parameters(), strict=True):
        np.testing.assert_array_equal(p.value, q.value)


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_tables_of_members_that_lie(path):
    parts = members(path)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("head.biases.npy", npy(np.ones(2, "f4")))
    refused(path, "two members of one name")
    write(path, parts)
    with zipfile.ZipFile(path, "a") as file:
        file.writestr("head.biases", npy(np.ones(2, "f4")))
    refused(path, "two members of one name")
    write(path, parts, zipfile.ZIP_LZMA)
    refused(path, "packed")
    write(path, parts | {f"{i:05}": b"" for i in range(30_000)})
    refused(path, "too many members")
    write(path, {name: content for name, content in parts.items() if name != "header.npy"})
    refused(path, "no 'header'")


def test_what_is_no_regular_file(tmp_path):
    os.mkfifo(tmp_path / "pipe.npz")  # a reader would wait for a writer
    refused(tmp_path / "pipe.npz", "not a regular file")
    with pytest.raises(DataError, match="/dev/zero.*not a regular file"):
        cunet.load("/dev/zero")


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_that_the_system_does_not_give_is_not_damaged(path, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("builtins.open", refuse)
    with pytest.raises(
        CunetError, match="cannot read model '.*net.npz': Permission denied"
    ) as caught:
        cunet.load(path)
    assert caught.value.exit_code == 2


def test_no_memory_to_read_a_model_names_it(path, monkeypatch):
    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr("cunet.net.npz.NpzFile.read", fail)
    with pytest.raises(DeviceError, match=path.name):
        cunet.load(path)


def test_a_solver_must_be_whole(path):
    parts = members(path)
    del parts["solver/v/head.biases.npy"]
    write(path, parts)
    refused(path, "solver/v/head.biases.*missing")


# What is written


def test_as_many_channels_as_a_network_may_have(tmp_path):
    net = cunet.UNet(width=1, depth=1, in_channels=4096)
    third = (1 / 3,) * 4096
    net.normalization = Normalization(third, third, third, third)
    cunet.save(tmp_path / "net.npz", net)
    assert cunet.load(tmp_path / "net.npz").normalization == net.normalization


@pytest.mark.parametrize("value", [NAN, float("inf")])
def test_a_network_of_no_numbers_replaces_no_file(tmp_path, value):
    net = cunet.UNet(width=2, depth=1)
    cunet.save(tmp_path / "net.npz", net)
    before = (tmp_path / "net.npz").read_bytes()
    net.parameters()[3].value[1] = value
    with pytest.raises(NumericError, match="contract0.conv2.biases") as caught:
        cunet.save(tmp_path / "net.npz", net)
    assert caught.value.exit_code == 5
    assert (tmp_path / "net.npz").read_bytes() == before and len(os.listdir(tmp_path)) == 1


def test_weights_too_large_for_half_the_size(tmp_path):
    net = cunet.UNet(width=2, depth=1)
    net.parameters()[0].value[...] = 1e5
    with pytest.raises(NumericError, match="contract0.conv1.filters.*float16"):
        checkpoint.save(tmp_path / "half.npz", net, half=True)
    checkpoint.save(tmp_path / "full.npz", net)
    assert cunet.load(tmp_path / "full.npz").parameters()[0].value.max() == np.float32(1e5)
