"""cunet.crossval: a cross-validation from Python, in the words of the command."""

import inspect
import json
import os
import shutil
import signal

import numpy as np
import pytest
from small_crossval import FOLDS, NAMES, STEPS, figures, same_result

import cunet
from cunet.crossvalidation import plan as plans
from cunet.crossvalidation import runs
from cunet.errors import CunetError, NumericError
from cunet.training import plan as training

WORDS = {"folds": 2, "seeds": 2, "seed": 4}  # FOLDS and TINY of small_crossval.py
SMALL = {"width": 2, "depth": 1, "tile": 34, "steps": STEPS, "validate_every": 4}
SMALL |= {"preset": "cpu", "device": "cpu", "threads": 1}


def test_it_makes_what_the_command_makes(data, straight, tmp_path, capsys):
    assert FOLDS == [part for k, v in WORDS.items() for part in (f"--{k}", str(v))]
    events = []
    document = cunet.crossval(
        data, **WORDS, **SMALL, out=tmp_path / "it", progress=lambda *a: events.append(a)
    )
    same_result(straight, tmp_path / "it", NAMES)
    assert document == json.loads((tmp_path / "it" / "metrics.json").read_text())
    assert capsys.readouterr() == ("", "")
    steps = [(run.name, event["step"]) for run, event in events if "step" in event]
    assert steps == [(name, step) for name in NAMES for step in range(1, STEPS + 1)]
    assert [run.name for run, event in events if "scores" in event] == NAMES
    last = [event for run, event in events if run is None]
    assert last[-1] == {"doing": "all slices at once", "done": 10, "of": 10}


def test_a_finished_one_is_returned_at_once(straight, tmp_path):
    shutil.copytree(straight, tmp_path / "it")
    events = []
    document = cunet.crossval(resume=tmp_path / "it", progress=lambda *a: events.append(a))
    assert document == json.loads((straight / "metrics.json").read_text()) and events == []


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_ctrl_c_saves_and_raises(data, straight, tmp_path):
    def progress(run, event):
        if run == runs.Run(1, 4) and event.get("step") == 3:
            os.kill(os.getpid(), signal.SIGINT)

    path = tmp_path / "it"
    with pytest.raises(KeyboardInterrupt):
        cunet.crossval(data, **WORDS, **SMALL, out=path, progress=progress)
    assert runs.load(path).steps_done(runs.Run(1, 4)) == 3
    cunet.crossval(resume=path)
    assert figures(path) == figures(straight)


def test_an_error_says_how_to_go_on(data, tmp_path):
    path = tmp_path / "it"
    bad = SMALL | {"solver": "sgd", "lr": 1e18}
    with np.errstate(all="ignore"), pytest.raises(NumericError, match="^fold0-seed0: loss") as got:
        cunet.crossval(data, folds=2, **bad, out=path)
    assert got.value.__notes__ == [
        f"finished work is kept; to continue: cunet crossval --resume {path}"
    ]


def test_the_plan_says_what_the_dry_run_says(data, run, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "measure_speed", lambda config, prepared: 0.5)
    plan = plans.make(data, folds=3, jobs=2, **SMALL | {"threads": None}, out=tmp_path / "it")
    assert (len(plan.todo), len(plan.places), plan.fold.left) == (3, 2, STEPS)
    assert plan.expected_seconds == 2 * STEPS * 0.5
    options = [f"--{name.replace('_', '-')}={value}" for name, value in SMALL.items()]
    more = ["--folds", 3, "--jobs", 2, "--out", tmp_path / "it", "--dry-run", "--json"]
    code, text, err = run("crossval", "--data", data, *options, *more)
    assert code == 0 and json.loads(text) == plan.summary()
    assert f"{plan.fold.threads} CPU thread" in err
    assert not (tmp_path / "it").exists()


@pytest.mark.parametrize(
    ("words", "reported"),
    [
        ({"folds": 1}, "folds: expected 2 or more"),
        ({"folds": 0}, "folds: expected 2 or more"),
        ({"seeds": 0}, "seeds: expected 1 or more"),
        ({"seeds_of": "0"}, "seeds_of.*all, first"),
        ({"fold": "0/5"}, "fold: a cross-validation makes folds of all slices"),
        ({"hold_out": "1"}, "fold and hold_out"),
        ({"steps": 5, "minutes": 1}, "steps and --minutes"),
        ({"average": "mirrors"}, "none, flips, rotations"),
        ({"resume": "runs/a"}, "not a cross-validation"),
    ],
    ids=str,
)
def test_wrong_use(data, tmp_path, monkeypatch, words, reported):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CunetError, match=reported):
        cunet.crossval(data, **words)
    assert not any(tmp_path.iterdir())


def test_crossval_and_its_plan_take_the_same_words():
    one = list(inspect.signature(cunet.crossval).parameters)
    one.remove("progress")
    assert one == list(inspect.signature(plans.make).parameters)
