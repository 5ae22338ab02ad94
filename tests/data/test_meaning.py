"""Whether numbers are objects or classes: what is decided, what is asked, what is read."""

import json

import numpy as np
import pytest
import tifffile
from label_images import discs
from PIL import Image
from scipy import ndimage

import cunet
from cunet.data.load import load
from cunet.data.suspicion import pieces
from cunet.errors import DataError
from cunet.training.prepared import prepare

CELLS = [discs(n, seed) for seed, n in enumerate((7, 10, 5))]
OPTIONS = "--width 2 --depth 1 --tile 34 --device cpu --threads 1".split()


def pairs(folder, labels, suffix=".tif"):
    for i, page in enumerate(labels):
        grey = (page.reshape(*page.shape[:2], -1).max(axis=2) > 0).astype(np.uint8) * 90 + i
        for name, array in (("images", grey), ("labels", page)):
            (folder / name).mkdir(parents=True, exist_ok=True)
            path = folder / name / f"im{i}{suffix}"
            if suffix == ".tif":
                tifffile.imwrite(path, array)
            else:
                Image.fromarray(array).save(path)
    return folder


def refused(folder, *words, meaning=None):
    with pytest.raises(DataError) as caught:
        load(folder, meaning=meaning)
    for text in words:
        assert text in str(caught.value), str(caught.value)


def warned(data):
    return [note for note in data.notes if note.startswith("warning: ")]


def same_objects(found, truth):
    """Whether two label images hold the same objects in the same order of their numbers."""
    ids = np.unique(truth[truth > 0])
    renumbered = np.zeros(truth.shape, np.int64)
    for number, value in enumerate(ids.tolist(), 1):
        renumbered[truth == value] = number
    return np.array_equal(found, renumbered)


def classes(seed, count=4, side=64):
    """A map of classes with smooth borders, where each lies in several places."""
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((side, side)), 4)
    cuts = np.quantile(noise, np.linspace(0, 1, count + 1)[1:-1])
    return np.digitize(noise, cuts).astype(np.uint8)


# Objects


@pytest.mark.parametrize("dtype", ["u1", "u2", "i4", "f4"])
@pytest.mark.parametrize("factor", [1, 3, 25])
def test_numbered_cells_are_instances(tmp_path, dtype, factor):
    numbers = [cells.astype(dtype) * factor for cells in CELLS]
    data = load(pairs(tmp_path, numbers))
    assert data.class_names == ("background", "object") and not warned(data)
    for label, found, cells in zip(data.labels, data.instances, CELLS, strict=True):
        np.testing.assert_array_equal(label, cells > 0)
        assert same_objects(found, cells)
    (note,) = (note for note in data.notes if "instances" in note)
    assert "22 objects, 5 to 10 in an image" in note and "--labels classes" in note
    alike = load(pairs(tmp_path / "alike", numbers[:1] * 2), meaning="instances")
    assert any(f"{2 * CELLS[0].max()} objects, {CELLS[0].max()} in an" in n for n in alike.notes)
    if factor == 1:
        data = load(tmp_path, meaning="classes")
        assert len(data.class_names) == 11 and data.instances is None and not warned(data)
        np.testing.assert_array_equal(data.labels[1], CELLS[1])


@pytest.mark.parametrize("factor", [257, 2**20, 2**40])
def test_numbers_of_any_size(tmp_path, factor):
    data = load(pairs(tmp_path, [cells.astype(np.int64) * factor for cells in CELLS]))
    assert all(same_objects(*pair) for pair in zip(data.instances, CELLS, strict=True))
    assert all(found.dtype == np.int32 for found in data.instances)


def test_thousands_of_cells(tmp_path):
    numbers = np.arange(1, 1 + 40 * 40, dtype=np.uint16).reshape(40, 40)
    page = np.kron(numbers, np.pad(np.ones((3, 3), np.uint16), ((0, 1), (0, 1))))
    data = load(pairs(tmp_path, [page]))
    assert same_objects(data.instances[0], page) and "1600 objects" in " ".join(data.notes)


