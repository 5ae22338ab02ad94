"""Slices on disk: what is read of them, and that a data set of them is that of arrays in memory."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tifffile
from PIL import Image
from slices_on_disk import HELD, cells, discs, images, leave, masks, ome_zarr, tiffs

from cunet.data import facts, meaning_on_disk, on_disk, pages_on_disk, room
from cunet.data.layouts import find
from cunet.data.load import load
from cunet.data.lookup import bilinear, nearest
from cunet.data.on_disk import Computed, OnDisk, together
from cunet.data.pages_on_disk import Page, Source
from cunet.data.weight_map import cut_touching
from cunet.errors import CunetError, DataError
from cunet.files import open_image
from cunet.files.ome_zarr.chunks import Chunks

SAID = ("slices are read when samples are drawn", "all slices were read once")


def both(folder, monkeypatch, meaning=None, choice=None):
    """The data set in memory, and on disk."""
    kind = choice and f"folder:{choice}"
    leave(monkeypatch, HELD)
    held = load(folder, kind, meaning)
    leave(monkeypatch)
    return held, load(folder, kind, meaning)


def notes(data):
    return [note for note in data.notes if not note.startswith(SAID)]


def pages_of(path):
    with open_image(path) as image:
        source = Source(path, image)
        return [Page([source], number) for number in range(image.pages)]


@pytest.fixture
def stored(tmp_path):
    """Files with the same three-coloured pixels, by what they are."""
    pixels = images(1, 40, 50, 3)[0]
    tifffile.imwrite(tmp_path / "strips.tif", pixels, photometric="rgb", rowsperstrip=7)
    tifffile.imwrite(tmp_path / "tiles.tif", pixels, photometric="rgb", tile=(16, 16))
    tifffile.imwrite(tmp_path / "one.tif", pixels, photometric="rgb", compression="zlib")
    Image.fromarray(pixels).save(tmp_path / "whole.png")
    ome_zarr(tmp_path / "a.ome.zarr", pixels[None], cells(1, 40, 50))
    names = ("strips.tif", "tiles.tif", "one.tif", "whole.png", "a.ome.zarr")
    return pixels, [tmp_path / name for name in names]


def test_a_page_is_like_an_array(stored):
    pixels, paths = stored
    for path in paths:
        (page,) = pages_of(path)
        assert (page.shape, page.dtype, page.ndim) == (pixels.shape, pixels.dtype, 3)
        assert (len(page), page.size) == (40, pixels.size)
        np.testing.assert_array_equal(page[5:17], pixels[5:17])
        np.testing.assert_array_equal(page[5:17, 11:12], pixels[5:17, 11:12])
        np.testing.assert_array_equal(page[-3:99, :4], pixels[-3:99, :4])
        np.testing.assert_array_equal(np.asarray(page), pixels)
        with pytest.raises(TypeError, match="rows and columns"):
            page[::2]


def test_many_files_are_read_by_many_threads_and_few_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr(pages_on_disk, "MAX_OPEN", 2)
    pixels = images(6, 30, 20)
    tiffs(tmp_path, pixels, masks(6, 30, 20))
    pages = [pages_of(tmp_path / "images" / f"a{i}.tif")[0] for i in range(6)]
    before = set(Source._open)
    with ThreadPoolExecutor(4) as pool:
        rows = [*pool.map(lambda k: pages[k % 6][k % 20 : k % 20 + 5], range(240))]
    for k, found in enumerate(rows):
        np.testing.assert_array_equal(found, pixels[k % 6, k % 20 : k % 20 + 5])
    pages[0][:1]
    pages[1][:1]
    held = [page for page in pages if page.sources[0]._image is not None]
    assert len(set(Source._open) - before) <= 2 and len(held) <= 2


def test_a_file_that_is_being_read_stays_open_and_another_is_closed(tmp_path, monkeypatch):
    """What could not be closed in its turn is closed by the next read of any file."""
    monkeypatch.setattr(pages_on_disk, "MAX_OPEN", 2)
    monkeypatch.setattr(Source, "_open", type(Source._open)())
    tiffs(tmp_path, images(5, 30, 20), masks(5, 30, 20))
    pages = [pages_of(tmp_path / "images" / f"a{i}.tif")[0] for i in range(5)]
    sources = [page.sources[0] for page in pages]
    pages[0][:1]
    with sources[0]._lock:  # as if another thread were reading
        pages[1][:1]
        pages[2][:1]
        assert list(Source._open) == [sources[0], sources[2]]
        with sources[2]._lock:
            pages[3][:1]
            assert len(Source._open) == 3  # both others are being read
    pages[3][:1]
    assert list(Source._open) == [sources[2], sources[3]]
    assert sources[0]._image is None and sources[3]._image is not None
    for source in sources:
        source.close()


def test_what_is_computed_of_parts_is_right_at_their_edges(tmp_path):
    page = discs(70, 75)
    ome_zarr(tmp_path / "a.ome.zarr", images(1, 70, 75), page[None])
    stored = pages_of(tmp_path / "a.ome.zarr" / "labels" / "cells")
    source = Computed(stored, lambda part: part[..., 0], "u2")
    cut, blind = (Computed([source], cut_touching, "u2", margin=m) for m in (1, 0))
    expected = cut_touching(page)
    np.testing.assert_array_equal(np.asarray(cut), expected)
    parts = [(slice(r, r + 4), slice(c, c + 4)) for r in range(0, 70, 4) for c in range(0, 75, 4)]
    for part in parts:
        np.testing.assert_array_equal(cut[part], expected[part])
    assert any((blind[part] != expected[part]).any() for part in parts)


@pytest.fixture
def decoded(monkeypatch):
    """The files of chunks that were decoded."""
    paths, original = [], Chunks._decode

    def counted(self, data, path):
        paths.append(path)
        return original(self, data, path)

    monkeypatch.setattr(Chunks, "_decode", counted)
    return paths


def test_a_look_at_all_decodes_chunks_of_several_slices_once(tmp_path, monkeypatch, decoded):
    pixels = images(7, 70, 61)
    ome_zarr(tmp_path / "a.ome.zarr", pixels, cells(7), (3, 16, 32))
    monkeypatch.setattr(on_disk, "BLOCK", 500)
    monkeypatch.setattr(pages_on_disk, "BAND", 4000)
    pages = pages_of(tmp_path / "a.ome.zarr")
    seen = [[] for _ in pages]
    for number, first, block in together(pages):
        assert first == sum(map(len, seen[number]))
        seen[number].append(block)
    for found, page in zip(seen, pixels, strict=True):
        np.testing.assert_array_equal(np.concatenate(found), page)
    assert len(decoded) == len(set(decoded)) == 3 * 5 * 2


def test_slices_between_which_some_are_held_out(tmp_path):
    pixels = images(6)
    pages = pages_of(ome_zarr(tmp_path / "a.ome.zarr", pixels, cells(6), (3, 16, 32)))
    for chosen in ([0, 2, 5], [2, 0, 1], [4]):
        found = {number: block for number, _, block in together([pages[i] for i in chosen])}
        for number, i in enumerate(chosen):
            np.testing.assert_array_equal(found[number], pixels[i])


class Counted(OnDisk):
    """An array, and which parts of it were read."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.parts = array, array.shape, array.dtype, []

    def window(self, r0, r1, c0, c1):
        self.parts.append((r1 - r0, c1 - c0))
        return self.array[r0:r1, c0:c1]


