"""A cross-validation that is killed or stopped at any point goes on to the same result."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import small_crossval
from small_crossval import NAMES, STEPS, command, figures, of_older_cunet, same_result

from cunet.crossvalidation import runs as crossval
from cunet.engines import definition
from cunet.training import plan

posix = pytest.mark.skipif(os.name != "posix", reason="needs signals, fork and file locks")


@posix
def test_killed_at_many_points_it_equals_one_without_a_stop(data, straight, run, tmp_path):
    path = tmp_path / "whole"
    script = "import sys, json\nsys.path.insert(0, sys.argv.pop(1))\nimport small_crossval\n"
    script += "small_crossval.kill_again_and_again(json.loads(sys.argv[1]), sys.argv[2])"
    start = json.dumps([str(part) for part in command(data, path)])
    here = str(Path(small_crossval.__file__).parent)
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
    original, steps = definition.Step.update, iter(range(100))

    def interrupted(step):
        if next(steps) == 12:
            os.kill(os.getpid(), signal.SIGINT)
        return original(step)

    path = tmp_path / "whole"
    monkeypatch.setattr(plan, "measure_speed", lambda *a: 0.1)
    monkeypatch.setattr(definition.Step, "update", interrupted)
    code, text, err = run(*command(data, path, "--json"))
    assert code == 130
    assert err.splitlines()[-1].strip() == f"cunet crossval --resume {path}"
    document = json.loads(text)
    assert document["steps"] == dict(zip(NAMES, (STEPS, 3, 0, 0), strict=True))
    assert not document["finished"] and not (path / "metrics.json").exists()
    code, text, err = run("crossval", "--resume", path, "--dry-run", "--json")
    assert code == 0 and json.loads(text)["runs_left"] == 3
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


def test_what_is_done_is_summed_up_where_a_later_seed_is_not(straight, run, tmp_path):
    """Stopped in the second seed: the first is whole, every slice held out once."""
    path = tmp_path / "whole"
    shutil.copytree(straight, path)
    shutil.rmtree(path / "fold1-seed5")
    (path / "metrics.json").unlink()
    before = {p: p.stat().st_mtime_ns for p in path.rglob("last.npz")}
    assert run("crossval", "--resume", path, "--seeds", 1)[0] == 0
    found, runs = figures(path), figures(straight)["runs"]
    assert found["runs"] == runs[:2] and found["n"] == 2 and found["seeds"] is None
    assert found["stack"] == figures(straight)["stack"]
    assert before == {p: p.stat().st_mtime_ns for p in path.rglob("last.npz")}
    assert run("crossval", "--resume", path, "--seeds", 2)[0] == 0
    same_result(straight, path, NAMES)


def test_a_folder_whose_further_seeds_were_of_fold_0_stays_so(straight, run, tmp_path):
    """As an older cunet left it; and it takes the other folds' seeds where they are asked for."""
    path = of_older_cunet(shutil.copytree(straight, tmp_path / "whole"))
    old = figures(path)
    before = {p: p.stat().st_mtime_ns for p in path.rglob("last.npz")}
    code, text, err = run("crossval", "--resume", path)
    assert code == 0 and "and fold 0 with seeds 4, 5: 3 runs" in err
    assert before == {p: p.stat().st_mtime_ns for p in path.rglob("last.npz")}
    found = figures(path)
    assert [entry["run"] for entry in found["runs"]] == NAMES[:3]
    assert found["seeds"]["n"] == found["n"] == 2 and found["scored"]["slices"] == 5
    for one, other in ((found, old), (found["seeds"], old["seeds"])):
        for part in ("mean", "sd"):
            for average in ("none", "rotations"):
                assert one[part][average] == pytest.approx(other[part][average])
    lines = {line[:20].strip() for line in text.splitlines()}
    assert {"mean of 2 folds", "fold 0, seed 5", "mean of 2 seeds", "sd of 2 seeds"} <= lines
    assert run("crossval", "--resume", path, "--seeds-of", "all")[0] == 0
    same_result(straight, path, NAMES)


def test_another_average_and_more_seeds_on_resume(straight, run, tmp_path):
    path = tmp_path / "whole"
    shutil.copytree(straight, path)
    assert run("crossval", "--resume", path, "--average", "flips", "--seeds", 3)[0] == 0
    found = figures(path)
    assert found["average"] == "flips" and found["stack"].keys() == {"none", "flips"}
    assert [entry["run"] for entry in found["runs"]] == [*NAMES, "fold0-seed6", "fold1-seed6"]
    assert found["runs"][0]["none"] == figures(straight)["runs"][0]["none"]
    assert crossval.load(path).average == "flips" and crossval.load(path).seeds == 3
