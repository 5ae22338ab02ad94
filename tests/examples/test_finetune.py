"""The experiment on fine-tuning: which slices it takes, what it keeps, what it prints."""

import json
import re
from concurrent.futures import Future

import numpy as np
import pytest
from example_scripts import example
from isbi_data import isbi_folder
from run_folders import header_of, same_arrays
from small_crossval import light

import cunet
from cunet.training.run_folder import read_settings

finetune = example("finetune.py")
STARTS = ("base", "fine-tuned", "from nothing")


class Here:
    """A pool of processes that computes at once, in this one."""

    def __init__(self, workers, context):
        assert workers >= 1

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def submit(self, function, *given):
        future = Future()
        future.set_result(function(*given))
        return future


@pytest.fixture
def quick(tmp_path, monkeypatch, threads_as_before):
    """Runs the experiment on ten small slices; returns its folder."""
    monkeypatch.setattr(finetune, "ProcessPoolExecutor", Here)
    light(monkeypatch.setattr)
    monkeypatch.setattr(finetune, "SMALL", {"width": 2, "depth": 1, "tile": 34})
    data = isbi_folder(tmp_path / "data", 10, 48, 40)

    def call(out):
        finetune.main(["--data", str(data), "--out", str(tmp_path / out), "--device", "cpu",
                       "--quick", "--seeds", "2"])  # fmt: skip
        return tmp_path / out

    return call


def test_no_slice_that_is_scored_is_trained_on():
    parts = finetune.Parts.of(30)
    assert parts.base == tuple(range(15)) and parts.scored == (16, 18, 20, 22, 24, 26, 28)
    for count in finetune.COUNTS:
        slices = parts.annotated(count)
        assert len(set(slices)) == count and set(slices) <= set(range(15, 30, 2))
        gaps = np.diff([13, *slices, 31])
        assert gaps.max() <= gaps[1:-1].max(initial=2) + 8 // count + 2  # spread over the half
    everything = finetune.trainings(parts, 600, 4800, 2, finetune.COUNTS)
    assert len(everything) == len({one.name for one in everything}) == 2 * (1 + 4 * 3)
    assert not any(set(one.slices) & set(parts.scored) for one in everything)


def test_everything_is_trained_scored_and_kept(quick, tmp_path, capsys, monkeypatch):
    out = quick("whole")
    first = capsys.readouterr().out
    document = json.loads((out / "finetune.json").read_text())
    assert [run["start"] for run in document["runs"][:4]] == [*STARTS, STARTS[2]]
    assert len(document["runs"]) == 2 * (1 + 2 * 3)
    for run in document["runs"]:
        settings = read_settings(out / run["name"])
        base = settings.get("from_model")
        assert (base is None) == (run["start"] != "fine-tuned")
        assert base is None or base.endswith(f"base-seed{run['seed']}/last.npz")
        dropped = {int(name.split()[1]) for name in settings["drop"].split(",")}
        assert dropped == set(range(10)) - set(run["training_slices"])
        assert header_of(out / run["name"] / "last.npz")["progress"]["step"] == run["steps"]
    rows = [line.split(" | ") for line in first.splitlines()]
    assert [row[0].strip("| ") for row in rows[2:]] == ["0", "1", "1", "1", "2", "2", "2"]
    errors = [r["pixel_error"] for r in document["runs"] if r["start"] == "base"]
    mean, half = sum(errors) / 2, abs(errors[0] - errors[1]) / 2
    assert rows[2][3] == f"{mean:.4f} ± {half * 2**0.5:.4f}"

    monkeypatch.setattr(cunet, "train", None)  # nothing is left to be done
    quick("whole")
    assert capsys.readouterr().out == first
    monkeypatch.undo()


def test_an_interrupted_one_goes_on(quick, tmp_path, capsys, monkeypatch):
    train, made = cunet.train, []

    def stopping(config, resume=False):
        records = train(config, resume=resume)
        for record in records:
            made.append(record["step"])
            yield record
            if len(made) == 15:
                records.close()
                raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cunet, "train", stopping, raising=False)
        with pytest.raises(KeyboardInterrupt):
            quick("parted")
    quick("parted")
    quick("whole")
    for path in (tmp_path / "whole").glob("*/last.npz"):
        same_arrays(path, tmp_path / "parted" / path.parent.name / "last.npz")
    lines = capsys.readouterr().out.splitlines()
    assert lines[:9] == lines[9:]


def test_figures_of_another_experiment_are_not_mixed_in(tmp_path):
    facts = {"data": {}, "slices": {"scored": [1]}, "quick": True}
    (tmp_path / "finetune.json").write_text(json.dumps(facts | {"runs": []}))
    with pytest.raises(SystemExit, match=re.escape("another experiment (slices)")):
        finetune.Record(tmp_path / "finetune.json", facts | {"slices": {"scored": [2]}})
