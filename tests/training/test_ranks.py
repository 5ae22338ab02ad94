"""A training on several devices is that of one device with the same iter_size, bit for bit; what
ends it ends all of its processes."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from run_folders import header_of, log_without_time, same_arrays
from small_trainings import settings

import cunet
from cunet.errors import CunetError, DeviceError, NumericError
from cunet.threads import get_threads
from cunet.training import loop, passes, ranks, sums
from cunet.training import plan as plans
from cunet.training.config import Config
from cunet.training.prepared import prepare
from cunet.training.rank import Job
from cunet.training.rank import arrays_of as learned
from cunet.training.run_folder import read_settings

pytestmark = pytest.mark.usefixtures("threads_as_before")
posix = pytest.mark.skipif(os.name != "posix", reason="needs signals")

NORMED = {"batch_norm": True, "padding": "same", "tile": 32, "batch": 2}
CASES = {
    "two, sgd": (2, {"iter_size": 2}),
    "three, adam": (3, {"iter_size": 3, "solver": "adam", "weight_decay": 0.01}),
    "two with two batches each": (2, {"iter_size": 4, "threads": 2}),
    "batch normalization": (2, {"iter_size": 2, **NORMED}),
}


def four_steps(data, out, **more):
    """Four steps with two validations, dropout and a gradient that is clipped."""
    usual = {"steps": 4, "validate_every": 2, "dropout": 0.5, "clip": 0.1}
    return settings(data, out=str(out), **usual | more)


def same_run(one, other):
    for name in ("last.npz", "best.npz"):
        same_arrays(one / name, other / name)
    assert header_of(one / "last.npz")["done"] == header_of(other / "last.npz")["done"]
    assert log_without_time(one) == log_without_time(other)


@pytest.fixture
def started(monkeypatch):
    """All processes that a test has started as ranks."""
    found, start = [], ranks.Ranks.start

    def noting(self, job):
        found.append(self)
        start(self, job)

    monkeypatch.setattr(ranks.Ranks, "start", noting)
    yield found
    assert all(p.poll() is not None for each in found for p in each.processes)


@pytest.mark.parametrize("case", CASES)
def test_it_is_the_training_of_one_device_bit_for_bit(data, tmp_path, started, case):
    devices, more = CASES[case]
    one, several = tmp_path / "one", tmp_path / "several"
    records = [list(cunet.train(four_steps(data, one, **more)))]
    records.append(list(cunet.train(four_steps(data, several, devices=devices, **more))))
    assert [len(each.processes) for each in started] == [devices - 1]
    losses = [[(r["step"], r["loss"], r.get("val_loss")) for r in each] for each in records]
    assert losses[0] == losses[1]
    same_run(one, several)


def test_resumed_with_another_number_of_devices_it_is_the_same_run(data, tmp_path, started):
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    list(cunet.train(four_steps(data, straight, iter_size=2)))
    config = four_steps(data, stopped, devices=2)  # of one batch each: iter_size is 2
    for devices in (2, 1, 2):
        records = loop.train(replace(config, devices=devices), resume=stopped.exists())
        next(records)
        records.close()
        assert read_settings(stopped)["devices"] == devices
    assert [record["step"] for record in loop.train(config, resume=True)] == [4]
    same_run(straight, stopped)
    assert len(started) == 3


def test_threads_are_shared_and_put_back(data, monkeypatch):
    seen, validate = [], loop.validate
    monkeypatch.setattr(loop, "validate", lambda *a: seen.append(get_threads()) or validate(*a))
    cunet.set_threads(5)
    list(cunet.train(settings(data, steps=1, devices=2, threads=None)))
    assert seen == [max(1, ranks.available_threads() // 2)] and get_threads() == 5


# What ends a training


def test_a_rank_that_is_killed_ends_the_run_which_goes_on_from_its_last_step(
    data, tmp_path, run, started, monkeypatch
):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    list(cunet.train(four_steps(data, straight, devices=3)))
    add, calls = ranks.Ranks.add, []

    def killing(self, first):
        calls.append(first)
        if len(calls) == 3:  # in the middle of step 3
            self.processes[1].kill()
        add(self, first)

    monkeypatch.setattr(ranks.Ranks, "add", killing)
    monkeypatch.setattr(plans, "measure_speed", lambda config, prepared: 0.5)
    words = ["--width", 2, "--depth", 1, "--tile", 34, "--steps", 4, "--validate-every", 2]
    words += ["--fold", "1/4", "--seed", 3, "--lr", 1e-3, "--dropout", 0.5, "--clip", 0.1]
    words += ["--preset", "paper", "--device", "cpu", "--threads", 1, "--devices", 3]
    code, _, err = run("train", "--data", data, "--out", killed, *words)
    assert code == 4 and "device 2 of 0 to 2 was ended by signal 9" in err
    assert "3 devices, iter_size is 3: an update averages that many batches, 1 batch a" in err
    assert "on 3 devices, each 1 CPU thread" in err and " a device  ->" in err
    assert header_of(killed / "last.npz")["progress"]["step"] == 2
    assert Config(**read_settings(killed)) == replace(
        four_steps(data, killed, devices=3), precision="float32"
    )
    monkeypatch.setattr(ranks.Ranks, "add", add)
    list(loop.train(four_steps(data, killed, devices=3), resume=True))
    same_run(straight, killed)


def test_numbers_that_go_wrong_are_reported_as_by_one_device(data, tmp_path, started):
    found = []
    for devices in (1, 2):
        config = four_steps(data, tmp_path / str(devices), iter_size=2, lr=1e16, clip=0.0)
        with pytest.raises(NumericError) as caught:
            list(cunet.train(replace(config, devices=devices)))
        found.append(str(caught.value).replace(f"/{devices}/", "/"))
        assert (tmp_path / str(devices) / "failure.json").is_file()
    assert found[0] == found[1] and "step" in found[0]
    same_arrays(*(tmp_path / n / "nonfinite_batch.npz" for n in "12"))


def test_a_batch_of_another_rank_is_made_again(data):
    config = settings(data, iter_size=2)
    samples = prepare(config).samples
    work = SimpleNamespace(sample_bytes=0, batch=lambda: "its own")
    link = SimpleNamespace(rank=0)
    one = passes.Passes(replace(config, devices=2), loop.make_net(config, prepare(config)),
                        work, samples, 0, link)  # fmt: skip
    assert one.batch(3, 0) == "its own"
    for found, expected in zip(one.batch(3, 1), samples.stacked(5), strict=True):
        np.testing.assert_array_equal(found, expected)
    one.close()


def job_of(config, data):
    net = loop.make_net(config, prepare(config))
    solver = config.make_solver(net.parameters())
    return net, Job(
        0, config, prepare(config).samples, net.settings(), net.precision, learned(net, solver),
        {"done": 0, "scaling": None}, 0, False, 1, None, None,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changed", "kind", "words"),
    [
        ({"precision": "tf32"}, DeviceError, "device 1 of 0 to 1: precision tf32 needs tensor"),
        ({"arrays": {}}, ranks.RankEnded, "device 1 of 0 to 1 ended with code 1"),
    ],
)
def test_an_error_of_another_rank_is_raised(data, started, changed, kind, words):
    config = settings(data, devices=2)
    net, job = job_of(config, data)
    link = ranks.Ranks(2)
    with pytest.raises(CunetError, match=words) as caught:
        try:
            link.share(net)
            link.start(replace(job, memory=link.memory, **changed))
        finally:
            link.close()
    assert type(caught.value) is kind and caught.value.exit_code == 4
    if kind is ranks.RankEnded:
        assert any("KeyError" in note for note in caught.value.__notes__)


def test_too_little_shared_memory(data, monkeypatch):
    monkeypatch.setattr(sums.shutil, "disk_usage", lambda path: SimpleNamespace(free=1000))
    monkeypatch.setattr(sums, "SHARED", str(data))
    with pytest.raises(DeviceError, match="shared memory.*0.000001 GB|1e-06 GB.*--shm-size"):
        list(cunet.train(settings(data, devices=2)))


def children(pid):
    """The processes that a process has started (Linux)."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().rpartition(")")
        except OSError:
            continue
        if rest.split()[1] == str(pid):
            found.append(int(name.split()[0]))
    return found


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@posix
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc")
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_all_processes(data, tmp_path, how):
    out = tmp_path / "run"
    words = ["--data", data, "--out", out, "--preset", "cpu", "--width", 2, "--depth", 1]
    words += ["--tile", 34, "--steps", 100_000, "--validate-every", 20, "--fold", "1/4"]
    words += ["--device", "cpu", "--devices", 2, "--threads", 2]
    line = [sys.executable, "-P", "-u", "-m", "cunet", "train", *map(str, words)]
    with subprocess.Popen(line, stderr=subprocess.PIPE, text=True) as process:
        for text in process.stderr:
            if "held-out slices:" in text:
                others = [p for p in children(process.pid) if is_rank(p)]
                process.send_signal(how)
                break
        rest = process.stderr.read()
    assert len(others) == 1, rest
    step = header_of(out / "last.npz")["progress"]["step"]
    if how == signal.SIGKILL:
        assert step >= 20
    else:
        assert process.returncode == 130 and "everything is saved" in rest
        assert rest.splitlines()[-1].strip() == f"cunet train --resume {out}"
    for _ in range(300):
        if not any(map(is_alive, others)):
            break
        time.sleep(0.1)
    else:
        pytest.fail("a rank outlived its training")


