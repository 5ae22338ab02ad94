"""examples/paper.py and examples/paper/averaging.py: the table beside Table 1, the views."""

import json
import subprocess
import sys

import numpy as np
import pytest
from example_scripts import EXAMPLES, example
from isbi_data import isbi_folder
from scipy.ndimage import gaussian_filter

from cunet import UNet
from cunet.segmentation.segment import segment


@pytest.fixture
def document():
    """The document of a `cunet crossval` of two folds and two seeds, with scores easy to tell."""
    keys = ("pixel_error", "rand_error", "warping_error", "v_rand", "v_info")

    def scores(first):
        return {key: first + i / 100 for i, key in enumerate(keys)}

    views = ("none", "rotations")

    def run(k, seed):
        return {"fold": k, "seed": seed, "steps": 4321, "seconds": 600 + 60 * k,
                "held_out": [k, k + 2], "none": scores(0.1), "rotations": scores(0.2)}  # fmt: skip

    return {
        "average": "rotations",
        "limits": None,
        "runs": [run(0, 7), run(1, 7), run(0, 8)],
        "mean": {v: scores(0.3 + i / 10) for i, v in enumerate(views)},
        "sd": {v: scores(0.5 + i / 10) for i, v in enumerate(views)},
        "seeds": {"mean": {v: scores(0.7) for v in views}, "sd": {v: scores(0.8) for v in views}},
        "stack": {v: scores(0.05 + i / 10) for i, v in enumerate(views)},
    }


def printed(*arguments):
    command = [sys.executable, str(EXAMPLES / "paper.py"), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=EXAMPLES.parent)
    return done.returncode, done.stdout, done.stderr


def test_the_table_puts_ours_beside_theirs(document, tmp_path):
    (tmp_path / "metrics.json").write_text(json.dumps(document))
    code, out, err = printed(tmp_path)
    assert code == 0, err
    rows = [[cell.strip() for cell in line.split("|")[1:-1]]
            for line in out.splitlines() if line.startswith("|")]  # fmt: skip
    assert len({len(row) for row in rows}) == 1
    found = {row[0].strip("*").replace("**", ""): row[1:] for row in rows}
    assert found["u-net"][:3] == ["0.000353", "0.0382", "0.0611"]
    ours = found["cunet, mean of 2 folds ± sd, averaged (rotations)"]
    # columns: warping, Rand, pixel, V_Rand, V_Info; mean 0.4 ..., deviation 0.6 ...
    assert ours == ["0.420000 ± 0.620000", "0.4100 ± 0.6100", "0.4000 ± 0.6000",
                    "0.4300 ± 0.6300", "0.4400 ± 0.6400"]  # fmt: skip
    assert found["cunet, mean of 2 folds ± sd, one view"][2] == "0.3000 ± 0.5000"
    assert found["all held-out slices as one stack, one view"][2] == "0.0500"
    assert found["fold 0, mean of 2 seeds ± sd, one view"][2] == "0.7000 ± 0.8000"
    text = " ".join(out.split())
    assert "2 folds, every slice held out once (fold 0 with 2 seeds), last network, 8 views" in text
    assert "Scored: 4 slices." in text
    assert "2 of 4 labelled slices" in text
    assert "4,321 steps, 10 min 0 s to 11 min 0 s a run" in text


def test_all_folds_with_all_seeds_have_spreads_apart(document, tmp_path):
    document["runs"].append(document["runs"][1] | {"seed": 8})
    document["folds"] = {"mean": document["mean"], "sd": document["seeds"]["sd"]}
    document["mean"]["none"]["v_rand"] = document["sd"]["none"]["rand_error"] = None  # were NaN
    document["scored"] = {"slices": 4, "pixels": 4096, "objects": 77}
    (tmp_path / "metrics.json").write_text(json.dumps(document))
    code, out, err = printed(tmp_path)
    assert code == 0, err
    found = {line.split("|")[1].strip(): line.split("|")[2:-1] for line in out.splitlines()
             if line.startswith("|")}  # fmt: skip
    mean = [cell.strip() for cell in found["**cunet, mean of 4 runs ± sd**, one view"]]
    assert mean[0] == "0.320000 ± 0.520000" and mean[1] == "0.3100" and mean[3] == "± 0.5300"
    for name in ("folds", "seeds"):
        spread = found[f"sd of the 2 {name}' means, one view"]
        assert [cell.strip() for cell in spread][:2] == ["± 0.820000", "± 0.8100"]
    text = " ".join(out.split())
    assert "2 folds x 2 seeds, every slice held out once a seed" in text
    assert "4 slices, 4,096 pixels, 77 objects" in text


