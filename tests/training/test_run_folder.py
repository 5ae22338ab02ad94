"""A run folder: stopped and resumed, its log, and that nothing in it is overwritten."""

import json
import os
from dataclasses import replace

import numpy as np
import pytest
from run_folders import arrays_of, header_of, log_without_time, same_arrays
from small_trainings import settings

import cunet
from cunet.errors import CunetError
from cunet.net import checkpoint
from cunet.training import loop as loop_
from cunet.training.config import Config, make
from cunet.training.run_folder import RunFolder, read_settings

pytestmark = pytest.mark.usefixtures("threads_as_before")


@pytest.mark.parametrize(
    "more",
    [
        {"solver": "sgd", "batch": 2, "lr_policy": "multistep", "step_values": (12, 22)},
        {"solver": "adam", "iter_size": 2, "lr_policy": "poly", "weight_decay": 0.01},
    ],
    ids=["sgd", "adam"],
)
def test_a_resumed_run_equals_an_uninterrupted_one(data, tmp_path, more):
    straight, halves = tmp_path / "straight", tmp_path / "halves"
    config = settings(data, out=str(straight), **more)
    records = list(cunet.train(config))
    assert [r["step"] for r in records] == list(range(1, 31))
    config = replace(config, out=str(halves))
    loop = cunet.train(config)
    first = [next(loop) for _ in range(15)]
    loop.close()
    assert header_of(halves / "last.npz")["progress"]["step"] == 15
    second = list(loop_.train(config, resume=True))
    assert [r["step"] for r in second] == list(range(16, 31))
    for a, b in zip(records, first + second, strict=True):
        for name in a.keys() - {"seconds", "wait"}:
            assert a[name] == b[name], (a["step"], name)
    same_arrays(straight / "last.npz", halves / "last.npz")
    same_arrays(straight / "best.npz", halves / "best.npz")
    rows = log_without_time(straight)
    assert [row["step"] for row in rows] == [str(i) for i in range(1, 31)]
    assert rows == log_without_time(halves)
    assert [float(row["loss"]) for row in rows] == [r["loss"] for r in records]
    measured = [row["step"] for row in rows if row["val_pixel_error"]]
    assert measured == ["10", "20", "30"]
    seconds = [r["seconds"] for r in first + second]
    assert seconds == sorted(seconds)


def test_a_run_that_was_killed_resumes_from_its_last_model(data, tmp_path):
    """The log is ahead of the model and its last line is torn."""
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    config = settings(data, out=str(straight), steps=16, validate_every=8)
    list(cunet.train(config))
    loop = cunet.train(replace(config, out=str(killed)))
    for _ in range(10):
        next(loop)
    loop.close()
    with open(killed / "log.csv", "a") as file:
        file.write("11,1.5,0.001,0.7,0.1,,,,\n12,1.6,0.001,0.")
    resumed = list(loop_.train(replace(config, out=str(killed)), resume=True))
    assert [r["step"] for r in resumed] == list(range(11, 17))
    assert log_without_time(straight) == log_without_time(killed)
    same_arrays(straight / "last.npz", killed / "last.npz")


def test_a_stop_keeps_the_lines_of_the_log(data, tmp_path):
    loop = cunet.train(settings(data, out=str(tmp_path / "run")))
    for _ in range(3):
        next(loop)
    loop.close()
    assert len(log_without_time(tmp_path / "run")) == 3
    assert not [name for name in os.listdir(tmp_path / "run") if name.endswith(".part")]


def test_a_finished_run_that_is_resumed_stays_as_it_is(data, tmp_path):
    config = settings(data, out=str(tmp_path / "run"), steps=4)
    list(cunet.train(config))
    before, log = arrays_of(tmp_path / "run" / "last.npz"), log_without_time(tmp_path / "run")
    assert list(loop_.train(config, resume=True)) == []
    for name, array in arrays_of(tmp_path / "run" / "last.npz").items():
        np.testing.assert_array_equal(array, before[name])
    assert log_without_time(tmp_path / "run") == log


def test_resuming_without_a_run_is_a_usage_error(data, tmp_path):
    with pytest.raises(CunetError, match="last.npz") as caught:
        next(loop_.train(settings(data, out=str(tmp_path / "none")), resume=True))
    assert caught.value.exit_code == 2


def test_a_run_is_never_overwritten(data, tmp_path):
    run = tmp_path / "run"
    config = settings(data, out=str(run), steps=2)
    list(cunet.train(config))
    before = (run / "last.npz").read_bytes()
    with pytest.raises(CunetError, match="exists") as caught:
        next(cunet.train(config))
    assert caught.value.exit_code == 2 and (run / "last.npz").read_bytes() == before


def test_the_run_folder_tells_settings_and_data(data, tmp_path):
    run = tmp_path / "run"
    config = settings(data, out=str(run), steps=2)
    list(cunet.train(config))
    assert make(options=read_settings(run)) == replace(config, precision="float32")
    environment = json.loads((run / "env.json").read_text())
    assert set(environment["data"]) == {"train-volume.tif", "train-labels.tif"}


def test_the_log_is_written_in_pieces(tmp_path):
    """Twenty lines at a time, and the rest with flush()."""
    run = RunFolder.create(tmp_path / "run", Config(), {})
    for step in range(1, 24):
        run.log({"step": step, "seconds": 1, "lr": 0.1, "loss": 0.5, "wait": 0.5})
    assert len(log_without_time(tmp_path / "run")) == 20
    run.flush()
    rows = log_without_time(tmp_path / "run")
    assert [row["step"] for row in rows] == [str(i) for i in range(1, 24)]
    run.close()
    reopened = RunFolder(tmp_path / "run")
    reopened.go_on(Config(), {}, 21)
    assert len(log_without_time(reopened.path)) == 21


def test_a_checkpoint_without_solver_cannot_be_resumed(data, tmp_path):
    config = settings(data, out=str(tmp_path / "run"), steps=2)
    list(cunet.train(config))
    checkpoint.save(tmp_path / "run" / "last.npz", cunet.load(tmp_path / "run"))
    with pytest.raises(CunetError, match="last.npz"):
        list(loop_.train(replace(config, steps=4), resume=True))
