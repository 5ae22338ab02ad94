"""Cross-validation: the bits of single runs, resuming after a kill at any point, the figures."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile

import cunet.reporting
from cunet import backend, cli
from cunet.crossvalidation import runs as crossval
from cunet.crossvalidation import scores as crossval_scores
from cunet.crossvalidation import workers
from cunet.data import load
from cunet.data.synthetic import membranes
from cunet.errors import CunetError, DataError
from cunet.metrics import isbi2012
from cunet.metrics.pixel import PixelCounts
from cunet.net import checkpoint
from cunet.segmentation import tiling
from cunet.threads import get_threads, set_threads
from cunet.training import plan
from cunet.training import step as training
from cunet.training.config import Config

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals, fork and file locks")
STEPS = 10
REAL = isbi2012.evaluate
TINY = "--width 2 --depth 1 --tile 34 --steps 10 --validate-every 4 --preset cpu --device cpu"
TINY = [*TINY.split(), "--threads", "1"]
FOLDS = ["--folds", "2", "--seeds", "2", "--seed", "4"]
NAMES = ["fold0-seed4", "fold1-seed4", "fold0-seed5"]


def stand_in(probability, truth, radius=-1, progress=None):
    """In place of isbi2012.evaluate, which compiles: other figures, of the same form."""
    for done in range(len(truth)):
        progress(done + 1)
    keys = ("pixel_error", "rand_error", "warping_error", "v_rand", "v_info")
    wrong = np.abs(np.stack(probability) - np.stack(truth))
    figures = [float(np.mean(wrong**k)) for k in range(1, 6)]
    found = dict(zip(keys, figures, strict=True))
    found["thresholds"] = dict.fromkeys(keys, 0.5)
    found["per_slice"] = [{"slice": i} for i in range(len(truth))]
    return found


def write_stub(run):
    """In place of the report, which takes longer than the training."""
    (Path(run) / "report.html").write_text("a page")


def light(patch):
    """Take the slow parts out, here and in processes that import this file."""
    patch(isbi2012, "evaluate", stand_in)
    patch(cunet.reporting, "write_report", write_stub)


@pytest.fixture(autouse=True)
def _light(monkeypatch):
    light(lambda *a: monkeypatch.setattr(*a, raising=False))
    before = get_threads()
    yield
    set_threads(before)


def write_isbi(folder):
    """Five slices of 48 x 40 pixels in the ISBI 2012 layout."""
    images, labels = membranes(5, 48, 40, seed=3)
    folder.mkdir()
    tifffile.imwrite(folder / "train-volume.tif", images, photometric="minisblack")
    tifffile.imwrite(folder / "train-labels.tif", labels, photometric="minisblack")
    return folder


def write_three_classes(folder):
    """Four slices in a folder of pairs, of three classes and two sizes, with ignored pixels."""
    for name in ("images", "labels"):
        (folder / name).mkdir(parents=True)
    images, labels = membranes(4, 48, 40, seed=3)
    for i, (image, cell) in enumerate(zip(images, labels, strict=True)):
        classes = (cell > 0) * np.uint8(1 + i % 2)
        classes[:2] = 255
        rows = 48 - 4 * (i % 2)
        tifffile.imwrite(folder / "images" / f"cell{i}.tif", image[:rows])
        tifffile.imwrite(folder / "labels" / f"cell{i}.tif", classes[:rows])
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_isbi(tmp_path_factory.mktemp("data") / "isbi")


@pytest.fixture(scope="module")
def straight(data, tmp_path_factory):
    """A cross-validation made without a stop: its folder."""
    path = tmp_path_factory.mktemp("straight") / "whole"
    with pytest.MonkeyPatch.context() as patch:
        light(lambda *a: patch.setattr(*a, raising=False))
        patch.setattr(sys, "argv", ["cunet", *map(str, command(data, path)), "-q"])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
    assert stopped.value.code == 0
    return path


def command(data, out, *more):
    return ["crossval", "--data", data, "--out", out, *FOLDS, *TINY, *more]


def arrays_of(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if name != "header"}


def same_arrays(one, other):
    one, other = arrays_of(one), arrays_of(other)
    assert one.keys() == other.keys()
    assert all(np.array_equal(array, other[name]) for name, array in one.items())


def figures(path):
    """metrics.json without what tells time: the seconds, and the models' hashes, which hold them"""
    document = json.loads((path / "metrics.json").read_text())
    for entry in document["runs"]:
        assert entry.pop("seconds") > 0 and len(entry.pop("model")) == 64
    return document


