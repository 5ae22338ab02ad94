"""`cunet evaluate isbi`: the golden cases through files, pages, and what is reported of them."""

import json

import numpy as np
import pytest
import tifffile
from golden_cases import CASES, read
from PIL import Image

import cunet
from cunet.data import isbi2013
from cunet.errors import CunetError

KEYS = ["pixel_error", "rand_error", "warping_error", "v_rand", "v_info"]


@pytest.fixture
def run(run):
    """run("isbi", ...) -> (exit code, stdout, stderr) of `cunet evaluate`."""
    return lambda *arguments: run("evaluate", *arguments)


@pytest.fixture
def golden(save):
    """golden(name) -> the paths of its probability and of its truth (0 and 255)."""

    def write(name):
        probability, truth = read(name)
        labels = np.where(truth, 255, 0).astype(np.uint8)
        return save("prob.tif", probability), save("truth.tif", labels)

    return write


@pytest.mark.parametrize("name", ["random40_4", "stack2_merge_and_split"])
@pytest.mark.parametrize("radius", [-1, 5])
def test_the_scores_are_the_organisers(run, golden, name, radius):
    prob, truth = golden(name)
    window = ["--radius", radius] if radius > 0 else []
    code, out, err = run("isbi", prob, truth, *window, "--json")
    assert code == 0, err
    document = json.loads(out)
    theirs = CASES[name].get("stack", CASES[name]["slice0"])
    assert document["pixel_error"] == pytest.approx(1 - max(theirs["pixel_f"]), abs=1e-9)
    assert document["rand_error"] == pytest.approx(1 - max(theirs["rand_f"]), abs=1e-9)
    assert document["v_rand"] == pytest.approx(max(theirs["v_rand_thinned"]), abs=1e-9)
    assert document["v_info"] == pytest.approx(max(theirs["v_info_thinned"]), abs=1e-9)
    assert document["warping_error"] == theirs[f"warping_error_radius_{radius}"]
    assert list(document["thresholds"]) == KEYS
    for i, one in enumerate(document["per_slice"]):
        assert list(one) == ["slice", *KEYS] and one["slice"] == i
        assert one["v_rand"] == pytest.approx(CASES[name][f"slice{i}"]["v_rand_thinned_max"])
    assert err.splitlines()[-1].strip().startswith("cunet evaluate pixels")


def test_neurons_by_number_are_scored_as_they_are_trained_on(run, save, tmp_path):
    """A truth in the layout of ISBI 2013 is the mask that a training makes of it; the same file
    elsewhere needs the word."""
    numbers = np.repeat(np.repeat(np.arange(1, 13).reshape(3, 4), 8, 0), 9, 1).astype(np.uint16)
    numbers = np.stack([numbers, numbers.T[:24].repeat(2, 1)[:, :36]])
    numbers[0, 5:9, 20:25] = 0
    folder = tmp_path / "snemi"
    folder.mkdir()
    tifffile.imwrite(folder / "train-labels.tif", numbers)
    tifffile.imwrite(folder / "train-input.tif", (numbers * 20 % 251).astype(np.uint8))
    mask = 255 * np.stack(isbi2013.load(folder).labels)
    assert 0.2 < (mask == 0).mean() < 0.6
    prob = save("prob.tif", np.random.default_rng(1).random(numbers.shape, np.float32))
    elsewhere, expected = save("numbers.tif", numbers), save("mask.tif", mask.astype(np.uint8))
    for command in ("isbi", "pixels"):
        want = json.loads(run(command, prob, expected, "--json")[1])
        code, out, err = run(command, prob, folder / "train-labels.tif", "--json")
        assert code == 0 and json.loads(out) == want and "a line of two pixels" in err, err
        code, out, err = run(command, prob, elsewhere, "--labels", "neurons", "--json")
        assert code == 0 and json.loads(out) == want, err
        assert (
            json.loads(run(command, prob, elsewhere, "--labels", "instances", "--json")[1]) != want
        )
    with pytest.raises(CunetError, match="labels.*neurons"):
        cunet.evaluate_isbi(prob, elsewhere, labels="neuron")


def test_pages_are_named_as_in_the_truth(run, golden, save):
    prob, truth = golden("stack2_merge_and_split")
    whole = json.loads(run("isbi", prob, truth, "--json")[1])["per_slice"]
    one = save("one.tif", read("stack2_merge_and_split")[0][1:])
    for file in (prob, one):
        document = json.loads(run("isbi", file, truth, "--pages", "1", "--json")[1])
        assert document["per_slice"] == whole[1:]


def test_the_table_and_the_plot(run, golden, tmp_path):
    prob, truth = golden("graded")
    plot = tmp_path / "scores.png"
    code, out, err = run("isbi", prob, truth, "--plot", plot)
    assert code == 0, err
    document = json.loads(run("isbi", prob, truth, "--json")[1])
    lines = out.splitlines()
    assert lines[0].split() == ["1", "slice", "score", "threshold"]
    for key, line in zip(KEYS, lines[1:], strict=False):
        assert f"{document[key]:.6f}" in line and f" {document['thresholds'][key]:.1f} " in line
    for kind, count in document["warping_pixels"].items():
        assert (f"{count} {kind.replace('_', ' ')}" in lines[6]) == (count > 0)
    with Image.open(plot) as picture:
        assert np.ptp(np.asarray(picture.convert("L"))) > 200
    assert run("isbi", prob, truth, "--plot", plot)[0] == 2  # not overwritten
    assert run("isbi", prob, truth, "--quiet")[1:] == ("", "")


def test_ignored_pixels_are_refused(run, save):
    prob = save("p.tif", np.full((1, 9, 9), 0.5, np.float32))
    labels = np.arange(81, dtype=np.uint8).reshape(1, 9, 9) % 3
    labels[0, 0, 0] = 255
    code, _, err = run("isbi", prob, save("t.tif", labels))
    assert code == 3 and "ignored pixels" in err and "evaluate pixels" in err


@pytest.mark.parametrize("radius", [0, -3])
def test_a_window_has_a_radius(run, golden, radius):
    assert run("isbi", *golden("graded"), "--radius", radius)[0] == 2