def is_rank(pid):
    return b"cunet.training.rank" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_stopped_after_a_step_it_goes_on(data, tmp_path, run, started, monkeypatch):
    monkeypatch.setattr(plans, "measure_speed", lambda config, prepared: 0.5)
    straight, stopped = tmp_path / "straight", tmp_path / "stopped"
    list(cunet.train(four_steps(data, straight, iter_size=2)))
    file = tmp_path / "run.toml"
    shutil.copy(straight / "run.toml", file)
    code, _, err = run(
        "train", "--config", file, "--data", data, "--out", stopped, "--devices", 2,
        "--stop-after", 3,
    )  # fmt: skip
    assert code == 130 and "stopped after step 3; everything is saved" in err
    assert run("train", "--resume", stopped, "--devices", 1)[0] == 0
    same_run(straight, stopped)


# Settings


def test_iter_size_is_a_multiple_of_the_devices():
    assert [Config(devices=n).iter_size for n in (1, 2, 5)] == [1, 2, 5]
    assert Config(devices=2, iter_size=6).iter_size == 6
    for iter_size in (1, 3):
        with pytest.raises(CunetError, match=f"iter_size: expected a multiple.*found {iter_size}"):
            Config(devices=2, iter_size=iter_size)
    with pytest.raises(CunetError, match="batch x iter_size.*found 8,000"):
        Config(batch=1000, devices=8)
    with pytest.raises(CunetError, match="'cuda:1' is one GPU.*CUDA_VISIBLE_DEVICES"):
        Config(devices=2, device="cuda:1")
    for wrong in (0, 65, 1.5, True):
        with pytest.raises(CunetError, match="devices"):
            Config(devices=wrong)


