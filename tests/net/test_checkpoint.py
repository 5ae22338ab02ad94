"""Model files: the round trip, damage of every kind, and writes that fail."""

import errno
import json
import os

import numpy as np
import pytest

import cunet
from cunet.errors import CunetError, DataError, DeviceError
from cunet.files import atomic
from cunet.net import checkpoint
from cunet.net.normalization import Normalization


def make_net(seed=0, **more):
    return cunet.UNet(**{"width": 2, "depth": 1, "seed": seed} | more)


def same_arrays(one, other):
    assert len(one) == len(other)
    for p, q in zip(one, other, strict=True):
        assert p.name == q.name and p.value.dtype == q.value.dtype
        np.testing.assert_array_equal(p.value, q.value)


def rewritten(path, change):
    """The arrays of a model file after change(arrays), written back by NumPy alone."""
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(path, **arrays)
    return path


def rewritten_header(path, change):
    def edit(arrays):
        header = json.loads(str(arrays["header"]))
        arrays["header"] = np.array(json.dumps(change(header)))

    return rewritten(path, edit)


@pytest.mark.parametrize("name", ["net.npz", "net", "net.model"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_round_trip_bit_for_bit(tmp_path, name, dtype):
    net = make_net(3, in_channels=2, classes=3, dropout=0.25, variant="release2015", dtype=dtype)
    for p in net.parameters():  # also what no formula gives back
        p.value[...] = np.random.default_rng(1).standard_normal(p.value.shape)
    net.normalization = Normalization((0.1, 1 / 3), (2.0, 1e-7), (float("nan"), 1.0), (5.0, 2.0))
    cunet.save(tmp_path / name, net)
    again = cunet.load(str(tmp_path / name))
    same_arrays(net.parameters(), again.parameters())
    assert again.settings() == net.settings()
    for field in ("mean", "deviation", "low", "high"):
        a, b = (np.array(getattr(n.normalization, field)) for n in (net, again))
        np.testing.assert_array_equal(a, b)
    assert os.listdir(tmp_path) == [name]
    image = np.random.default_rng(0).random((9, 7, 2))
    np.testing.assert_array_equal(cunet.segment(image, net, 18), cunet.segment(image, again, 18))


@pytest.mark.parametrize("solver", ["SGD", "Adam"])
def test_solver_and_progress_round_trip(tmp_path, solver):
    net, path = make_net(), tmp_path / "last.npz"
    one = getattr(cunet, solver)(net.parameters(), lr=0.1)
    for step in range(3):
        for p in net.parameters():
            p.grad += np.sin(np.arange(p.value.size) + step).reshape(p.value.shape)
        one.step()
    checkpoint.save(path, net, one, {"step": 3, "best": None, "seconds": 0.1})
    header, arrays = checkpoint.read(path)
    assert header["progress"] == {"step": 3, "best": None, "seconds": 0.1}
    again = checkpoint.build(path, header, arrays, "cpu")
    two = getattr(cunet, solver)(again.parameters(), lr=0.1)
    checkpoint.restore(path, header, arrays, two)
    assert two.done == 3 and two.state().keys() == one.state().keys()
    for name, array in two.state().items():
        assert array.any()
        np.testing.assert_array_equal(array, one.state()[name])
    for p, q in zip(net.parameters(), again.parameters(), strict=True):
        p.grad += 1
        q.grad += 1
    one.step(), two.step()
    same_arrays(net.parameters(), again.parameters())


def test_the_file_is_plain_npz_with_a_json_header(tmp_path):
    net = make_net()
    cunet.save(tmp_path / "net.npz", net)
    with np.load(tmp_path / "net.npz", allow_pickle=False) as file:
        header = json.loads(str(file["header"]))
        names = set(file.files)
        for p in net.parameters():
            np.testing.assert_array_equal(file[p.name], p.value)
    assert names == {"header", *(p.name for p in net.parameters())}
    assert header["net"]["width"] == 2


def test_a_missing_file_is_a_usage_error(tmp_path):
    with pytest.raises(CunetError, match=str(tmp_path / "none.npz")) as caught:
        cunet.load(tmp_path / "none.npz")
    assert caught.value.exit_code == 2


def test_a_run_folder_means_its_best_model(tmp_path):
    with pytest.raises(CunetError, match="best.npz or last.npz") as caught:
        cunet.load(tmp_path)
    assert caught.value.exit_code == 2
    last, best = make_net(1), make_net(2)
    cunet.save(tmp_path / "last.npz", last)
    same_arrays(cunet.load(tmp_path).parameters(), last.parameters())
    cunet.save(tmp_path / "best.npz", best)
    same_arrays(cunet.load(tmp_path).parameters(), best.parameters())
    same_arrays(cunet.load(tmp_path / "last.npz").parameters(), last.parameters())


# Damage


def test_a_file_cut_anywhere_is_damaged(tmp_path):
    path = tmp_path / "net.npz"
    cunet.save(path, make_net())
    whole = path.read_bytes()
    for length in [0, 1, 3, 4, *range(10, len(whole), 211), len(whole) - 1]:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=str(path)) as caught:
            cunet.load(path)
        assert caught.value.exit_code == 3, length


def test_a_byte_changed_anywhere_is_noticed_or_does_not_matter(tmp_path):
    path, net = tmp_path / "net.npz", make_net()
    cunet.save(path, net)
    whole = path.read_bytes()
    rng, noticed = np.random.default_rng(0), 0
    for place in rng.choice(len(whole), 400, replace=False):
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            again = cunet.load(path)
        except DataError:
            noticed += 1
        else:
            same_arrays(net.parameters(), again.parameters())
    assert noticed > 200


@pytest.mark.parametrize(
    "content",
    [b"", b"no model at all", b"PK\x03\x04", b"\x93NUMPY\x01\x00v\x00{'descr': '<f4'}"],
    ids=range(4),
)
def test_what_is_no_model_is_refused(tmp_path, content):
    path = tmp_path / "net.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged or not a cunet model") as caught:
        cunet.load(path)
    assert caught.value.exit_code == 3 and "\n" not in str(caught.value)


