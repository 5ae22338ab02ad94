"""How viewers show the numbers of label files: white-is-zero, colour tables, grey in colours."""

import numpy as np
import pytest
import tifffile
from label_images import discs
from PIL import Image

from cunet.data.coding import exchanged
from cunet.data.labels import read_labels
from cunet.data.load import load
from cunet.errors import DataError

MASKS = [((discs(n, n) > 0) * 255).astype(np.uint8) for n in (6, 8, 5)]
BLACK, WHITE, RED, GREEN = (0, 0, 0), (255, 255, 255), (255, 0, 0), (0, 255, 0)


def write(folder, labels, suffix=".tif"):
    """A folder of pairs; labels are functions that write a file, or masks."""
    for i, label in enumerate(labels):
        for name in ("images", "labels"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / "images" / f"im{i}.tif", MASKS[i] // 3 + np.uint8(i))
        label(folder / "labels" / f"im{i}{suffix}")
    return folder


def grey(page):
    return lambda path: tifffile.imwrite(path, page, photometric="minisblack")


def inverted(page):
    return lambda path: tifffile.imwrite(path, 255 - page, photometric="miniswhite")


def table(page, *colours):
    """Writes indices and their colours, as PNG or TIFF."""

    def save(path):
        if path.suffix == ".png":
            image = Image.frombytes("P", page.shape[::-1], page.tobytes())
            image.putpalette(sum(colours, ()))
            image.save(path)
            return
        colourmap = np.zeros((3, 256), np.uint16)
        colourmap[:, : len(colours)] = 257 * np.transpose(colours)
        tifffile.imwrite(path, page, photometric="palette", colormap=colourmap)

    return save


def refused(folder, *words):
    with pytest.raises(DataError) as caught:
        load(folder)
    for text in words:
        assert text in str(caught.value), str(caught.value)


def test_one_file_marked_white_is_zero_among_others(tmp_path):
    write(tmp_path, [grey(MASKS[0]), inverted(MASKS[1]), grey(MASKS[2])])
    refused(tmp_path, "im1.tif", "im0.tif", "the other way round", "white-is-zero")


def test_the_odd_file_is_named_first_wherever_it_stands(tmp_path):
    write(tmp_path, [inverted(MASKS[0]), grey(MASKS[1]), grey(MASKS[2])])
    with pytest.raises(DataError, match=r"^labels '.*im0.tif' and '.*im[12].tif' are coded"):
        load(tmp_path)


def test_all_files_marked_white_is_zero_are_read_as_stored(tmp_path):
    data = load(write(tmp_path, [inverted(mask) for mask in MASKS]))
    for found, mask in zip(data.labels, MASKS, strict=True):
        np.testing.assert_array_equal(found, mask == 0)
    (note,) = [note for note in data.notes if "white-is-zero" in note]
    assert note.startswith("labels/:") and "im0.tif and 2 more" in note


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_colour_tables_with_the_colours_exchanged(tmp_path, suffix):
    ids = [mask // 255 for mask in MASKS]
    usual, odd = table(ids[0], BLACK, WHITE), table(1 - ids[1], WHITE, BLACK)
    write(tmp_path, [usual, odd], suffix)
    refused(tmp_path, f"im1{suffix}", f"im0{suffix}", "the other way round")
    write(tmp_path, [usual, table(ids[1], BLACK, WHITE)], suffix)
    data = load(tmp_path)
    np.testing.assert_array_equal(data.labels[1], ids[1])
    assert any("colour table" in note and f"im0{suffix} and 1 more" in note for note in data.notes)


def test_two_classes_whose_colours_are_exchanged(tmp_path):
    page = discs(6, 6).astype(np.uint8) % 3
    other = np.array([0, 2, 1], np.uint8)[page]
    write(tmp_path, [table(page, BLACK, RED, GREEN), table(other, BLACK, GREEN, RED)], ".png")
    refused(tmp_path, "im1.png", "im0.png", "is 1 in one and 2 in the other")


def test_a_colour_table_beside_grey(tmp_path):
    ids = [mask // 255 for mask in MASKS]
    write(tmp_path, [grey(ids[0]), table(ids[1], BLACK, RED), grey(ids[2])])
    np.testing.assert_array_equal(np.stack(load(tmp_path).labels), np.stack(ids))
    write(tmp_path, [grey(ids[0]), table(1 - ids[1], WHITE, BLACK), grey(ids[2])])
    refused(tmp_path, "im1.tif", "the other way round")


@pytest.mark.parametrize(
    "one,other,contradict",
    [
        ({0: BLACK}, {0: WHITE}, True),
        ({0: BLACK, 255: WHITE}, {0: BLACK, 1: WHITE}, True),
        ({0: BLACK, 1: RED}, {0: BLACK, 1: GREEN}, False),  # a table of its own for each
        ({0: WHITE, 1: RED}, {0: BLACK}, True),
        ({0: BLACK, 1: RED, 2: RED}, {0: BLACK, 3: RED}, False),  # no colour of one number
        ({0: WHITE, 1: BLACK}, {0: WHITE}, False),
        ({}, {0: WHITE}, False),
    ],
)
def test_what_contradicts_what(one, other, contradict):
    assert bool(exchanged(one, other)) == bool(exchanged(other, one)) == contradict


def test_an_image_marked_white_is_zero_among_others(tmp_path):
    write(tmp_path, [grey(mask) for mask in MASKS])
    inverted(MASKS[2] // 3)(tmp_path / "images" / "im2.tif")
    refused(tmp_path, "images", "im2.tif", "white-is-zero")


@pytest.mark.parametrize("alpha", [False, True])
@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_grey_saved_as_colour_is_read_as_one_channel(tmp_path, alpha, suffix):
    layers = [MASKS[0]] * 3 + [np.full_like(MASKS[0], 255)] * alpha
    path = tmp_path / f"mask{suffix}"
    if suffix == ".png":
        Image.fromarray(np.dstack(layers)).save(path)
    else:
        extra = {"extrasamples": ["unassalpha"]} if alpha else {}
        tifffile.imwrite(path, np.dstack(layers), photometric="rgb", **extra)
    (page,), notes = read_labels(path)
    np.testing.assert_array_equal(page, MASKS[0])
    assert any("the 3 equal channels are read as one" in note for note in notes)


def test_real_colours_are_refused_with_the_place(tmp_path):
    colours = np.dstack([MASKS[0]] * 3)
    colours[5, 7] = 10, 20, 30
    Image.fromarray(colours).save(tmp_path / "mask.png")
    with pytest.raises(DataError, match=r"mask.png.*row 5, column 7 10, 20, 30.*8-bit grey"):
        read_labels(tmp_path / "mask.png")


@pytest.mark.parametrize("value", [2.0**62, 1e300, np.inf, np.nan])
def test_floating_point_labels_that_no_integer_holds(tmp_path, value):
    tifffile.imwrite(tmp_path / "a.tif", np.where(MASKS[0] > 0, value, 0.0))
    with pytest.raises(DataError, match="a.tif', page 0: labels are whole numbers"):
        read_labels(tmp_path / "a.tif")


@pytest.mark.parametrize("meaning", [None, "instances"])
def test_every_file_may_show_its_cells_in_colours_of_its_own(tmp_path, meaning):
    """Programs draw new colours at random for each image; the numbers count. The ground does not
    change its colour."""
    rng, cells = np.random.default_rng(0), [discs(n, n).astype(np.uint8) for n in (6, 8, 5)]
    colours = [tuple(c) for c in rng.integers(50, 200, (8, 3)).tolist()]
    tables = [[BLACK, *(colours[k] for k in rng.permutation(8))] for _ in cells]
    files = [table(page, *shown) for page, shown in zip(cells, tables, strict=True)]
    data = load(write(tmp_path, files, ".png"), meaning=meaning)
    for found, page in zip(data.instances, cells, strict=True):
        np.testing.assert_array_equal(found, page)
    tables[1][0] = WHITE
    files[1] = table(cells[1], *tables[1])
    refused(write(tmp_path, files, ".png"), "im1.png", "0 is white in one")
