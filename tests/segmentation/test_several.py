"""A network on several devices: the tiles of one, in their order; errors; how much waits."""

import sys
import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from inputs import DEVICES, cupy
from isbi_data import isbi_folder

import cunet
from cunet import backend
from cunet.errors import CunetError, DeviceError
from cunet.net.checkpoint import learned
from cunet.net.normalization import Normalization
from cunet.net.unet import UNet
from cunet.segmentation import several
from cunet.segmentation.several import Several


def cuts(number, side=28, channels=1):
    rng = np.random.default_rng(0)
    return [rng.standard_normal((side, side, channels)).astype(np.float32) for _ in range(number)]


@pytest.mark.parametrize("threads", [1, 3])
def test_two_networks_on_the_cpu_are_one(threads, threads_as_before):
    """Also where each uses several threads, and where both are the same object."""
    cunet.set_threads(threads)
    net = UNet(width=4, depth=1, seed=3)
    tiles = cuts(9, side=92)
    expected = [net.engine.predict(net, tile[None])[0] for tile in tiles]
    for nets in ([net], [net, net], [net, several.copied(net, "cpu"), net]):
        with Several(nets) as one:
            for _ in range(2):
                found = list(one.predict_tiles(iter(tiles)))
                assert len(found) == 9
                for a, b in zip(found, expected, strict=True):
                    np.testing.assert_array_equal(a, b)
    assert not [t.name for t in threading.enumerate() if t.name.startswith("cunet-device")]


def test_a_copy_is_the_network():
    net = UNet(width=2, depth=1, batch_norm=True, padding="same", seed=1, dtype="float64")
    net.normalization = Normalization((1.0,), (2.0,), (0.0,), (3.0,))
    rng = np.random.default_rng(0)
    for array in learned(net).values():
        array += 0.1 * rng.random(array.shape)
    copy = several.copied(net, "cpu")
    assert copy.normalization == net.normalization and copy.shape == net.shape
    x = rng.standard_normal((1, 16, 16, 1))
    np.testing.assert_array_equal(copy(x, remember=False), net(x, remember=False))
    copy.parameters()[0].value += 1
    assert not np.array_equal(copy.parameters()[0].value, net.parameters()[0].value)


def test_it_takes_only_as_much_as_is_needed():
    """At most two tiles a device beyond those handed out; the slower device is waited for."""
    net, taken, place = UNet(width=1, depth=1), [], {}

    def reading():
        for number in range(20):
            taken.append(number)
            yield np.full((4, 4, 1), number)

    def predict(net, cut):
        place.setdefault(threading.current_thread().name, []).append(int(cut[0, 0, 0]))
        time.sleep(0.02 if cut[0, 0, 0] % 2 else 0)
        return cut[0, 0, 0]

    with Several([net, net]) as one:
        for handed_out, result in enumerate(one.predict_tiles(reading(), predict)):
            assert result == handed_out
            assert len(taken) <= handed_out + 4
    assert sorted(place.values()) == [list(range(0, 20, 2)), list(range(1, 20, 2))]


def test_an_error_is_raised_at_once_and_nothing_new_begins():
    begun = []

    def predict(net, cut):
        begun.append(cut[0, 0, 0])
        if cut[0, 0, 0] == 3:
            raise DeviceError("no room")
        return cut

    net = UNet(width=1, depth=1)
    with Several([net, net]) as one:
        with pytest.raises(DeviceError, match="no room"):
            list(one.predict_tiles((np.full((1, 1, 1), n) for n in range(1000)), predict))
        assert len(begun) <= 8
        assert list(one.predict_tiles([np.ones((1, 1, 1))], predict)) == [1]  # it can go on
    with pytest.raises(ZeroDivisionError), Several([net, net]) as one:
        list(one.predict_tiles(1 / (2 - n) * cut for n, cut in enumerate(cuts(9))))


def test_the_one_who_asks_may_leave_early():
    net = UNet(width=1, depth=1)
    with Several([net, net]) as one:
        results = one.predict_tiles(cuts(9))
        next(results)
        results.close()
    assert not [t.name for t in threading.enumerate() if t.name.startswith("cunet-device")]
    with pytest.raises(CunetError, match="nets: expected one network or more"):
        Several([])


@pytest.fixture(params=DEVICES, ids=lambda module: module.__name__)
def xp(request, monkeypatch):
    monkeypatch.setitem(sys.modules, "cupy", request.param)
    return request.param


def test_on_a_gpu_and_the_cpu(xp):
    net = UNet(width=2, depth=1, dtype="float64", seed=5)
    tiles = [cut.astype(np.float64) for cut in cuts(5)]
    expected = [net.engine.predict(net, tile[None])[0] for tile in tiles]
    with Several.on(net, ["cpu", "cuda:0"]) as one:
        assert one.nets[0] is net and one.nets[1].device == "cuda:0"
        assert type(one.nets[1].parameters()[0].value) is xp.ndarray
        for a, b in zip(one.predict_tiles(tiles), expected, strict=True):
            assert type(a) is np.ndarray
            np.testing.assert_allclose(a, b, rtol=0, atol=1e-12)


def test_all_gpus(xp, monkeypatch):
    assert backend.resolve_devices("cpu") == ["cpu"]
    assert backend.resolve_devices("cuda") == ["cuda:0"]
    monkeypatch.setattr(xp.cuda.runtime, "getDeviceCount", lambda: 3)
    if xp is not cupy:
        assert backend.resolve_devices("cuda:all") == ["cuda:0", "cuda:1", "cuda:2"]
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(is_available=lambda: False))
    with pytest.raises(DeviceError, match="no usable NVIDIA GPU"):
        backend.resolve_devices("cuda:all")


def test_all_gpus_are_for_tiles_alone(data, run):
    for words in (["train", "--data", data], ["crossval", "--data", data], ["bench"]):
        code, _, err = run(*words, "--device", "cuda:all")
        assert code == 2 and "'cuda:all' is for cunet segment" in err and "--devices" in err, err


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return isbi_folder(tmp_path_factory.mktemp("data"), 4, 48, 40, seed=1)