@pytest.mark.parametrize("top", [-20, 0, 160, 260])
def test_of_a_sample_the_window_around_it_is_read(top):
    rng = np.random.default_rng(3)
    image, labels = rng.random((300, 280, 2), np.float32), rng.integers(0, 9, (300, 280))
    turn = np.array([[0.8, -0.6], [0.6, 0.8]]) @ np.mgrid[:32, :32].reshape(2, -1)
    points = [line.reshape(32, 32).astype(np.float32) + 0.3 for line in turn]
    counted = Counted(image), Counted(labels)
    found = (
        bilinear(counted[0], *points, top, 40),
        bilinear(Counted(image[..., 0]), *points, top, 40)[..., 0],
        nearest(counted[1], *points, top, 40),
    )
    expected = bilinear(image, *points, top, 40), nearest(labels, *points, top, 40)
    np.testing.assert_array_equal(found[0], expected[0])
    np.testing.assert_array_equal(found[1], expected[0][..., 0])
    np.testing.assert_array_equal(found[2], expected[1])
    for one in counted:
        ((height, width),) = one.parts
        assert height <= 50 and width <= 50


# Data sets


@pytest.mark.parametrize("make", [tiffs, ome_zarr])
@pytest.mark.parametrize("what", ["masks", "classes", "ignored", "from 1", "cells", "255 ignored"])
def test_it_is_the_data_set_of_the_same_arrays(tmp_path, monkeypatch, make, what):
    monkeypatch.setattr(on_disk, "BLOCK", 999)
    labels = {
        "masks": masks(),
        "classes": (cells() % 3).astype(np.uint8),
        "ignored": np.where(cells() == 5, 255, cells() % 3).astype(np.uint8),
        "from 1": (cells() % 3 + 1).astype(np.uint8),
        "cells": cells() * 1000,
        "255 ignored": np.where(cells() % 9 == 5, 255, cells()).astype(np.uint8),
    }[what]
    name = "data" if make is tiffs else "data.ome.zarr"
    folder = make(tmp_path / name, images(channels=3), labels)
    held, read = both(folder, monkeypatch, None if "5 " not in what else "instances")
    assert not isinstance(held.images[0], OnDisk) and isinstance(read.images[0], OnDisk)
    assert notes(held) == notes(read) and len(read.notes) == len(held.notes) + 2
    for name in ("name", "kind", "class_names", "slice_names", "hashes"):
        assert getattr(held, name) == getattr(read, name), name
    for one, other in zip(held.images + held.labels, read.images + read.labels, strict=True):
        np.testing.assert_array_equal(one, np.asarray(other))
        assert (one.dtype, one.shape) == (other.dtype, other.shape)
    for page, counted in zip(held.labels, read.labels, strict=True):
        np.testing.assert_array_equal(counted.counts, np.bincount(page.ravel(), minlength=256))
    numbered = what in ("cells", "255 ignored")
    assert (held.instances is not None) == (read.instances is not None) == numbered
    for one, other in zip(held.instances or [], read.instances or [], strict=True):
        pairs = {*zip(one.ravel().tolist(), np.asarray(other).ravel().tolist(), strict=True)}
        assert len(np.unique(one)) == len(np.unique(np.asarray(other))) == len(pairs)