def test_files_of_numpy_that_are_no_models(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(3))
    np.savez(tmp_path / "b.npz", x=np.zeros(3))
    np.savez(tmp_path / "c.npz", header=np.array("no json"))
    np.savez(tmp_path / "d.npz", header=np.array("[]"))
    np.savez(tmp_path / "e.npz", header=np.array("{}"))
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(DataError, match=str(path)):
            cunet.load(path)


class Trap:
    """Unpickling this creates a folder."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


@pytest.mark.parametrize("name", ["header", "head.biases"])
def test_nothing_is_ever_unpickled(tmp_path, name):
    path, sprung = tmp_path / "net.npz", tmp_path / "sprung"
    cunet.save(path, make_net())
    rewritten(path, lambda arrays: arrays.update({name: np.array([Trap(sprung)], object)}))
    with pytest.raises(DataError):
        cunet.load(path)
    assert not sprung.exists()


def test_a_missing_array_is_damage(tmp_path):
    path = tmp_path / "net.npz"
    cunet.save(path, make_net())
    with pytest.raises(DataError, match="expand0.up.filters"):
        cunet.load(rewritten(path, lambda arrays: arrays.pop("expand0.up.filters")))


def test_a_model_of_another_shape_is_a_usage_error(tmp_path):
    path = tmp_path / "net.npz"
    cunet.save(path, make_net())
    header, arrays = checkpoint.read(path)
    for more in ({"width": 3}, {"classes": 3}, {"in_channels": 2}, {"variant": "release2015"}):
        other = {p.name: p.value for p in make_net(**more).parameters()}
        with pytest.raises(CunetError, match="shape") as caught:
            checkpoint.put(path, other, arrays)
        assert caught.value.exit_code == 2
    rewritten_header(path, lambda h: h | {"net": h["net"] | {"width": 5}})
    with pytest.raises(DataError, match=r"contract0.conv1.filters.*\(3, 3, 1, 2\)") as caught:
        cunet.load(path)  # here the file contradicts itself
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda h: {k: v for k, v in h.items() if k != "net"},
        lambda h: {k: v for k, v in h.items() if k != "normalization"},
        lambda h: h | {"net": h["net"] | {"colour": "red"}},
        lambda h: h | {"net": 3},
        lambda h: h | {"normalization": {"mean": [0.0]}},
        lambda h: h | {"normalization": h["normalization"] | {"mean": "low"}},
        lambda h: h | {"normalization": h["normalization"] | {"mean": ["low"]}},
        lambda h: h | {"format": 99},
        lambda h: list(h),
    ],
    ids=range(9),
)
def test_a_damaged_header(tmp_path, change):
    path = tmp_path / "net.npz"
    cunet.save(path, make_net())
    with pytest.raises(DataError, match=str(path)):
        cunet.load(rewritten_header(path, change))


# Writes that fail


def full_disk(file, **arrays):
    file.write(b"half a file")
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize("exists", [False, True])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, exists):
    path, old = tmp_path / "net.npz", make_net(1)
    if exists:
        cunet.save(path, old)
    with monkeypatch.context() as patch:
        patch.setattr(np, "savez", full_disk)
        with pytest.raises(DeviceError, match=str(path)) as caught:
            cunet.save(path, make_net(2))
    assert caught.value.exit_code == 4
    assert os.listdir(tmp_path) == ["net.npz"] * exists
    if exists:
        same_arrays(cunet.load(path).parameters(), old.parameters())


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(errno.EIO, "I/O error")])
@pytest.mark.parametrize("where", ["replace", "fsync"])
def test_a_save_that_is_broken_off_keeps_the_old_file(tmp_path, monkeypatch, error, where):
    path, old = tmp_path / "net.npz", make_net(1)
    cunet.save(path, old)

    def fails(*args):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(atomic.os, where, fails)
        with pytest.raises((KeyboardInterrupt, CunetError)):
            cunet.save(path, make_net(2))
    assert os.listdir(tmp_path) == ["net.npz"]
    same_arrays(cunet.load(path).parameters(), old.parameters())


def test_a_file_is_synced_before_it_gets_its_name(tmp_path, monkeypatch):
    done, sync, rename = [], os.fsync, os.replace
    monkeypatch.setattr(atomic.os, "fsync", lambda handle: (done.append("sync"), sync(handle)))
    monkeypatch.setattr(atomic.os, "replace", lambda a, b: (done.append("name"), rename(a, b)))
    cunet.save(tmp_path / "net.npz", make_net())
    assert done[:2] == ["sync", "name"]


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(CunetError, match=str(tmp_path / "none")) as caught:
        cunet.save(tmp_path / "none" / "net.npz", make_net())
    assert caught.value.exit_code == 2