def same_result(one, other, names):
    """Two folders hold the same networks, predictions and scores."""
    assert figures(one) == figures(other)
    files = sorted(p.relative_to(one) for p in one.glob("prediction*/*.tif"))
    for name in files or ["prediction.tif"]:
        assert (one / name).read_bytes() == (other / name).read_bytes()
    for name in names:
        same_arrays(one / name / "last.npz", other / name / "last.npz")
        same_arrays(one / name / "best.npz", other / name / "best.npz")
        last = [json.loads((p / name / "metrics.json").read_text())["last"] for p in (one, other)]
        assert last[0] == last[1]
    left = {str(p.relative_to(one)) for p in one.rglob("*")}
    assert left == {str(p.relative_to(other)) for p in other.rglob("*")}


# What it makes


def test_a_fold_is_the_run_that_train_makes(data, straight, run, tmp_path):
    out = tmp_path / "single"
    more = ["--fold", "1/2", "--seed", 4, "--out", out]
    assert run("train", "--data", data, *TINY, *more)[0] == 0
    fold = straight / "fold1-seed4"
    for name in ("last.npz", "best.npz"):
        same_arrays(fold / name, out / name)
    here, there = (tomllib.loads((p / "run.toml").read_text()) for p in (fold, out))
    assert here | {"out": ""} == there | {"out": ""}
    here, there = (json.loads((p / "metrics.json").read_text()) for p in (fold, out))
    assert here["last"] == there["last"]
    one_view = json.loads((straight / "fold1-seed4" / "scores.json").read_text())["scores"]["none"]
    assert one_view["dice"] == here["last"]["val_dice"]
    made = {p.name for p in out.iterdir()} | {"held_out.npz", "scores.json"}
    assert {p.name for p in fold.iterdir()} == made
    assert {p.name for p in straight.iterdir()} == {
        *NAMES,
        "crossval.toml",
        "metrics.json",
        "prediction.tif",
        ".lock",
    }


def test_every_slice_is_predicted_by_the_run_that_held_it_out(data, straight):
    stack = tifffile.imread(straight / "prediction.tif")
    images = tifffile.imread(data / "train-volume.tif")
    assert stack.shape == images.shape and stack.dtype == np.float32
    for i, image in enumerate(images):
        net = checkpoint.load(straight / f"fold{i % 2}-seed4" / "last.npz")
        tile = tiling.whole_tile(image.shape, net.depth)
        expected = cunet.segment(image, net, tile, "rotations")[..., 1]
        np.testing.assert_array_equal(stack[i], expected)
    assert [f["held_out"] for f in figures(straight)["runs"]] == [[0, 2, 4], [1, 3], [0, 2, 4]]


def test_scores_mean_and_deviation_by_hand(data, straight):
    found = figures(straight)
    truth = tifffile.imread(data / "train-labels.tif") > 0
    stack = tifffile.imread(straight / "prediction.tif")
    assert [entry["run"] for entry in found["runs"]] == NAMES
    for entry in found["runs"][:2]:
        held_out = entry["held_out"]
        expected = stand_in(stack[held_out], truth[held_out], progress=lambda n: None)
        expected.pop("per_slice")
        counts = PixelCounts()
        for i in held_out:
            counts.add(stack[i], truth[i])
        assert entry["rotations"] == expected | {"dice": counts.dice()}
        assert entry["none"] != entry["rotations"]
    for average in ("none", "rotations"):
        for key in crossval_scores.SCORES:
            a, b, c = (entry[average][key] for entry in found["runs"])
            assert found["mean"][average][key] == pytest.approx((a + b) / 2)
            assert found["sd"][average][key] == pytest.approx(abs(a - b) / 2**0.5)
            assert found["seeds"]["mean"][average][key] == pytest.approx((a + c) / 2)
            assert found["seeds"]["sd"][average][key] == pytest.approx(abs(a - c) / 2**0.5)
    whole = stand_in(stack, truth, progress=lambda n: None)
    assert found["stack"]["rotations"]["v_info"] == whole["v_info"]
    assert [s["slice"] for s in found["stack"]["none"]["per_slice"]] == [0, 1, 2, 3, 4]
    assert found["limits"] is None


def test_the_scores_are_those_of_the_challenge(data, monkeypatch):
    monkeypatch.undo()  # the true ones
    from cunet.metrics import isbi2012

    dataset = load.load(data)
    rng = np.random.default_rng(1)
    pages = [rng.random((48, 40), np.float32) for _ in range(2)]
    found = crossval_scores.evaluate(pages, dataset, [1, 3])
    truth = np.stack([dataset.labels[i] == 1 for i in (1, 3)])
    expected = isbi2012.evaluate(np.stack(pages), truth)
    assert [page.pop("slice") for page in found["per_slice"]] == [1, 3]
    assert [page.pop("slice") for page in expected["per_slice"]] == [0, 1]
    assert 0 < found.pop("dice") < 1 and found == expected


