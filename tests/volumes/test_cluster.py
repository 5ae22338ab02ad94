"""Workers of a cluster: addresses, which GPU a worker takes, what a run of blocks does twice."""

import os

import pytest
from small_volumes import TILE, small_net, small_volume, write_volume

import cunet
from cunet.errors import CunetError, DeviceError
from cunet.files.lock import held
from cunet.volumes import cluster
from cunet.volumes.books import Books
from cunet.volumes.segment_volume import prepared, wanted_of
from cunet.volumes.stages import do_run, network_stage, runs_of


@pytest.mark.parametrize(
    "address", ["", "local", "local:", "local:3", "tcp://host:8786", "tls://host:1"]
)
def test_addresses(address):
    cluster.check_cluster(address)


@pytest.mark.parametrize(
    "address", ["local:0", "local:x", "local:-1", "host:8786", "http://host:1"]
)
def test_other_addresses(address):
    with pytest.raises(CunetError, match="--cluster"):
        cluster.check_cluster(address)


def test_nobody_answers(monkeypatch):
    monkeypatch.setattr(cluster, "ANSWER", 0.5)
    pytest.importorskip("distributed")
    with pytest.raises(DeviceError, match="tcp://127.0.0.1:9: no Dask scheduler answers"):
        cluster.dask_client("tcp://127.0.0.1:9")


@pytest.fixture
def two_gpus(monkeypatch, tmp_path):
    """A machine with two GPUs, whose locks lie in a folder of the test."""
    monkeypatch.setattr(cluster, "gpus", lambda: 2)
    monkeypatch.setattr(cluster, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(cluster, "resolve_device", lambda name: name)
    monkeypatch.setattr(cluster, "_device", None)
    yield tmp_path
    cluster._kept.close()


def lock_of(folder, number):
    """The lock of a GPU, as another worker of the same user holds it."""
    path = folder / f"cunet-gpu-{os.getuid()}-{number}.lock"
    return held(path, path)


def test_a_worker_takes_the_first_gpu_that_is_free_and_keeps_it(two_gpus):
    with lock_of(two_gpus, 0):
        assert cluster.own_gpu("auto") == "cuda:1"
    assert {cluster.own_gpu(name) for name in ("auto", "cuda", "cuda:all")} == {"cuda:1"}
    with pytest.raises(CunetError, match="in use"), lock_of(two_gpus, 1):
        pass


def test_more_workers_than_gpus(two_gpus):
    with lock_of(two_gpus, 0), lock_of(two_gpus, 1):
        with pytest.raises(DeviceError, match="use all of its 2 GPUs.*--device cpu"):
            cluster.own_gpu("auto")
        assert cluster.own_gpu("cpu") == "cpu"


def test_without_a_gpu_a_worker_takes_the_processor(monkeypatch):
    monkeypatch.setattr(cluster, "gpus", lambda: 0)
    monkeypatch.setattr(cluster, "_device", None)
    assert cluster.own_gpu("auto") == "cpu"


def test_a_run_that_is_tried_again_does_what_is_left(tmp_path):
    """As where its worker was killed: the journal of the run is read, and no other one."""
    write_volume(tmp_path / "v.ome.zarr", small_volume())
    cunet.save(tmp_path / "net.npz", small_net())
    wanted = wanted_of({"tile": TILE, "block": (1, 28, 56)})
    begun = prepared(tmp_path / "v.ome.zarr", tmp_path / "o.ome.zarr", tmp_path / "net.npz", wanted)
    stage, out = network_stage(begun.task), str(begun.books.output)
    first = do_run(out, stage.name, stage.units, list(range(9)), "cpu")
    done = [next(first)["unit"] for _ in range(4)]
    first.close()
    again = [n["unit"] for n in do_run(out, stage.name, stage.units, list(range(9)), "cpu")]
    assert done == [0, 1, 2, 3] and again == [4, 5, 6, 7, 8]
    assert Books(out).read("net", stage.units).left.tolist() == list(range(9, stage.units))


@pytest.mark.parametrize(("left", "workers", "length"), [(1000, 1, 64), (100, 4, 6), (3, 8, 1)])
def test_runs_are_long_and_there_are_several_for_each_worker(left, workers, length):
    units = list(range(5, 5 + left))
    runs = list(runs_of(units, workers))
    assert [unit for run in runs for unit in run] == units
    assert {len(run) for run in runs[:-1]} <= {length} and len(runs[-1]) <= length
