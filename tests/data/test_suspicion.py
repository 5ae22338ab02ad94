"""Labels that are not what they seem: cell numbers, and masks in which 255 would be ignored."""

import numpy as np
import pytest
import tifffile
from label_images import discs
from scipy import ndimage

from cunet.data.load import load
from cunet.data.suspicion import pieces
from cunet.errors import DataError

CELLS = [discs(n, seed) for seed, n in enumerate((7, 10, 5))]
MASKS = [((cells > 0) * 255).astype(np.uint8) for cells in CELLS]


def pairs(folder, labels):
    for i, page in enumerate(labels):
        for name, array in (("images", (page > 0).astype(np.uint8) * 90 + i), ("labels", page)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / name / f"im{i}.tif", array)
    return folder


def refused(folder, *words):
    with pytest.raises(DataError) as caught:
        load(folder)
    for text in words:
        assert text in str(caught.value), str(caught.value)


def warned(data):
    return [note for note in data.notes if note.startswith("warning: ")]


def classes(seed, count=4, side=64):
    """A map of classes with smooth borders, where each lies in several places."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((side, side)), 4)
    cuts = np.quantile(noise, np.linspace(0, 1, count + 1)[1:-1])
    return np.digitize(noise, cuts).astype(np.uint8)


def stray(mask, count=3, value=1):
    changed = mask.copy()
    changed[0, :count] = value
    return changed


# Cell numbers


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4"])
def test_numbered_cells_are_no_classes(tmp_path, dtype):
    pairs(tmp_path, [cells.astype(dtype) for cells in CELLS])
    words = ["cell numbers", "im1.tif", "10 numbers", "10 in all, on 3 pages"]
    refused(tmp_path, *words, "Save cells as 255, the rest as 0", "--labels classes")
    data = load(tmp_path, meaning="classes")
    assert len(data.class_names) == 11 and not warned(data)
    np.testing.assert_array_equal(data.labels[1], CELLS[1])


def test_some_cells_in_pieces_make_no_classes(tmp_path):
    """A quarter of the cells cut in two: what is counted 1 to n in every page numbers cells."""
    cut = [cells.copy() for cells in CELLS]
    for cells in cut:
        for number in range(1, 1 + cells.max() // 3):
            rows = np.nonzero(cells == number)[0]
            middle = (rows.min() + rows.max()) // 2
            cells[middle][cells[middle] == number] = 0
    assert [sum(n > 1 for n in pieces(cells)) for cells in cut] == [2, 3, 1]
    refused(pairs(tmp_path, cut), "cell numbers", "im1.tif", "most are one piece")


@pytest.mark.parametrize("factor", [3, 257, 2**20, 2**40])
def test_cell_numbers_with_gaps(tmp_path, factor):
    pairs(tmp_path, [cells.astype(np.int64) * factor for cells in CELLS])
    refused(tmp_path, "instance", "Save cells as 255")


def test_one_page_of_cell_numbers_among_masks(tmp_path):
    ones = [(discs(9, seed) > 0).astype(np.uint16) for seed in range(20, 40)]
    (warning,) = warned(load(pairs(tmp_path, [CELLS[1], *ones])))
    assert "im0.tif" in warning and "10 numbers" in warning and "cell numbers" in warning


def test_two_numbers_may_be_classes_and_are_said(tmp_path):
    data = load(pairs(tmp_path, [discs(n, n) for n in (2, 1, 2)]))
    (warning,) = warned(data)
    assert len(data.class_names) == 3 and "cell numbers" in warning and "im0.tif" in warning


@pytest.mark.parametrize("count", [3, 4, 6])
def test_true_classes_pass(tmp_path, count):
    labels = [classes(seed, count) for seed in range(3)]
    data = load(pairs(tmp_path, labels))
    assert len(data.class_names) == count and not warned(data)
    np.testing.assert_array_equal(np.stack(data.labels), np.stack(labels))


def test_pieces_are_8_connected_and_of_any_numbers():
    page = np.zeros((6, 7), np.int64)
    page[0, 0] = page[1, 1] = page[2, 2] = 5
    page[4, 0] = page[4, 2] = page[4, 4] = 2**40
    page[5, 6] = 255
    assert [*pieces(page)] == [1, 3] and [*pieces(page, ())][1:] == [1, 1, 3]
    assert [*pieces(np.where(page > 5, 9, page).astype(np.uint8))] == [1, 4]


# 255: a class, or ignore?


@pytest.mark.parametrize("which", [(0, 1, 2), (1,)])
def test_a_few_stray_pixels_do_not_make_255_ignore(tmp_path, which):
    pairs(tmp_path, [stray(m) if i in which else m for i, m in enumerate(MASKS)])
    share = f"{100 * (MASKS[which[0]] == 255).mean():.1f} %"
    words = [f"im{which[0]}.tif", share, "3 pixels", f"{3 * len(which)} in all, on"]
    refused(tmp_path, *words, "mask of 0 and 255", "--labels classes")
    data = load(tmp_path, meaning="classes")
    assert [(page == 255).sum() for page in data.labels] == [(m == 255).sum() for m in MASKS]


def test_stray_pixels_of_two_values(tmp_path):
    page = stray(stray(MASKS[0], 4, 2), 2)
    refused(pairs(tmp_path, [page, MASKS[1]]), "im0.tif", "4 pixels have a class above 0")


def test_one_mask_with_stray_pixels_among_class_ids(tmp_path):
    data = load(pairs(tmp_path, [stray(MASKS[0]), MASKS[1] // 255, MASKS[2] // 255]))
    (warning,) = warned(data)
    assert "im0.tif" in warning and "3 pixels" in warning and "mask of 0 and 255" in warning


def test_masks_beside_a_page_with_ignored_pixels(tmp_path):
    brush = stray(MASKS[0], 60)
    (warning,) = warned(load(pairs(tmp_path, [brush, *MASKS[1:]])))
    assert "im1.tif" in warning and "im2.tif" in warning and "im0.tif" not in warning


def test_real_ignored_pixels_pass(tmp_path):
    labels = []
    for cells in CELLS:
        rim = ndimage.binary_dilation(cells > 0, iterations=2) & (cells == 0)
        labels.append(np.where(rim, 255, cells > 0).astype(np.uint8))
    few = np.random.default_rng(0).random(CELLS[0].shape) < 0.02  # drawn at a few pixels only
    labels.append(np.where(few, CELLS[0] > 0, 255).astype(np.uint8))
    data = load(pairs(tmp_path, labels))
    assert not warned(data) and len(data.class_names) == 2
    np.testing.assert_array_equal(np.stack(data.labels), np.stack(labels))


def test_cell_numbers_of_the_isbi_layout(tmp_path):
    for name, pages in (("volume", [c.astype("u1") * 9 for c in CELLS]), ("labels", CELLS)):
        path = tmp_path / f"train-{name}.tif"
        tifffile.imwrite(path, np.stack(pages), photometric="minisblack")
    refused(tmp_path, "train-labels.tif", "cell numbers")
    with pytest.raises(DataError, match="11 classes.*Are they cell numbers"):
        load(tmp_path, meaning="classes")


def test_the_setting_reaches_the_data_and_is_kept_by_a_run(run, tmp_path):
    data = pairs(tmp_path / "data", CELLS)
    out = tmp_path / "run"
    options = "--width 2 --depth 1 --tile 34 --device cpu --threads 1 --preset cpu --steps 1"
    options = [*options.split(), "--weight-map", "none", "--out", out]
    code, _, err = run("train", "--data", data, *options)
    assert code == 3 and "cell numbers" in err and not out.exists()
    assert run("train", "--data", data, *options, "--labels", "classes")[0] == 0
    assert 'labels = "classes"' in (out / "run.toml").read_text()
    assert run("train", "--resume", out, "--steps", 2, "-q")[0] == 0
    code, _, err = run("train", "--data", data, *options, "--labels", "instances")
    assert code == 2 and "'--labels': expected one of" in err


def test_warnings_are_printed_even_where_nothing_else_is(run, tmp_path):
    data = pairs(tmp_path, [discs(n, n) for n in (2, 1, 2)])
    options = "--width 2 --depth 1 --tile 34 --device cpu --threads 1 --dry-run -q".split()
    code, out, err = run("train", "--data", data, *options)
    assert code == 0 and out == "" and err.strip().startswith("warning: labels look like cell")
    assert len(err.splitlines()) == 1


def test_layers_are_asked_about_but_pass(tmp_path):
    """Each is one piece, but every page has the same ones, as no pages of cells have."""
    rows = np.arange(64)[:, None] + np.zeros((1, 64))
    pages = [np.digitize(rows + 3 * k, (10, 24, 40, 52)).astype(np.uint8) for k in range(3)]
    data = load(pairs(tmp_path, pages))
    assert len(data.class_names) == 5 and "look like cell numbers" in warned(data)[0]
    pages[1][pages[1] == 4] = 0  # without the last, they may be counted objects
    refused(pairs(tmp_path / "b", pages), "look like cell numbers", "--labels classes")
