"""Every slice is scored once per average: for the report, its run, and all slices together."""

import json
from collections import Counter

import pytest
from small_crossval import command

from cunet import reporting
from cunet.metrics import isbi2012

WRITE = reporting.write  # before anything was patched
AT_THRESHOLD = isbi2012.at_threshold


@pytest.fixture
def counted(monkeypatch):
    """How often a probability map was counted, by its bytes."""
    times = Counter()

    def at_threshold(probability, truth, step, radius=-1):
        times[probability.tobytes(), step] += 1
        return AT_THRESHOLD(probability, truth, step, radius)

    monkeypatch.setattr(isbi2012, "at_threshold", at_threshold)
    monkeypatch.setattr(reporting, "write", WRITE)
    return times


def test_a_slice_is_counted_once_per_average(data, run, tmp_path, counted):
    out = tmp_path / "cv"
    code, _, err = run(*command(data, out, "--seeds", 1, "--average", "flips"))
    assert code == 0, err
    assert len(counted) == 11 * 2 * 5 and set(counted.values()) == {1}
    document = json.loads((out / "metrics.json").read_text())
    # without what was counted, as after an older cunet, all is the same
    for folder in ("fold0-seed4", "fold1-seed4"):
        path = out / folder / "scores.json"
        found = json.loads(path.read_text())
        del found["counts"]
        path.write_text(json.dumps(found))
    (out / "metrics.json").unlink()
    code, _, err = run("crossval", "--resume", out)
    assert code == 0, err
    assert set(counted.values()) == {2}
    assert json.loads((out / "metrics.json").read_text()) == document


def test_counts_that_contradict_the_scores_are_not_used(data, run, tmp_path, counted):
    out = tmp_path / "cv"
    code, _, err = run(*command(data, out, "--seeds", 1, "--average", "none"))
    assert code == 0, err
    document = json.loads((out / "metrics.json").read_text())
    path = out / "fold1-seed4" / "scores.json"
    found = json.loads(path.read_text())
    for change in (
        lambda counts: counts["none"][0]["pairs"][5].__setitem__(0, 1),
        lambda counts: counts["none"][0]["v_rand"].__setitem__(3, "much"),
        lambda counts: counts["none"][0]["pixels"].pop("tp"),
        lambda counts: counts["none"].pop(),
        lambda counts: counts.update(none=7),
    ):
        damaged = json.loads(json.dumps(found))
        change(damaged["counts"])
        path.write_text(json.dumps(damaged))
        (out / "metrics.json").unlink()
        counted.clear()
        code, _, err = run("crossval", "--resume", out)
        assert code == 0, err
        assert len(counted) == 11 * 5, "the slices are counted from their predictions"
        assert json.loads((out / "metrics.json").read_text()) == document


def test_slices_that_the_report_scaled_are_segmented_again(data, run, tmp_path, counted):
    """With --resize the report is of scaled slices, the scores of slices at their own size."""
    out = tmp_path / "cv"
    arguments = command(data, out, "--seeds", 1, "--average", "none", "--resize", "32")
    code, _, err = run(*arguments)
    assert code == 0, err
    assert set(counted.values()) == {1} and len(counted) == 11 * 2 * 5