def wrong_values():
    """What is wrong, the images and the labels, and words of the error."""
    pixels, labels = images(), masks()
    hole, low = images(dtype=np.float32), images(dtype=np.float32)
    hole[2, 30, 7], low[1, 3:5] = np.nan, -3.4e38
    yield "NaN", hole, labels, "a2.tif' holds NaN or infinity in 1 pixel (row 30)"
    yield "no data", low, labels, "a1.tif' holds -3.4e+38 in 122 pixels (rows 3 to 4)"
    sizes = [*labels[:3], labels[3, :-1]]
    yield "sizes", pixels, sizes, "are 69 x 61 but the image"
    mixed = [*pixels[:3], pixels[3].astype(np.uint16)]
    yield "dtypes", mixed, labels, "1 channel of uint16"
    yield "negative", pixels, labels.astype(np.int16) - 1, "a0.tif' are negative (-1, 254)"
    yield "gaps", pixels, np.where(labels > 0, 3, 0).astype(np.uint8), "no 1"
    yield "one class", pixels, labels * 0, "one class only"
    yield "parts", pixels, labels / np.float32(2), "whole numbers, found 127.5"
    colours = np.repeat(labels[..., None], 3, axis=3)
    colours[1, 8, 20, 1] = 7
    yield "colours", pixels, colours, "at row 8, column 20"
    two = labels.copy()
    two[2] = np.minimum(labels[2], 2)
    yield "two codings", pixels, two, "two codings of labels"