def test_the_table_and_the_next_command(data, straight, run, capsys):
    code, text, err = run("crossval", "--resume", straight)
    assert code == 0
    lines = text.splitlines()
    assert lines[0].split() == "one view pixel err Rand err warp err V Rand V info Dice".split()
    found = figures(straight)
    for name, scores in (
        ("fold 1, 2 slices", found["runs"][1]),
        ("mean of the folds", found["mean"]),
        ("fold 0, seed 5", found["runs"][2]),
        ("mean of the seeds", found["seeds"]["mean"]),
        ("all 5 slices", found["stack"]),
    ):
        one, eight = (line for line in lines if line.startswith(name))
        assert one.split()[-1] == f"{scores['none']['dice']:.4f}"
        assert eight.split()[-1] == f"{scores['rotations']['dice']:.4f}"
    assert max(map(len, lines)) <= 80
    truth = data / "train-labels.tif"
    assert err.splitlines()[-1].strip() == f"cunet evaluate isbi {straight}/prediction.tif {truth}"
    code, text, err = run("crossval", "--resume", straight, "--json", "-q")
    assert code == 0 and err == ""
    assert json.loads(text) == json.loads((straight / "metrics.json").read_text())


# Interruptions

# Where a process is killed: as the n-th time a file is about to get its name, or after n steps
KILLS = [
    ("fold0-seed4/run.toml", 1),  # before there is a model
    ("fold0-seed4/last.npz", 2),  # in the middle, after a validation
    ("fold0-seed4/metrics.json", 1),  # after the last model
    ("fold0-seed4/held_out.npz", 1),  # between training and scoring
    ("fold0-seed4/scores.json", 1),
    ("step", 6),  # in the middle of fold 1, between two saves
    ("fold0-seed5/env.json", 1),
    ("whole/prediction.tif", 1),  # all runs are done
    ("whole/metrics.json", 1),
]


def killed_at(point, times, arguments):
    """Run the command line until this process is killed there; 1 where it comes to its end."""

    def countdown(original, counts):
        def call(*given):
            nonlocal times
            if counts(*given):
                times -= 1
                if times == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
            return original(*given)

        return call

    if point == "step":
        training.Step.update = countdown(training.Step.update, lambda step: True)
    else:
        os.replace = countdown(os.replace, lambda a, b: str(b).endswith(point))
    sys.argv = ["cunet", *arguments]
    cli.main()


def kill_again_and_again(arguments, path):
    """In processes forked from this one, which holds no threads: begin, be killed, resume."""
    light(setattr)
    for point, times in KILLS:
        child = os.fork()
        if child == 0:
            try:
                killed_at(point, times, arguments)
            finally:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        if not os.WIFSIGNALED(status) or os.WTERMSIG(status) != signal.SIGKILL:
            sys.exit(f"{point} was never reached")
        if (Path(path) / "crossval.toml").exists():
            arguments = ["crossval", "--resume", path]


