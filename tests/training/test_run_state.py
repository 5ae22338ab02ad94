"""What is said of a run before its network is applied, and which run is taken unasked."""

import os
import shutil

import numpy as np
import pytest
import tifffile
from isbi_data import isbi_folder
from small_trainings import settings

import cunet
from cunet.data.synthetic import membranes
from cunet.errors import CunetError, NumericError
from cunet.training.run_state import doubts_of, newest, state_of


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Runs of every kind: finished, stopped early and late, not begun, and one that diverges."""
    root = tmp_path_factory.mktemp("runs")
    data = isbi_folder(root / "data")
    made = root / "runs"

    def stopped(name, after, **more):
        records = cunet.train(settings(data, out=str(made / name), **more))
        try:
            for record in records:
                if record["step"] == after:
                    break
        finally:
            records.close()

    stopped("finished", 30)
    list(cunet.train(settings(data, out=str(made / "whole"))))
    stopped("early", 4)
    stopped("late", 14)
    with pytest.raises(NumericError):
        list(cunet.train(settings(data, out=str(made / "bad"), solver="sgd", lr=1e30, clip=0)))
    shutil.copytree(made / "early", made / "young")
    records = cunet.train(settings(data, out=str(made / "never")))
    records.close()  # before its first step
    for number, name in enumerate(("whole", "late", "early", "bad")):
        os.utime(made / name / "last.npz", (1e9 + number, 1e9 + number))
    return made


def only(runs, folder, *names):
    """A folder with copies of some of the runs, each newer than the one before it."""
    for number, name in enumerate(names):
        shutil.copytree(runs / name, folder / name)
        os.utime(folder / name / "last.npz", (2e9 + number, 2e9 + number))
    return folder


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("whole", None),
        ("late", "unfinished: 14 of 30 steps were saved"),
        ("early", "unfinished: 4 of 30 steps were saved, before its first validation"),
        ("bad", "untrained: not one step was saved, loss is"),
    ],
)
def test_what_is_said_of_a_run(runs, name, words):
    state = state_of(runs / name)
    assert state.doubt == "" if words is None else words in state.doubt
    said = doubts_of(runs / name / "last.npz")
    assert said == [] if words is None else f"warning: run '{runs / name}' is {words}" in said[0]
    assert state.usable == (name in ("whole", "late"))


def test_a_run_that_diverged_after_a_validation(runs, tmp_path):
    run = shutil.copytree(runs / "late", tmp_path / "run")
    (run / "failure.json").write_text('{"step": 20, "error": "loss is nan at step 21. Lower --lr"}')
    doubt = state_of(run).doubt
    assert doubt == "diverged (loss is nan at step 21); the network is that of step 14"
    (run / "failure.json").write_text("{")
    assert "diverged" in state_of(run).doubt


def test_a_resumed_run_is_no_failure_any_more(runs, tmp_path):
    from cunet.training.plan import start

    run = shutil.copytree(runs / "late", tmp_path / "run")
    (run / "failure.json").write_text('{"step": 20, "error": "loss is nan"}')
    made = start(resume=str(run))
    list(cunet.train(made.config, made.prepared, resume=True))
    assert not (run / "failure.json").exists() and state_of(run).doubt == ""


def test_the_newest_run_of_use(runs, tmp_path):
    assert newest(tmp_path / "none") == (None, [])
    assert newest(only(runs, tmp_path / "a", "whole", "late"))[0].name == "late"
    run, notes = newest(only(runs, tmp_path / "b", "whole", "early", "bad"))
    assert run.name == "whole" and ["bad'" in notes[0], "early'" in notes[1]] == [True, True]
    run, notes = newest(only(runs, tmp_path / "c", "early", "bad"))
    assert run is None and len(notes) == 2


def test_segment_says_what_it_takes(runs, tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    only(runs, tmp_path / "runs", "whole", "early")
    tifffile.imwrite("a.tif", np.random.default_rng(0).integers(0, 255, (60, 60)).astype("u1"))
    code, _, err = run("segment", "a.tif", "--out", "one")
    assert code == 0 and "passed over run 'runs/early'" in err and "runs/whole" in err
    code, _, err = run("segment", "a.tif", "--model", "runs/early", "--out", "two", "-q")
    assert code == 0 and err.strip().startswith("warning: run 'runs/early' is unfinished")
    shutil.rmtree("runs/whole")
    tifffile.imwrite("b.tif", membranes(1, 100, 90, seed=1)[0][0])
    code, _, err = run("segment", "b.tif", "--out", "three")
    assert code == 0 and "passed over" in err and "model em" in err


def test_damage_is_told_by_whoever_reads_the_model(runs, tmp_path):
    run = shutil.copytree(runs / "whole", tmp_path / "run")
    (run / "run.toml").write_text("width = [")
    with pytest.raises(CunetError):
        state_of(run)
    assert doubts_of(run / "last.npz") == []
    assert newest(tmp_path)[0] == run and "warning" in newest(tmp_path)[1][0]


def test_when_validation_comes(tmp_path):
    for steps, given, interval in (
        (4800, None, 500), (1000, None, 200), (7, None, 1), (3, None, 1), (100, 80, 80),
    ):  # fmt: skip
        assert cunet.Config(steps=steps, validate_every=given).interval == interval
    data = isbi_folder(tmp_path / "data")
    made = list(cunet.train(settings(data, steps=12, validate_every=None)))
    assert [r["step"] for r in made if "val_loss" in r] == [2, 4, 6, 8, 10, 12]


def test_train_says_when_nothing_is_held_out(tmp_path, run):
    data = isbi_folder(tmp_path / "data")
    tiny = "--width 2 --depth 1 --tile 34 --steps 2 --device cpu --dry-run".split()
    code, _, err = run("train", "--data", data, *tiny)
    lines = [line for line in err.splitlines() if "nothing is held out" in line]
    assert code == 0 and len(lines) == 1 and "--fold 0/" in lines[0]
    assert "nothing is held out" not in run("train", "--data", data, *tiny, "--fold", "0/4")[2]
