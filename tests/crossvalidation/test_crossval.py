"""Cross-validation: the bits of single runs, the scores by hand, settings and what is refused."""

import json
import os
import shutil
import tomllib
from dataclasses import replace

import numpy as np
import pytest
import tifffile
from run_folders import same_arrays
from small_crossval import NAMES, STEPS, TINY, command, figures

import cunet
from cunet.crossvalidation import runs as crossval
from cunet.crossvalidation import scores as crossval_scores
from cunet.crossvalidation import summary
from cunet.data import load
from cunet.errors import CunetError, DataError
from cunet.metrics import isbi2012
from cunet.metrics.pixel import PixelCounts
from cunet.net import checkpoint
from cunet.segmentation import tiling
from cunet.training import plan
from cunet.training.config import Config

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals, fork and file locks")


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
    }


def test_every_slice_is_predicted_by_the_run_that_held_it_out(data, straight):
    stack = tifffile.imread(straight / "prediction.tif")
    images = tifffile.imread(data / "train-volume.tif")
    assert stack.shape == images.shape and stack.dtype == np.float32
    for i, image in enumerate(images):
        net = checkpoint.load(straight / f"fold{i % 2}-seed4" / "last.npz")
        tile = tiling.whole_tile(image, net.shape)
        expected = cunet.segment(image, net, tile, "rotations")[..., 1]
        np.testing.assert_array_equal(stack[i], expected)
    assert [f["held_out"] for f in figures(straight)["runs"]] == [[0, 2, 4], [1, 3]] * 2


def test_scores_mean_and_deviation_by_hand(data, straight):
    found = figures(straight)
    truth = tifffile.imread(data / "train-labels.tif") > 0
    stack = tifffile.imread(straight / "prediction.tif")
    assert [entry["run"] for entry in found["runs"]] == NAMES
    for entry in found["runs"][:2]:
        held_out = entry["held_out"]
        expected = isbi2012.evaluate(stack[held_out], truth[held_out])
        expected = {key: expected[key] for key in (*isbi2012.KEYS, "thresholds")}
        counts = PixelCounts()
        for i in held_out:
            counts.add(stack[i], truth[i])
        assert entry["rotations"] == expected | {"dice": counts.dice()}
        assert entry["none"] != entry["rotations"]
    for average in ("none", "rotations"):
        for key in crossval_scores.SCORES:
            a, b, c, d = (entry[average][key] for entry in found["runs"])
            mean = (a + b + c + d) / 4
            square = sum((one - mean) ** 2 for one in (a, b, c, d)) / 3
            assert found["mean"][average][key] == pytest.approx(mean)
            assert found["sd"][average][key] == pytest.approx(square**0.5)
            for name, one, other in (
                ("folds", (a + c) / 2, (b + d) / 2),
                ("seeds", (a + b) / 2, (c + d) / 2),
            ):
                assert found[name]["mean"][average][key] == pytest.approx(mean)
                sd = abs(one - other) / 2**0.5
                assert found[name]["sd"][average][key] == pytest.approx(sd, abs=1e-12)
    assert (found["n"], found["folds"]["n"], found["seeds"]["n"]) == (4, 2, 2)
    whole = isbi2012.evaluate(stack, truth)
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


def test_the_table_and_the_next_command(data, straight, run):
    code, text, err = run("crossval", "--resume", straight)
    assert code == 0
    lines = text.splitlines()
    heads = [line.split() for line in lines if line.startswith("one view")]
    assert heads == ["one view pixel err Rand err warp err V Rand V info Dice".split()]
    found = figures(straight)
    for name, scores in (
        ("fold 1, seed 4", found["runs"][1]),
        ("fold 0, seed 5", found["runs"][2]),
        ("mean of 4 runs", found["mean"]),
        ("sd of 4 runs", found["sd"]),
        ("sd of 2 folds", found["folds"]["sd"]),
        ("sd of 2 seeds", found["seeds"]["sd"]),
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


def test_the_real_scores_of_the_stack(data, straight, run, tmp_path, monkeypatch):
    """Without the stand-in: what `cunet evaluate isbi` says of prediction.tif."""
    monkeypatch.undo()  # the true ones
    path = tmp_path / "whole"
    shutil.copytree(straight, path)
    code, _, err = run("crossval", "--resume", path, "--average", "flips")
    assert code == 0, err
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


def test_runs_of_train_say_which_folds_have_further_seeds(straight, tmp_path):
    path = shutil.copytree(straight, tmp_path / "moved")
    (path / "crossval.toml").unlink()
    assert [run.name for run in crossval.load(path).runs] == NAMES
    shutil.rmtree(path / "fold1-seed5")
    assert [run.name for run in crossval.load(path).runs] == NAMES[:3]
    shutil.rmtree(path / "fold0-seed5")
    assert [run.name for run in crossval.load(path).runs] == NAMES[:2]


def test_runs_that_do_not_belong_are_refused(straight, run, tmp_path):
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


def test_a_dry_run_writes_nothing_and_fits_the_steps(data, run, tmp_path, monkeypatch):
    monkeypatch.setattr(plan, "measure_speed", lambda config, prepared: 0.5)
    monkeypatch.chdir(tmp_path)
    timed = [part for part in TINY if part not in ("--steps", "10")]
    code, text, err = run("crossval", "--data", data, *timed, "--minutes", 2, "-n", "--json")
    assert code == 0, err
    document = json.loads(text)
    assert document["steps"] == 240 and document["runs"] == document["runs_left"] == 5
    assert document["expected_seconds"] == 600
    for more, runs in (([], 15), (["--seeds-of", "first"], 7)):
        given = ["--seeds", 3, *more, "-n", "--json"]
        code, text, err = run("crossval", "--data", data, *TINY, *given)
        document = json.loads(text)
        assert code == 0 and document["runs"] == document["runs_left"] == runs, err
        assert document["expected_seconds"] == runs * STEPS * 0.5
        assert f"seeds 0, 1, 2: {runs} runs, 1 at a time" in err
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
        (["--seeds-of", "0"], ["all, first", "0"]),
        (["--seeds", 5001, "--folds", 2], ["2 folds with 5001 seeds", "10,000; give fewer"]),
        (["--fold", "0/5"], ["--fold"]),
        (["--minutes", 1], ["--steps and --minutes"]),
        (["--out", "OLD"], ["exists", "--resume OLD"]),
        (["--out", "DATA"], ["other files"]),
        (["--out", "FILE"], ["is a file"]),
        (["--resume", "OLD"], ["--resume", "found --preset"]),
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
        summary.collect(replace(cv, seeds=3), load.load(cv.config.data), print)


@pytest.mark.parametrize("more", [{"hold_out": "1"}, {"train_share": 0.5}, {"drop": "1"}])
def test_another_split_than_folds_is_refused(tmp_path, more):
    ((name, _),) = more.items()
    with pytest.raises(CunetError, match=f"{name}: a cross-validation makes folds of all slices"):
        crossval.CrossValidation(tmp_path, Config(**more))