def test_without_a_cross_validation_it_says_what_to_do(document, tmp_path):
    assert "cunet crossval" in printed()[1]
    code, _, err = printed(tmp_path)
    assert code == 1 and f"did you mean --data {tmp_path}" in err
    (tmp_path / "crossval.toml").write_text("")
    code, _, err = printed(tmp_path)
    assert code == 1 and f"cunet crossval --resume {tmp_path}" in err
    (tmp_path / "metrics.json").write_text(json.dumps({"last": {}}))  # an ordinary run
    assert "not a finished cross-validation" in printed(tmp_path)[2]
    document["limits"] = "the data have 3 classes"
    (tmp_path / "metrics.json").write_text(json.dumps(document))
    code, out, err = printed(tmp_path)
    assert code == 1 and not out and "the data have 3 classes" in err


def test_it_runs_the_cross_validation_from_the_folder_of_the_source(tmp_path):
    isbi_folder(tmp_path, 4, 64, 60)
    given = ["--data", tmp_path, "--folds", "2", "--preset", "cpu", "--width", "2", "--depth", "1"]
    given += ["--tile", "34", "--steps", "4", "--average", "none", "--device", "cpu"]
    given += ["--out", tmp_path / "cv", "-q"]
    code, out, err = printed(*given, "--dry-run")
    assert (code, out) == (0, "") and not (tmp_path / "cv").exists()
    code, out, err = printed(*given)
    assert code == 0, err
    assert (
        "| **cunet, mean of 2 folds ± sd**, one view |" in out and "2 of 4 labelled slices" in out
    )
    code, _, err = printed("--data", tmp_path / "nothing")
    assert code == 2 and "nothing" in err


def test_the_views_of_the_square_are_those_of_segment():
    averaging = example("paper/averaging.py")
    net = UNet(width=2, depth=2, dropout=0, dtype="float64", seed=3)
    image = np.random.default_rng(0).standard_normal((40, 36, 1))
    views = averaging.square_views(net, image)
    assert len(np.unique(views, axis=0)) == 8
    for reading, average in (("none", "none"), ("mirrors", "flips"), ("square", "rotations")):
        chosen = [averaging.SQUARE.index(view) for view in averaging.READINGS[reading]]
        expected = segment(image, net, average=average)[..., 1]
        np.testing.assert_allclose(views[chosen].mean(axis=0), expected, atol=1e-12)
    assert len(averaging.READINGS["seven"]) == 7
    letter = np.arange(12.0).reshape(3, 4)  # quarter turns, and nothing else
    turned = {np.rot90(letter, k).tobytes() for k in range(4)}
    made = set()
    for transposed, rows, columns in averaging.READINGS["quarters"]:
        view = letter[:: -1 if rows else 1, :: -1 if columns else 1]
        made.add((view.T if transposed else view).tobytes())
    assert made == turned


def test_turned_views_come_back_to_their_place(monkeypatch):
    """With a "network" that returns the middle of its input, every view is the image."""
    averaging = example("paper/averaging.py")
    image = gaussian_filter(np.random.default_rng(0).standard_normal((48, 40)), 5)[..., None]
    seen = []

    def echo(net, tile, views):
        seen.append(tile)
        side = len(tile) - 2 * averaging.margin(2)
        return np.repeat(averaging.middle(tile, side, side), 2, axis=2)

    monkeypatch.setattr(averaging, "average_views", echo)
    views = averaging.turned_views(UNet(width=1, depth=2), image)
    assert views.shape == (7, 48, 40)
    assert not np.allclose(seen[0], seen[3], atol=0.5 * image.std())  # it was turned
    np.testing.assert_allclose(views[0], image[..., 0], atol=1e-12)
    for view in views[1:]:
        assert np.abs(view - image[..., 0]).max() < 0.1 * image.std()


def test_the_mean_of_logits():
    averaging = example("paper/averaging.py")
    p = np.array([[[0.2]], [[0.9]]])
    logit = np.log(p / (1 - p)).mean()
    assert averaging.mean_of_logits(p) == pytest.approx(1 / (1 + np.exp(-logit)))
