"""A cross-validation that takes seconds: two folds and two seeds of ten steps, light scores and no
report. Processes that tests start import this file too."""

import json
import os
import shutil
import signal
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tifffile
from run_folders import same_arrays
from scipy.ndimage import label

import cunet.reporting
from cunet import cli
from cunet.data.synthetic import membranes
from cunet.engines import definition
from cunet.metrics import isbi2012

STEPS = 10
KEYS = ("pixel_error", "rand_error", "warping_error", "v_rand", "v_info", "dice")
TINY = "--width 2 --depth 1 --tile 34 --steps 10 --validate-every 4 --preset cpu --device cpu"
TINY = [*TINY.split(), "--threads", "1"]
FOLDS = ["--folds", "2", "--seeds", "2", "--seed", "4"]
NAMES = ["fold0-seed4", "fold1-seed4", "fold0-seed5", "fold1-seed5"]


def write_stub(run, progress=None):
    """In place of the report, which takes longer than the training."""
    (Path(run) / "report.html").write_text("a page")
    return SimpleNamespace(found=None)


def light(patch):
    """Take the slow parts out, here and in processes that import this file: the scores do not thin
    and warp, which would be compiled, and so they are other figures."""
    patch(isbi2012, "thinned", lambda white: label(white)[0])
    patch(isbi2012, "warp", lambda probability, truth, threshold: truth)
    patch(isbi2012, "classify", lambda warped, found, radius: (warped & ~found).astype(np.uint8))
    patch(cunet.reporting, "write", write_stub)


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


def command(data, out, *more):
    return ["crossval", "--data", data, "--out", out, *FOLDS, *TINY, *more]


def straight(data, path):
    """A cross-validation of data, made without a stop: its folder."""
    with pytest.MonkeyPatch.context() as patch:
        light(lambda *a: patch.setattr(*a, raising=False))
        patch.setattr(sys, "argv", ["cunet", *map(str, command(data, path)), "-q"])
        with pytest.raises(SystemExit) as stopped:
            cli.main()
    assert stopped.value.code == 0
    return path


def of_older_cunet(path):
    """A folder as it was when further seeds were for fold 0 alone, made of the whole one."""
    shutil.rmtree(path / "fold1-seed5")
    settings = path / "crossval.toml"
    lines = settings.read_text().splitlines(keepends=True)
    settings.write_text("".join(line for line in lines if not line.startswith("seeds_of")))
    found = json.loads((path / "metrics.json").read_text())
    runs = found["runs"] = found["runs"][:3]
    old = {name: found[name] for name in ("average", "limits", "runs")}
    for run in runs:
        del run["scored"]

    def over(chosen):
        pairs = {a: {k: [run[a][k] for run in chosen] for k in KEYS} for a in ("none", "rotations")}
        mean = {a: {k: (v[0] + v[1]) / 2 for k, v in of.items()} for a, of in pairs.items()}
        sd = {a: {k: abs(v[0] - v[1]) / 2**0.5 for k, v in of.items()} for a, of in pairs.items()}
        return {"mean": mean, "sd": sd}

    old |= over(runs[:2]) | {"seeds": over(runs[::2]), "stack": found["stack"]}
    (path / "metrics.json").write_text(json.dumps(old))
    return path


def figures(path):
    """metrics.json without what depends on time: seconds, and hashes of models, which hold them"""
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


# Where a process is killed: as the n-th time a file is about to get its name, or after n steps
KILLS = [
    ("fold0-seed4/run.toml", 1),  # before there is a model
    ("fold0-seed4/last.npz", 2),  # in the middle, after a validation
    ("fold0-seed4/metrics.json", 1),  # after the last model
    ("fold0-seed4/held_out.npz", 1),  # between training and scoring
    ("fold0-seed4/scores.json", 1),
    ("step", 6),  # in the middle of fold 1, between two saves
    ("fold0-seed5/env.json", 1),  # between the seeds
    ("fold1-seed5/last.npz", 1),
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
        definition.Step.update = countdown(definition.Step.update, lambda step: True)
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
