"""`cunet weights`: the file holds the weights that a training with the same options uses."""

import json

import numpy as np
import pytest
import tifffile
from label_images import discs

import cunet
from cunet.data.weight_map import components, open_gaps, paper_map
from cunet.training import plan
from cunet.training.weights import weigh

CELLS = [discs(n, seed) for seed, n in enumerate((7, 10, 5))]


@pytest.fixture
def folder(tmp_path):
    data = tmp_path / "data"
    for i, cells in enumerate(CELLS):
        for name, array in (("images", (cells > 0).astype("u1") * 90), ("labels", cells)):
            (data / name).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(data / name / f"im{i}.tif", array)
    return data


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ([], {}),
        (["--weight-map", "falk2019", "--w0", "20"], {"weight_map": "falk2019", "w0": 20.0}),
        (["--fold", "0/3", "--form", "balance"], {"fold": "0/3", "weight_map": "balance"}),
        (["--preset", "ucsd"], {"preset": "ucsd"}),
        (["--preset", "paper", "--sigma", "3"], {"preset": "paper", "border_sigma": 3.0}),
        (["--drop", "im1", "--resize", "32"], {"drop": "im1", "resize": 32}),
    ],
)
def test_a_folder_is_weighed_as_in_training(run, folder, tmp_path, options, settings):
    code, out, err = run("weights", folder, "-o", tmp_path / "w.tif", "--json", *options)
    assert code == 0, err
    start = plan.start(str(folder), **settings, device="cpu")
    _, expected = weigh(start.config, start.prepared.dataset, start.prepared.training)
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "w.tif"), np.squeeze(expected))
    found = json.loads(out)
    assert found["form"] == start.config.weight_map and found["pages"] == len(expected)
    assert found["slices"] == [
        start.prepared.dataset.slice_names[i] for i in start.prepared.training
    ]


def test_a_file_is_weighed_as_in_the_paper(run, tmp_path):
    mask = (CELLS[0] > 0).astype("u1") * 255
    tifffile.imwrite(tmp_path / "m.tif", mask)
    code, out, err = run("weights", tmp_path / "m.tif", "-o", tmp_path / "w.tif", "--json")
    assert code == 0, err
    ids = components(mask > 0)
    labels = open_gaps(mask > 0, ids)
    counts = np.bincount(labels.ravel(), minlength=2)
    expected = paper_map(labels, ids, labels.size / (2 * counts))
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "w.tif"), expected)
    found = json.loads(out)
    assert found["masks"] and found["cells"] == [7] and (found["w0"], found["sigma"]) == (10, 5)
    np.testing.assert_allclose(cunet.weight_map(mask), expected)


def test_numbers_classes_and_what_is_unclear(run, tmp_path):
    tifffile.imwrite(tmp_path / "cells.tif", CELLS[0])
    tifffile.imwrite(tmp_path / "two.tif", discs(2))
    for name, more, cells in (("cells", [], 7), ("two", ["--labels", "instances"], 2)):
        out = tmp_path / f"{name}_w.tif"
        code, text, err = run("weights", tmp_path / f"{name}.tif", "-o", out, "--json", *more)
        assert code == 0 and json.loads(text)["cells"] == [cells], err
        assert not json.loads(text)["masks"]
    code, _, err = run("weights", tmp_path / "two.tif", "-o", tmp_path / "x.tif")
    assert code == 3 and "--labels instances" in err and not (tmp_path / "x.tif").exists()
    code, text, _ = run("weights", tmp_path / "two.tif", "-o", tmp_path / "x.tif", "--json",
                        "--labels", "classes")  # fmt: skip
    assert json.loads(text)["classes"] == ["class 0", "class 1", "class 2"]


def test_what_cannot_be_written(run, folder, tmp_path):
    tifffile.imwrite(folder / "images/im9.tif", np.zeros((9, 9), "u1"))
    tifffile.imwrite(folder / "labels/im9.tif", np.eye(9, dtype="u2"))
    code, _, err = run("weights", folder, "-o", tmp_path / "w.tif")
    assert code == 2 and "2 sizes" in err and "--resize" in err
    assert run("weights", "--data", folder, tmp_path, "-o", tmp_path / "w.tif")[0] == 2
    assert not (tmp_path / "w.tif").exists()


def test_a_mask_with_stray_pixels_is_refused_as_in_training(run, folder, tmp_path):
    """Its 255 would be ignored, and the few other pixels weigh thousands."""
    mask = (CELLS[0] > 0).astype("u1") * 255
    mask[0, :3] = 1
    for name, array in (
        ("m.tif", mask),
        ("data/images/im0.tif", mask),
        ("data/labels/im0.tif", mask),
    ):
        tifffile.imwrite(tmp_path / name, array)
    for name in ("im1", "im2"):
        for part in ("images", "labels"):
            (folder / part / f"{name}.tif").unlink()
    for source in (tmp_path / "m.tif", folder):
        code, _, err = run("weights", source, "-o", tmp_path / "w.tif")
        assert (
            code == 3
            and "3 pixels have a class above 0" in err
            and not (tmp_path / "w.tif").exists()
        )
    assert (
        run("weights", tmp_path / "m.tif", "-o", tmp_path / "w.tif", "--labels", "classes")[0] == 0
    )
