"""Runs side by side: the same result, signals, workers that fail, places."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from small_crossval import TINY, same_result, write_three_classes

from cunet import backend
from cunet.crossvalidation import runs as crossval
from cunet.crossvalidation import workers
from cunet.errors import CunetError
from cunet.training.config import Config

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals, fork and file locks")


@posix
def test_two_at_a_time_equal_one_after_the_other(run, tmp_path):
    """Data of three classes and two sizes: pixel error and Dice alone, a file per slice."""
    data = write_three_classes(tmp_path / "data")
    more = ["--data", data, "--folds", 2, *TINY, "--average", "none"]
    code, one, err = run("crossval", "--out", tmp_path / "one", *more, "--json")
    assert code == 0, err
    code, two, err = run("crossval", "--out", tmp_path / "two", *more, "--json", "--jobs", 2)
    assert code == 0, err
    assert "2 runs, 2 at a time" in err and "these data have 3" in err
    assert "cunet segment" in err.splitlines()[-1]
    for name in ("fold0-seed0", "fold1-seed0"):
        assert f"{name}  scored: pixel error" in err and f"{name}  step     10" in err
        assert (tmp_path / "two" / name / "report.html").stat().st_size > 10_000
    same_result(tmp_path / "one", tmp_path / "two", ("fold0-seed0", "fold1-seed0"))
    assert json.loads(one)["stack"] == json.loads(two)["stack"]
    assert set(json.loads(two)["mean"]["none"]) == {"pixel_error", "dice"}
    page = tifffile.imread(tmp_path / "two" / "predictions" / "cell1.tif")
    assert page.shape == (3, 44, 40)
    np.testing.assert_allclose(page.sum(axis=0), 1, atol=1e-5)


@posix
def test_a_signal_stops_the_workers_and_no_worker_outlives_its_parent(tmp_path):
    data, path = write_three_classes(tmp_path / "data"), tmp_path / "whole"
    start = ["--data", data, "--out", path, "--folds", 2, *TINY, "--steps", 100_000, "-n"]
    for how, arguments in ((signal.SIGTERM, start[:-1]), (signal.SIGKILL, ["--resume", path])):
        line = [sys.executable, "-u", "-m", "cunet", "crossval", "--jobs", 2, *arguments]
        with subprocess.Popen(
            list(map(str, line)), stderr=subprocess.PIPE, text=True, cwd=tmp_path
        ) as process:
            seen = set()
            for text in process.stderr:
                if "held-out slices:" in text:
                    seen.add(text.split()[0])
                if len(seen) == 2:
                    process.send_signal(how)
                    break
            rest = process.stderr.read()
        if how == signal.SIGTERM:
            assert process.returncode == 130, rest
            assert rest.splitlines()[-1].strip() == f"cunet crossval --resume {path} --jobs 2"
        before = saved(path)
        assert all(step >= 4 for step in before.values())
    for _ in range(600):  # the workers hold the folder until they have saved
        try:
            with crossval.at_work(path):
                break
        except CunetError as error:
            assert "another process" in str(error)
            time.sleep(0.1)
    else:
        pytest.fail("a worker outlived its parent")
    assert all(step >= before[name] for name, step in saved(path).items())


def saved(path):
    cv = crossval.load(path)
    return {run.name: cv.steps_done(run) for run in cv.runs}


@posix
@pytest.mark.parametrize(
    ("does", "code", "words"),
    [
        ("echo 'Error: loss is nan at step 3' >&2; exit 5", 5, "fold0-seed0: loss is nan at step"),
        ("echo 'Traceback ... KeyError' >&2; exit 1", 1, "fold0-seed0: a bug in cunet"),
        ("exit 3", 3, "fold0-seed0: its process ended with code 3"),
        ("kill -9 $$", 4, "fold0-seed0: its process was ended by signal 9"),
    ],
)
def test_a_worker_that_fails_stops_the_others(tmp_path, monkeypatch, does, code, words):
    """Workers are shell scripts here: the first fails when the second is at work."""
    python = tmp_path / "python"
    other = f"trap 'touch {tmp_path}/stopped; exit 130' TERM; touch {tmp_path}/ready\n"
    other += "echo '{\"step\": 7}'; while true; do sleep 0.05; done"
    first = f"while ! test -e {tmp_path}/ready; do sleep 0.05; done; {does}"
    python.write_text(f'#!/bin/sh\ncase "$*" in *fold0*) {first};; *) {other};; esac\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    cv = crossval.CrossValidation(tmp_path, Config(), folds=3)
    events = []
    places = workers.places(cv.config, 2, 3)
    with pytest.raises(CunetError) as caught:
        workers.side_by_side(cv, cv.runs, places, None, lambda *a: events.append(a))
    assert caught.value.exit_code == code and words in str(caught.value)
    assert (tmp_path / "stopped").exists()
    assert events == [(cv.runs[1], {"step": 7})]  # the third was never begun
    assert not (tmp_path / "fold1-seed0.log").exists()  # it had nothing to say
    assert (tmp_path / "fold0-seed0.log").exists() == ("echo" in does)


def test_places_share_gpus_in_turn_and_divide_the_threads(monkeypatch):
    gpus = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=lambda: 3))
    monkeypatch.setattr(backend, "import_cupy", lambda: SimpleNamespace(cuda=gpus))

    def places(device, jobs, runs=9, threads=8):
        config = Config(device=device, threads=threads)
        return [(p.device, p.threads) for p in workers.places(config, jobs, runs)]

    assert places("cuda", None) == [("cuda:0", 2), ("cuda:1", 2), ("cuda:2", 2)]
    assert [device for device, _ in places("cuda", 4)][-1] == "cuda:0"
    assert places("cuda", 4, runs=1) == [("cuda:0", 8)]
    assert places("cuda:1", 2) == [("cuda:1", 4)] * 2
    assert places("cpu", None, threads=None) == [("cpu", None)]
    assert places("cpu", 16, runs=16) == [("cpu", 1)] * 16
    assert places("cpu", 3, runs=0) == [("cpu", 8)]


@posix
def test_on_two_gpus_each_has_a_fold_at_a_time(tmp_path, monkeypatch):
    """Workers are shell scripts here, which note the GPU that they are given."""
    gpus = SimpleNamespace(runtime=SimpleNamespace(getDeviceCount=lambda: 2))
    monkeypatch.setattr(backend, "import_cupy", lambda: SimpleNamespace(cuda=gpus))
    python, both = tmp_path / "python", f"test -e {tmp_path}/cuda:0 && test -e {tmp_path}/cuda:1"
    given = "--worker) run=$2;; --device) gpu=$2;;"
    python.write_text(
        f'#!/bin/sh\nwhile [ $# -gt 0 ]; do case "$1" in {given} esac; shift; done\n'
        f'echo "$run $gpu" >> {tmp_path}/given; touch "{tmp_path}/$gpu"\n'
        f"while ! ({both}); do sleep 0.05; done\n"  # until the other one is at work too
    )
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    cv = crossval.CrossValidation(tmp_path, Config(device="cuda", threads=4), folds=3, seeds=2)
    places = workers.places(cv.config, None, 6)
    assert workers.side_by_side(cv, cv.runs, places, None, lambda *event: None)
    lines = (tmp_path / "given").read_text().splitlines()
    runs = dict(line.split() for line in lines)
    assert sorted(runs) == sorted(f"fold{k}-seed{s}" for k in range(3) for s in range(2))
    assert len(lines) == 6 and "fold2-seed1" in lines[-1] + lines[-2]
    assert runs["fold0-seed0"] == "cuda:0" and runs["fold1-seed0"] == "cuda:1"


def test_two_processes_do_not_work_in_one_folder(straight, run, tmp_path):
    path = tmp_path / "whole"
    shutil.copytree(straight, path)
    pytest.importorskip("fcntl")
    with crossval.at_work(path):
        code, _, err = run("crossval", "--resume", path)
    assert code == 2 and "another process" in err
    assert run("crossval", "--resume", path)[0] == 0