def test_a_run_of_one_batch_an_update_is_not_shared(data, tmp_path, run):
    out = tmp_path / "run"
    next(records := cunet.train(settings(data, out=str(out))))
    records.close()
    code, _, err = run("train", "--resume", out, "--devices", 2)
    assert code == 2 and "iter_size" in err and "another training" in err
    text = (out / "run.toml").read_text().replace("devices = 1\n", "")
    (out / "run.toml").write_text(text)  # as cunet 0.1.0 wrote it
    assert Config(**read_settings(out)).devices == 1


def test_the_dry_run_speaks_of_each_device(data, run, monkeypatch):
    seen = []
    speed = plans.measure_speed
    monkeypatch.setattr(plans, "measure_speed", lambda *a: seen.append(get_threads()) or speed(*a))
    cunet.set_threads(4)
    words = ["--preset", "cpu", "--width", 2, "--tile", 188, "--device", "cpu", "--devices", 2]
    code, text, err = run("train", "--data", data, *words, "--dry-run", "--json")
    assert code == 0 and '"devices": 2' in text
    share = max(1, ranks.available_threads() // 2)
    assert seen == [share] and get_threads() == 4
    assert f"on 2 devices, each {share} CPU thread" in err and " a device  ->" in err


def test_a_cross_validation_refuses_it(data, tmp_path):
    file = tmp_path / "two.toml"
    file.write_text("devices = 2\n")
    with pytest.raises(CunetError, match="devices: a cross-validation trains each fold on one"):
        cunet.crossval(data, folds=2, config=file, device="cpu")


def test_gpus_that_are_not_there(data, emulated):
    """The double is one GPU; several need NCCL, which CuPy's wheel does not have."""
    config = settings(data, device="cuda", devices=2, width=8)
    with pytest.raises(DeviceError, match="devices 2: this machine has 1 GPU"):
        list(cunet.train(config))


def test_nccl_that_is_not_installed(data, emulated, monkeypatch):
    runtime = emulated.cuda.runtime
    monkeypatch.setattr(runtime, "getDeviceCount", lambda: 2)
    monkeypatch.setattr(runtime, "runtimeGetVersion", lambda: 13010, raising=False)
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", SimpleNamespace(available=False))
    with pytest.raises(DeviceError, match=r'pip install "cunet\[nccl13\]"'):
        list(cunet.train(settings(data, device="cuda", devices=2, width=8)))


def test_an_error_travels():
    """Through the pipe of a rank, with its class and its exit code."""
    found = pickle.loads(pickle.dumps(DeviceError("no room")))
    assert (type(found), str(found), found.exit_code) == (DeviceError, "no room", 4)