@posix
def test_killed_at_many_points_it_equals_one_without_a_stop(data, straight, run, tmp_path):
    path = tmp_path / "whole"
    script = "import sys, json\nsys.path.insert(0, sys.argv.pop(1))\nimport test_crossval\n"
    script += "test_crossval.kill_again_and_again(json.loads(sys.argv[1]), sys.argv[2])"
    start = json.dumps([str(part) for part in command(data, path)])
    here = str(Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-P", "-c", script, here, start, str(path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert list(path.rglob(".*.part"))  # it was killed while it wrote
    code, _, err = run("crossval", "--resume", path)
    assert code == 0, err
    same_result(straight, path, NAMES)


def test_a_stop_saves_and_says_how_to_go_on(data, straight, run, tmp_path, monkeypatch):
    """Ctrl-C in the middle of fold 1."""
    original, steps = training.Step.update, iter(range(100))

    def interrupted(step):
        if next(steps) == 12:
            os.kill(os.getpid(), signal.SIGINT)
        return original(step)

    path = tmp_path / "whole"
    monkeypatch.setattr(plan, "measure_speed", lambda *a: 0.1)
    monkeypatch.setattr(training.Step, "update", interrupted)
    code, text, err = run(*command(data, path, "--json"))
    assert code == 130
    assert err.splitlines()[-1].strip() == f"cunet crossval --resume {path}"
    answer = json.loads(text)
    assert answer["steps"] == dict(zip(NAMES, (STEPS, 3, 0), strict=True))
    assert not answer["finished"] and not (path / "metrics.json").exists()
    code, text, err = run("crossval", "--resume", path, "--dry-run", "--json")
    assert code == 0 and json.loads(text)["runs_left"] == 2
    assert "fold1-seed4 has done 3 of 10 steps" in err
    assert run("crossval", "--resume", path)[0] == 0
    same_result(straight, path, NAMES)


def test_scores_are_made_anew_where_they_are_missing_or_of_another_model(straight, run, tmp_path):
    path = tmp_path / "whole"
    shutil.copytree(straight, path)
    before = {p: p.stat().st_mtime_ns for p in path.rglob("last.npz")}
    (path / "fold0-seed4" / "scores.json").unlink()
    stale = json.loads((path / "fold1-seed4" / "scores.json").read_text())
    stale["model"], stale["scores"]["none"]["dice"] = "0" * 64, -1
    (path / "fold1-seed4" / "scores.json").write_text(json.dumps(stale))
    (path / "fold0-seed5" / "held_out.npz").write_bytes(b"PK damaged")
    (path / "prediction.tif").unlink()
    assert run("crossval", "--resume", path)[0] == 0
    same_result(straight, path, NAMES)
    assert before == {p: p.stat().st_mtime_ns for p in path.rglob("last.npz")}


def test_another_average_and_more_seeds_on_resume(straight, run, tmp_path):
    path = tmp_path / "whole"
    shutil.copytree(straight, path)
    assert run("crossval", "--resume", path, "--average", "flips", "--seeds", 3)[0] == 0
    found = figures(path)
    assert found["average"] == "flips" and found["stack"].keys() == {"none", "flips"}
    assert [entry["run"] for entry in found["runs"]] == [*NAMES, "fold0-seed6"]
    assert found["mean"]["none"] == figures(straight)["mean"]["none"]
    assert crossval.load(path).average == "flips" and crossval.load(path).seeds == 3


def test_the_real_scores_of_the_stack(data, straight, run, tmp_path, monkeypatch):
    """Without the stand-in: what `cunet evaluate isbi` says of prediction.tif."""
    monkeypatch.setattr(isbi2012, "evaluate", REAL)
    path = tmp_path / "whole"
    shutil.copytree(straight, path)
    assert run("crossval", "--resume", path, "--average", "flips")[0] == 0
    pair = path / "prediction.tif", data / "train-labels.tif"
    code, out, err = run("evaluate", "isbi", *pair, "--json", "-q")
    assert code == 0, err
    assert figures(path)["stack"]["flips"].items() >= json.loads(out).items()


def test_finished_runs_of_train_are_taken_over(data, straight, run, tmp_path):
    path = tmp_path / "moved"
    for name in NAMES:
        run_toml = (straight / name / "run.toml").read_text().replace(str(straight), "/gone")
        shutil.copytree(straight / name, path / name)
        (path / name / "run.toml").write_text(run_toml.replace("threads = 1", "threads = 7"))
        for made_later in ("held_out.npz", "scores.json"):
            (path / name / made_later).unlink()
    code, _, err = run("train", "--data", data, "--out", path, "--fold", "0/2", *TINY)
    assert code == 2
    code, _, err = run(*command(data, path))
    assert code == 2 and f"--resume {path}" in err
    before = {p: p.stat().st_mtime_ns for p in path.rglob("last.npz")}
    code, _, err = run("crossval", "--resume", path)
    assert code == 0, err
    assert before == {p: p.stat().st_mtime_ns for p in path.rglob("last.npz")}
    assert "fold1-seed4 has done 10 of 10 steps, to be scored" in err
    assert figures(path) == figures(straight)
    assert (path / "prediction.tif").read_bytes() == (straight / "prediction.tif").read_bytes()


def test_runs_that_do_not_belong_are_refused(data, straight, run, tmp_path):
    path = tmp_path / "whole"
    shutil.copytree(straight, path)
    toml = path / "fold1-seed4" / "run.toml"
    toml.write_text(toml.read_text().replace("lr = 0.001", "lr = 0.002"))
    code, _, err = run("crossval", "--resume", path)
    assert code == 2 and "lr = 0.002" in err and "0.001" in err and "fold1-seed4" in err
    env = path / "fold0-seed4" / "env.json"
    facts = json.loads(env.read_text())
    facts["data"]["train-labels.tif"] = "0" * 64
    env.write_text(json.dumps(facts))
    code, _, err = run("crossval", "--resume", path)
    assert code == 3 and "train-labels.tif" in err


# Several at a time


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
        ("echo 'Traceback ... KeyError' >&2; exit 1", 1, "a bug in cunet:\nTraceback"),
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
    told = []
    places = workers.places(cv.config, 2, 3)
    with pytest.raises(CunetError) as caught:
        workers.side_by_side(cv, cv.runs, places, None, lambda *a: told.append(a))
    assert caught.value.exit_code == code and words in str(caught.value)
    assert (tmp_path / "stopped").exists()
    assert told == [(cv.runs[1], {"step": 7})]  # the third was never begun
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


def test_two_processes_do_not_work_in_one_folder(straight, run, tmp_path):
    path = tmp_path / "whole"
    shutil.copytree(straight, path)
    pytest.importorskip("fcntl")
    with crossval.at_work(path):
        code, _, err = run("crossval", "--resume", path)
    assert code == 2 and "another process" in err
    assert run("crossval", "--resume", path)[0] == 0


# Settings and errors


def test_a_dry_run_writes_nothing_and_fits_the_steps(data, run, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "measure_speed", lambda config, prepared: 0.5)
    monkeypatch.chdir(tmp_path)
    timed = [part for part in TINY if part not in ("--steps", "10")]
    code, text, err = run("crossval", "--data", data, *timed, "--minutes", 2, "-n", "--json")
    assert code == 0, err
    answer = json.loads(text)
    assert answer["steps"] == 240 and answer["runs"] == answer["runs"] == 5
    assert answer["expected_seconds"] == 600
    assert "runs/isbi-crossval-1" in err and not any(tmp_path.iterdir())


def test_minutes_give_all_folds_the_same_steps(data, run, tmp_path, monkeypatch):
    measured = iter([0.5])  # asked once
    monkeypatch.setattr(plan, "measure_speed", lambda config, prepared: next(measured))
    timed = [part for part in TINY if part not in ("--steps", "10")]
    path = tmp_path / "timed"
    more = ["--out", path, "--minutes", 0.05, "--folds", 3, "--average", "none", "-q"]
    assert run("crossval", "--data", data, *timed, *more)[0] == 0
    assert [entry["steps"] for entry in figures(path)["runs"]] == [6, 6, 6]
    assert crossval.load(path).config.steps == 6 and crossval.load(path).config.minutes is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--folds", 6], ["5 slices", "6 folds"]),
        (["--folds", 1], ["--folds"]),
        (["--average", "mirrors"], ["none, flips, rotations", "mirrors"]),
        (["--fold", "0/5"], ["--fold"]),
        (["--minutes", 1], ["--steps and --minutes"]),
        (["--out", "OLD"], ["exists", "--resume OLD"]),
        (["--out", "DATA"], ["other files"]),
        (["--out", "FILE"], ["is a file"]),
        (["--resume", "OLD"], ["--resume", "found --data"]),
    ],
)
def test_wrong_use(data, straight, run, tmp_path, options, words):
    file = tmp_path / "file"
    file.write_text("")
    names = {"OLD": str(straight), "DATA": str(data), "FILE": str(file)}
    given = ["--out", tmp_path / "new", *[names.get(option, option) for option in options]]
    code, out, err = run("crossval", "--data", data, *TINY, *given)
    assert code == 2 and out == "" and "Traceback" not in err, err
    for word in words:
        for name, meant in names.items():
            word = word.replace(name, meant)
        assert word in err
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_resumed(straight, tmp_path):
    with pytest.raises(CunetError, match="not a cross-validation"):
        crossval.load(tmp_path)
    for text in ("folds = 5\nseeds = 1\n", 'folds = 5\nseeds = 1\naverage = "none"\nwidht = 3\n'):
        (tmp_path / "crossval.toml").write_text(text)
        with pytest.raises(CunetError, match="damaged"):
            crossval.load(tmp_path)
    cv = crossval.load(straight)
    with pytest.raises(DataError, match="fold0-seed6.*not finished"):
        crossval_scores.collect(replace(cv, seeds=3), load.load(cv.config.data), print)


@pytest.mark.parametrize("more", [{"hold_out": "1"}, {"train_share": 0.5}, {"drop": "1"}])
def test_another_split_than_folds_is_refused(tmp_path, more):
    ((name, _),) = more.items()
    with pytest.raises(CunetError, match=f"{name}: a cross-validation makes folds of all slices"):
        crossval.CrossValidation(tmp_path, Config(**more))
