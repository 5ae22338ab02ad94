"""The files of the predictions: slices of several sizes, named as people name them."""

import numpy as np
import pytest
import tifffile
from small_crossval import TINY

import cunet
from cunet.net import checkpoint
from cunet.segmentation.tiling import whole_tile

ONE_FOLD_EACH = [*TINY, "--average", "none", "--weight-map", "balance", "-q"]


def image(seed, side):
    cells = np.zeros((side, side), np.uint16)
    cells[4:14, 5:14] = 1
    noise = np.random.default_rng(seed).integers(0, 80, cells.shape)
    return (60 * cells + noise).astype(np.uint8), cells


def pairs(folder, names):
    """Pairs of several sizes, some with pages; ignored pixels spare them the slow scores."""
    for seed, (name, pages) in enumerate(names.items()):
        picture, cells = image(seed, 36 + 2 * seed)
        cells[0] = 255
        for part, array in (("images", picture), ("labels", cells.astype(np.uint8))):
            (folder / part).mkdir(parents=True, exist_ok=True)
            stack = np.stack([array] * pages) if pages > 1 else array
            tifffile.imwrite(folder / part / f"{name}.tif", stack, photometric="minisblack")
    return folder


def test_slices_in_folders(run, tmp_path):
    for i, side in enumerate((40, 44)):
        picture, cells = image(i, side)
        for name, array in ((f"01/t{i:03}", picture), (f"01_GT/SEG/man_seg{i:03}", cells)):
            path = tmp_path / "ctc" / f"{name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, array)
    out = tmp_path / "cv"
    begin = ["crossval", "--data", tmp_path / "ctc", "--folds", 2, "--out", out, *ONE_FOLD_EACH]
    code, _, err = run(*begin)
    assert code == 0, err
    for i, side in enumerate((40, 44)):
        net = checkpoint.load(out / f"fold{i}-seed0" / "last.npz")
        picture = image(i, side)[0][..., None]
        expected = cunet.segment(picture, net, whole_tile(picture, net.shape))[..., 1]
        found = tifffile.imread(out / "predictions" / "01" / f"t{i:03}.tif")
        np.testing.assert_array_equal(found, expected)
    (out / "metrics.json").unlink()
    assert run("crossval", "--resume", out, "-q")[0] == 0
    assert (out / "metrics.json").is_file()


def test_names_with_brackets_commas_and_pages(run, tmp_path):
    data = pairs(tmp_path / "data", {"a [1]": 1, "b, c": 1, "vol": 2})
    out = tmp_path / "cv"
    code, _, err = run("crossval", "--data", data, "--folds", 2, "--out", out, *ONE_FOLD_EACH)
    assert code == 0, err
    files = sorted(path.name for path in (out / "predictions").iterdir())
    assert files == ["a [1].tif", "b, c.tif", "vol[0].tif", "vol[1].tif"]


@pytest.mark.parametrize(
    "names,words",
    [
        ({"vol": 2, "vol[0]": 1}, ["two slices are named 'vol[0]'", "predictions/vol[0].tif"]),
        ({"v" * 249: 2, "b": 1}, ["longer than 255 bytes", "Rename"]),
    ],
    ids=["meeting", "long"],
)
@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_names_that_cannot_be_files_are_told_before_anything_is_trained(
    run, tmp_path, names, words, more
):
    data, out = pairs(tmp_path / "data", names), tmp_path / "cv"
    begin = ["crossval", "--data", data, "--folds", 2, "--out", out, *ONE_FOLD_EACH, *more]
    code, _, err = run(*begin)
    assert code == 2 and all(word in err for word in words), err
    assert not out.exists()