@pytest.mark.parametrize("case", [*wrong_values()], ids=lambda case: case[0])
def test_what_is_refused_in_memory_is_refused_on_disk(tmp_path, monkeypatch, case):
    _, pixels, labels, words = case
    monkeypatch.setattr(on_disk, "BLOCK", 999)
    folder, found = tiffs(tmp_path / "data", pixels, labels), []
    for most in (HELD, -1.0):
        leave(monkeypatch, most)
        with pytest.raises(DataError) as caught:
            load(folder)
        found.append(str(caught.value))
    assert found[0] == found[1] and words in found[1]


def test_grey_saved_as_colour_and_values_that_stand_apart(tmp_path, monkeypatch):
    pixels = [*images(4, dtype=np.int16)]
    pixels[1] = np.repeat(pixels[1], 3, axis=2)
    pixels[2][...] = 9
    pixels[3][:5, :9], pixels[0][60:, 3] = -30_000, 30_000
    held, read = both(tiffs(tmp_path / "data", pixels, masks()), monkeypatch)
    assert notes(held) == notes(read)
    said = " ".join(read.notes)
    assert f"equal channels are read as one: '{tmp_path}/data/images/a1.tif'" in said
    assert "single grey value" in said and "(and 1 more image like it)" in said
    for one, other in zip(held.images, read.images, strict=True):
        np.testing.assert_array_equal(one, np.asarray(other))
        np.testing.assert_array_equal(other.total, one.reshape(-1, 1).sum(axis=0))


def test_what_only_whole_slices_tell_is_asked(tmp_path, monkeypatch):
    leave(monkeypatch)
    monkeypatch.setattr(meaning_on_disk, "LOOKED_AT", 1000)
    numbered = tiffs(tmp_path / "cells", images(), cells())
    with pytest.raises(DataError, match="too large to look at.*--labels instances"):
        load(numbered)
    assert load(numbered, meaning="instances").instances is not None
    assert load(tiffs(tmp_path / "masks", images(), masks())).class_names == ("class 0", "class 1")
    with pytest.raises(DataError, match="is a mask.*number the objects"):
        load(tmp_path / "masks", meaning="instances")
    torn = np.where(cells() % 9 == 5, 255, cells()).astype(np.uint8)
    with pytest.raises(DataError, match="255 among object numbers"):
        load(tiffs(tmp_path / "torn", images(), torn), meaning="instances")


def test_channels_of_nnunet_in_files_of_their_own(tmp_path, monkeypatch):
    pixels = images(2, channels=2)
    for folder, pages in (("imagesTr", pixels), ("labelsTr", masks(2))):
        (tmp_path / folder).mkdir()
        for i, page in enumerate(pages):
            for c in range(page.shape[2] if page.ndim == 3 else 1):
                name = f"b{i}_{c:04}.tif" if page.ndim == 3 else f"b{i}.tif"
                tifffile.imwrite(tmp_path / folder / name, page[..., c] if page.ndim == 3 else page)
    held, read = both(tmp_path, monkeypatch)
    np.testing.assert_array_equal(np.asarray(read.images[1]), pixels[1])
    assert notes(held) == notes(read) and held.hashes == read.hashes


# OME-Zarr as a data set


def test_the_one_label_image_is_found_and_of_several_one_is_asked_for(tmp_path):
    one = ome_zarr(tmp_path / "one.ome.zarr", images(), masks())
    assert load(one).hashes.keys() == {"image", "labels/cells"}
    assert load(one).slice_names[1] == "one[1]"
    two = ome_zarr(tmp_path / "two.ome.zarr", images(), masks(), names=("cells", "nuclei"))
    with pytest.raises(CunetError, match="--label-image cells, --label-image nuclei"):
        load(two)
    assert load(two, "folder:nuclei").hashes.keys() == {"image", "labels/nuclei"}
    with pytest.raises(CunetError, match="no label image 'x'; it has cells, nuclei"):
        load(two, "folder:x")
    with pytest.raises(CunetError, match="has no label image: expected one"):
        load(ome_zarr(tmp_path / "none.ome.zarr", images(), masks(), names=()))


