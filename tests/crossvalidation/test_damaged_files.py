"""Files of a cross-validation that are damaged: made again, or named; never a traceback."""

import json
import shutil

import numpy as np
import pytest
from small_crossval import figures, same_result

import cunet
from cunet.crossvalidation import runs as crossval
from cunet.errors import CunetError, DataError

SCORES = ["", "{", "[]", "null", "{}", '{"model": 1}', "[" * 100_000]


def change_json(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


@pytest.fixture
def path(straight, tmp_path):
    return shutil.copytree(straight, tmp_path / "whole")


@pytest.mark.parametrize("text", SCORES, ids=range(len(SCORES)))
def test_damaged_scores_are_made_anew(path, straight, run, text):
    (path / "fold0-seed4" / "scores.json").write_text(text)
    (path / "metrics.json").write_text(text)
    code, _, err = run("crossval", "--resume", path)
    assert code == 0, err
    same_result(straight, path, [])


CHANGES = [
    lambda found: found["scores"].pop("none"),
    lambda found: found["scores"]["none"].pop("thresholds"),
    lambda found: found["scores"]["none"].update(dice="0.5"),
    lambda found: found["scores"]["none"].update(thresholds=[]),
    lambda found: found.update(scores=[]),
    lambda found: found.update(held_out="0"),
    lambda found: found.update(held_out=[0, "1"]),
    lambda found: found.update(held_out=[99]),
    lambda found: found.update(steps=True),
    lambda found: found.update(seconds=None),
]


@pytest.mark.parametrize("change", CHANGES, ids=range(len(CHANGES)))
def test_scores_of_another_form_are_made_anew(path, straight, run, change):
    change_json(path / "fold1-seed4" / "scores.json", change)
    assert run("crossval", "--resume", path)[0] == 0
    same_result(straight, path, [])


def test_a_score_that_is_missing_is_named(path, run):
    change_json(path / "fold1-seed4" / "scores.json", lambda f: f["scores"]["none"].pop("dice"))
    code, _, err = run("crossval", "--resume", path)
    assert code == 3 and "fold1-seed4/scores.json' is damaged (dice missing)" in err


@pytest.mark.parametrize(
    "stack", [3, [], {}, {"none": {}}, {"none": 1, "rotations": 2}, {"none": None}], ids=str
)
def test_damaged_scores_of_the_stack_are_made_anew(path, straight, run, stack):
    change_json(path / "metrics.json", lambda found: found.update(stack=stack))
    assert run("crossval", "--resume", path)[0] == 0
    assert figures(path) == figures(straight)


@pytest.mark.parametrize(
    "change",
    [lambda page: page[:1], lambda page: page.astype("f8"), lambda page: page * np.nan],
    ids=["shape", "dtype", "NaN"],
)
def test_predictions_of_another_form_are_named(path, run, change):
    file = path / "fold1-seed4" / "held_out.npz"
    with np.load(file) as old:
        pages = {name: change(page) for name, page in old.items()}
    np.savez(file, **pages)
    (path / "prediction.tif").unlink()
    code, _, err = run("crossval", "--resume", path)
    if code:  # another dtype is seen at once, and they are made anew
        assert code == 3 and "fold1-seed4/held_out.npz' is damaged" in err and "resume" in err
        file.unlink()
        assert run("crossval", "--resume", path)[0] == 0
    assert (path / "prediction.tif").is_file()


@pytest.mark.parametrize(
    "text",
    [
        "folds = 10000000000\nseeds = 1\naverage = 'none'",
        "folds = 2\nseeds = 1000000000\naverage = 'none'",
        "folds = 2.0\nseeds = 1\naverage = 'none'",
        "folds = 2\nseeds = 1\naverage = ['none']",
        "folds = 2\nseeds = 1\naverage = 'none'\ndata = 1979-05-27",
        "folds = 2\nseeds = 1\naverage = 'none'\ntile = 'x'",
        "folds = 2\nseeds = 1\naverage = 'none'\nstep_values = [[1]]",
        "x = " + "[" * 100_000,
        "\ud800",
    ],
    ids=range(9),
)
def test_damaged_settings_are_named(tmp_path, text):
    data = text.encode("utf-8", "surrogatepass")
    (tmp_path / "crossval.toml").write_bytes(data)
    with pytest.raises(CunetError, match="crossval.toml' is damaged") as caught:
        crossval.load(tmp_path)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


def test_a_model_that_no_training_wrote_is_named(path):
    last = path / "fold0-seed4" / "last.npz"
    cunet.save(last, cunet.load(last))
    with pytest.raises(DataError, match="fold0-seed4/last.npz' was written by no training"):
        crossval.load(path).steps_done(crossval.Run(0, 4))