def test_some_cells_in_pieces_are_cells_nevertheless(tmp_path):
    """A quarter of the cells cut in two: what is counted 1 to n in every page numbers cells."""
    cut = [cells.copy() for cells in CELLS]
    for cells in cut:
        for number in range(1, 1 + cells.max() // 3):
            rows = np.nonzero(cells == number)[0]
            middle = (rows.min() + rows.max()) // 2
            cells[middle][cells[middle] == number] = 0
    assert [sum(n > 1 for n in pieces(cells)) for cells in cut] == [2, 3, 1]
    data = load(pairs(tmp_path, cut))
    assert same_objects(data.instances[1], cut[1]) and "most are one piece" in " ".join(data.notes)


def test_an_image_without_objects_among_others(tmp_path):
    data = load(pairs(tmp_path, [*CELLS, 0 * CELLS[0]]))
    assert not data.labels[3].any() and not data.instances[3].any() and len(data.class_names) == 2
    refused(pairs(tmp_path / "b", [0 * CELLS[0]]), "no object", meaning="instances")


def test_objects_that_share_all_of_the_image(tmp_path):
    full = np.repeat(np.repeat(np.arange(1, 17, dtype=np.uint8).reshape(4, 4), 8, 0), 8, 1)
    data = load(pairs(tmp_path, [full, full[::-1]]), meaning="instances")
    assert data.labels[0].all() and same_objects(data.instances[0], full)


def test_a_mask_called_instances_holds_its_components(tmp_path):
    data = load(pairs(tmp_path, [((c > 0) * 255).astype("u1") for c in CELLS]), meaning="instances")
    assert [int(found.max()) for found in data.instances] == [7, 10, 5]
    for found, cells in zip(data.instances, CELLS, strict=True):
        np.testing.assert_array_equal(found, ndimage.label(cells)[0])


def test_classes_called_instances_are_warned_of(tmp_path):
    data = load(pairs(tmp_path, [classes(seed) for seed in range(3)]), meaning="instances")
    (warning,) = warned(data)
    assert "several pieces" in warning and data.class_names == ("background", "object")


def test_the_isbi_layout_with_numbered_neurons(tmp_path):
    for name, pages in (("volume", [c.astype("u1") * 9 for c in CELLS]), ("labels", CELLS)):
        path = tmp_path / f"train-{name}.tif"
        tifffile.imwrite(path, np.stack(pages), photometric="minisblack")
    data = load(tmp_path)
    assert data.class_names == ("membrane", "cell") and same_objects(data.instances[2], CELLS[2])
    with pytest.raises(DataError, match="11 classes.*--labels instances"):
        load(tmp_path, meaning="classes")


# 255 among objects


def test_255_is_a_cell_where_the_numbers_go_on(tmp_path):
    cells = [np.where(c > 0, c + 250, 0).astype(np.uint16) for c in CELLS]
    assert all(255 in page for page in cells)
    data = load(pairs(tmp_path, cells))
    assert all(same_objects(*pair) for pair in zip(data.instances, cells, strict=True))
    assert all(int(label.max()) == 1 for label in data.labels)


def test_255_in_several_pieces_is_ignored(tmp_path):
    rims = [ndimage.binary_dilation(c > 0) & (c == 0) for c in CELLS]
    pages = [np.where(rim, 255, c).astype("u1") for rim, c in zip(rims, CELLS, strict=True)]
    data = load(pairs(tmp_path, pages))
    for label, found, rim, cells in zip(data.labels, data.instances, rims, CELLS, strict=True):
        np.testing.assert_array_equal(label == 255, rim)
        np.testing.assert_array_equal(found, cells)
    assert any("taken for ignore" in note for note in warned(data))


def test_a_single_255_far_above_the_others_is_warned_of(tmp_path):
    page = CELLS[0].astype("u1")
    page[page == 7] = 255
    data = load(pairs(tmp_path, [page, *CELLS[1:]]))
    assert data.instances[0].max() == 7 and any("counts as an object" in n for n in warned(data))


def test_masks_of_255_among_numbered_objects_are_refused(tmp_path):
    """Their objects would be ignored, all of them."""
    masks = [((c > 0) * 255).astype("u1") for c in CELLS[1:]]
    pairs(tmp_path, [CELLS[0].astype("u1"), *masks])
    for meaning in (None, "instances"):
        refused(tmp_path, "two codings", "im1.tif", "is 255 a class or ignore", meaning=meaning)


def test_masks_of_1_among_numbered_objects_are_warned_of(tmp_path):
    mask = (discs(9, 30) > 0).astype(np.uint16)
    (warning,) = warned(load(pairs(tmp_path, [*CELLS, mask])))
    assert "im3.tif" in warning and "one number in 9 pieces" in warning
    cell = (discs(1, 30) > 0).astype(np.uint16)
    assert not warned(load(pairs(tmp_path / "b", [*CELLS, cell])))


# Neither is plain


def test_few_numbers_are_asked_about(tmp_path):
    pairs(tmp_path, [discs(n, n) for n in (2, 1, 2)])
    words = ["im0.tif", "2 numbers beside 0", "--labels instances", "--labels classes"]
    refused(tmp_path, "may be cell numbers (instances) or classes", *words)
    assert len(load(tmp_path, meaning="classes").class_names) == 3
    assert load(tmp_path, meaning="instances").instances[0].max() == 2


@pytest.mark.parametrize("count", [6, 10, 12])
def test_cells_that_are_as_many_in_all_images_are_asked_about(tmp_path, count):
    pairs(tmp_path, [np.roll(discs(count, 3), k, axis=0) for k in range(3)])
    refused(tmp_path, f"{count} numbers", "all images hold the same")


def test_half_of_the_numbers_in_pieces_is_asked_about(tmp_path):
    tables = ([0, 1, 2, 3, 3], [0, 1, 2, 3, 4, 4, 4], [0, 1, 3, 3])
    pages = [np.array(table, np.uint8)[discs(len(table) - 1, 3)] for table in tables]
    assert sum(n == 1 for page in pages for n in pieces(page)) == 6  # of 9
    refused(pairs(tmp_path, pages), "most are one piece")


def test_organs_of_which_some_slices_lack_some_are_asked_about(tmp_path):
    """Each is one piece, and no two slices hold the same ones, but they are not counted up."""
    kept = [{1, 2, 3, 4, 5, 6, 7, 8}, {1, 2, 5, 6, 8}, {3, 4, 7, 8}, {2, 3, 5}]
    body = discs(8, 5)
    pages = [np.where(np.isin(body, [*ids]), body, 0) for ids in kept]
    refused(pairs(tmp_path, pages), "may be cell numbers", "come back, with gaps, as organs do")
    assert len(load(tmp_path, meaning="classes").class_names) == 9


def test_layers_of_which_one_lacks_and_cells_that_fill_the_image_are_asked_about(tmp_path):
    rows = np.arange(64)[:, None] + np.zeros((1, 64))
    pages = [np.digitize(rows, range(9, 9 + 6 * n, 6)).astype("u1") for n in (7, 7, 6)]
    assert [page.max() for page in pages] == [7, 7, 6]
    refused(pairs(tmp_path, pages), "7 numbers", "each touches another one", "--labels classes")


def test_one_tracked_cell_in_each_image_is_asked_about(tmp_path):
    pages = [np.where(discs(1, k) > 0, k, 0).astype("u1") for k in range(1, 6)]
    refused(pairs(tmp_path, pages), "may be cell numbers", "so few may be classes too")


# Classes


def test_very_many_classes_are_warned_of(tmp_path):
    """Such as neurons of which every one lies in several pieces."""
    table = np.append(0, np.random.default_rng(0).permutation(np.tile(np.arange(1, 21), 3)))
    cells = np.kron(np.arange(1, 61).reshape(6, 10), np.pad(np.ones((7, 5), int), (0, 1)))
    pages = [np.roll(table[cells], 6 * k, axis=1).astype("u1") for k in range(3)]
    (warning,) = warned(load(pairs(tmp_path, pages)))
    assert "21 classes" in warning and "--labels instances" in warning
    assert not warned(load(tmp_path, meaning="classes"))


@pytest.mark.parametrize("count", [3, 4, 6])
def test_true_classes_pass(tmp_path, count):
    labels = [classes(seed, count) for seed in range(3)]
    data = load(pairs(tmp_path, labels))
    assert len(data.class_names) == count and not warned(data) and data.instances is None
    np.testing.assert_array_equal(np.stack(data.labels), np.stack(labels))


def test_layers_are_classes_with_a_warning(tmp_path):
    """Each is one piece, but they touch, and every page has the same ones, as no cells do."""
    rows = np.arange(64)[:, None] + np.zeros((1, 64))
    pages = [np.digitize(rows + 3 * k, (10, 24, 40, 52)).astype(np.uint8) for k in range(3)]
    data = load(pairs(tmp_path, pages))
    assert len(data.class_names) == 5 and "look like cell numbers" in warned(data)[0]
    assert "--labels instances" in warned(data)[0]
    pages[1][pages[1] == 4] = 3  # one is missing
    assert "each touches another" in warned(load(pairs(tmp_path / "b", pages)))[0]


def test_one_page_of_cell_numbers_among_masks(tmp_path):
    ones = [(discs(9, seed) > 0).astype(np.uint16) for seed in range(20, 40)]
    (warning,) = warned(load(pairs(tmp_path, [CELLS[1], *ones])))
    assert "im0.tif" in warning and "10 numbers" in warning and "cell numbers" in warning


@pytest.mark.parametrize("count", [2, 3])
def test_classes_from_1_on_as_ilastik_numbers_them(tmp_path, count):
    labels = [classes(seed, count) for seed in range(3)]
    data = load(pairs(tmp_path, [page + 1 for page in labels]))
    np.testing.assert_array_equal(np.stack(data.labels), np.stack(labels))
    assert len(data.class_names) == count and not warned(data)
    assert any("1 is class 0, the background" in note for note in data.notes)
    ignored = [page + 1 for page in labels]
    ignored[0][:5] = 255
    found = load(pairs(tmp_path / "b", ignored)).labels
    assert (found[0][:5] == 255).all() and np.array_equal(found[0][5:], labels[0][5:])


# Colours, as Fiji shows numbers


def coloured(page, seed=0):
    """Numbers in random colours, of which several cells share one, on black."""
    table = np.random.default_rng(seed).integers(40, 256, (4, 3)).astype(np.uint8)
    return np.where(page[..., None] > 0, table[page % 4], 0).astype(np.uint8)


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
def test_colours_number_objects_where_asked(tmp_path, suffix):
    pairs(tmp_path, [coloured(page) for page in CELLS], suffix)
    refused(tmp_path, "im0", "3 channels (colours)", "--labels instances")
    data = load(tmp_path, meaning="instances")
    for found, cells in zip(data.instances, CELLS, strict=True):
        both = np.unique(np.stack([found.ravel(), cells.ravel()]), axis=1)
        assert both.shape[1] == 1 + cells.max() == 1 + found.max()  # one to one
    assert any("each patch of one colour is an object" in note for note in data.notes)


def test_pictures_are_no_coloured_objects(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    noise[0, 0] = 0
    smooth = ndimage.gaussian_filter(coloured(CELLS[0]).astype(float), (2, 2, 0)).astype(np.uint8)
    for name, picture in (("noise", noise), ("smooth", smooth)):
        refused(pairs(tmp_path / name, [picture]), "specks", meaning="instances")
    white = np.where(coloured(CELLS[0]).any(axis=2, keepdims=True), coloured(CELLS[0]), 255)
    refused(pairs(tmp_path / "w", [white.astype("u1")]), "without black", meaning="instances")


# What follows from it


def test_training_is_that_of_the_cell_tracking_layout(tmp_path):
    """The same images, cells and seed: the same samples, weights and losses, bit for bit."""
    own, ctc = pairs(tmp_path / "own", CELLS), tmp_path / "ctc"
    for folder in ("01", "01_GT/SEG"):
        (ctc / folder).mkdir(parents=True)
    for i, cells in enumerate(CELLS):
        (ctc / f"01/t{i:03}.tif").write_bytes((own / f"images/im{i}.tif").read_bytes())
        tifffile.imwrite(ctc / f"01_GT/SEG/man_seg{i:03}.tif", cells)
    settings = dict(width=2, depth=1, tile=34, steps=3, device="cpu", weight_map="paper")
    losses = []
    for folder in (own, ctc):
        config = cunet.Config(data=str(folder), **settings)
        x, y, w = prepare(config).samples.sample(5)
        losses.append([record["loss"] for record in cunet.train(config)])
        losses[-1] += [x.tobytes(), y.tobytes(), w.tobytes()]
        assert (w > 1.5).any()  # the border term
    assert losses[0] == losses[1]


def test_the_setting_reaches_the_data_and_is_kept_by_a_run(run, tmp_path):
    data, out = pairs(tmp_path / "data", [discs(n, n) for n in (2, 1, 2)]), tmp_path / "run"
    options = [*OPTIONS, "--preset", "cpu", "--steps", 1, "--weight-map", "none", "--out", out]
    code, _, err = run("train", "--data", data, *options)
    assert code == 3 and "--labels instances" in err and not out.exists()
    assert run("train", "--data", data, *options, "--labels", "classes")[0] == 0
    assert 'labels = "classes"' in (out / "run.toml").read_text()
    assert run("train", "--resume", out, "--steps", 2, "-q")[0] == 0
    code, text, _ = run("train", "--data", data, *OPTIONS, "-n", "--json", "--labels", "instances")
    assert code == 0 and json.loads(text)["classes"] == ["background", "object"]
    assert run("train", "--data", data, *options, "--labels", "cells")[0] == 2


def test_warnings_are_printed_even_where_nothing_else_is(run, tmp_path):
    ones = [(discs(9, seed) > 0).astype(np.uint16) for seed in range(20, 40)]
    data = pairs(tmp_path, [CELLS[1], *ones])
    code, out, err = run("train", "--data", data, *OPTIONS, "--dry-run", "-q")
    assert code == 0 and out == "" and err.strip().startswith("warning: ")
    assert len(err.splitlines()) == 1


def test_scores_against_numbered_objects(tmp_path):
    touching = np.zeros((40, 40), np.uint16)
    for k in range(9):
        touching[4 + 10 * (k // 3) : 14 + 10 * (k // 3), 4 + 10 * (k % 3) : 14 + 10 * (k % 3)] = (
            k + 1
        )
    gap = np.ones((40, 40), bool)
    for r in range(40):
        for c in range(40):
            around = [(r - 1, c - 1), (r - 1, c), (r - 1, c + 1), (r, c - 1)]
            near = [touching[p, q] for p, q in around if 0 <= p and 0 <= q < 40]
            gap[r, c] = not any(n and n != touching[r, c] for n in near)
    white = (touching > 0) & gap
    assert cunet.evaluate_isbi(white.astype("f4"), touching, labels="instances")["rand_error"] == 0
    assert cunet.evaluate_pixels(white.astype("f4"), touching, labels="instances")["f1"] == 1
    for evaluate in (cunet.evaluate_isbi, cunet.evaluate_pixels):
        with pytest.raises(DataError, match="--labels instances"):
            evaluate(white.astype("f4"), np.where(touching > 2, 0, np.roll(touching, 3, 1)))


def test_scores_of_objects_in_colours(run, tmp_path):
    Image.fromarray(coloured(CELLS[0])).save(tmp_path / "truth.png")
    tifffile.imwrite(tmp_path / "found.tif", CELLS[0])
    files = tmp_path / "found.tif", tmp_path / "truth.png"
    code, _, err = run("evaluate", "dsb", *files)
    assert code == 3 and "--labels instances" in err
    code, out, _ = run("evaluate", "dsb", *files, "--labels", "instances", "--json")
    assert json.loads(out)["kaggle_dsb2018_score"] == 1
    assert cunet.evaluate_objects(*files, labels="instances")["objects"] == 7