def test_images_beside_labels_and_in_two_folders(tmp_path):
    pixels, labels = images(2), masks(2)
    for folder, names in (
        (tmp_path / "a", ("x", "x_labels")),
        (tmp_path / "b", ("images/x", "labels/x")),
    ):
        for name, values in zip(names, (pixels, labels[..., None]), strict=True):
            ome_zarr(folder / f"{name}.ome.zarr", values, labels, names=())
        files, _ = find(folder)
        assert [one.name for one in files] == ["x"]
        data = load(folder)
        assert data.slice_names == ("x[0]", "x[1]")
        np.testing.assert_array_equal(data.images[1], pixels[1])
        np.testing.assert_array_equal(data.labels[1], labels[1] // 255)


def test_the_hash_of_an_image_is_of_its_pixels(tmp_path):
    """Cut and packed in another way it is the same image."""
    pixels, labels = images(), masks()
    one = load(ome_zarr(tmp_path / "1" / "a.ome.zarr", pixels, labels)).hashes
    other = load(ome_zarr(tmp_path / "2" / "a.ome.zarr", pixels, labels, (2, 70, 10))).hashes
    assert one == other
    pixels[3, 50, 50] += 1
    changed = load(ome_zarr(tmp_path / "3" / "a.ome.zarr", pixels, labels)).hashes
    assert changed["image"] != one["image"] and changed["labels/cells"] == one["labels/cells"]


# Where slices are held


def test_slices_are_held_where_they_fit(tmp_path, monkeypatch):
    """70 x 61 pixels, 4 slices: 2 bytes stored, 9 for labels and weights, 4 normalised."""
    need = 4 * 70 * 61 * (1 + 1 + 9 + 4)
    for folder in (
        tiffs(tmp_path / "t", images(), masks()),
        ome_zarr(tmp_path / "z", images(), masks()),
    ):
        files, _ = find(folder)
        leave(monkeypatch, need)
        monkeypatch.setattr(room, "PACKED", float("inf"))
        assert room.why_on_disk(files) == ""
        leave(monkeypatch, need - 1)
        assert room.why_on_disk(files).startswith("slices are read when samples are drawn: in mem")


def test_small_files_are_held_without_a_look(tmp_path, monkeypatch):
    files, _ = find(tiffs(tmp_path, images(), masks()))
    monkeypatch.setattr(room, "open_image", lambda *a, **k: pytest.fail("was opened"))
    assert room.why_on_disk(files) == ""


def test_the_limit_follows_from_the_machine_alone(monkeypatch):
    monkeypatch.setattr(room, "machine_memory", lambda: 64e9)
    assert room.most_held(False) == 16e9 and room.most_held(True) == 2**30
    monkeypatch.setattr(room, "machine_memory", lambda: 2e9)
    assert room.most_held(True) == 5e8


def test_facts_of_numbers_without_end(tmp_path, monkeypatch):
    """Many blocks of many numbers are counted as NumPy counts them."""
    monkeypatch.setattr(on_disk, "BLOCK", 61)
    monkeypatch.setattr(facts, "PARTS", 3)
    page = np.random.default_rng(0).integers(0, 2**40, (70, 61)) % 1009
    (found,) = facts.label_facts([Lines(page)])
    numbers, counts = np.unique(page, return_counts=True)
    np.testing.assert_array_equal(found.numbers, numbers)
    np.testing.assert_array_equal(found.counts, counts)


class Lines(Counted):
    """One that is read line by line."""

    def rows_at_once(self, slices=1):
        return 1
