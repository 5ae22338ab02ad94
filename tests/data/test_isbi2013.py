"""The layout of ISBI 2013: membranes from the numbers of neurons, and every wrong file."""

import numpy as np
import pytest
import tifffile

from cunet.data import isbi2013
from cunet.data.load import load
from cunet.data.resize import resize_labels, resized
from cunet.errors import CunetError, DataError
from cunet.segmentation.next_command import segment_command


def grey(*shape):
    return np.random.default_rng(0).integers(0, 200, shape).astype(np.uint8)


def neurons(seed=0, pages=3, side=24, gaps=False):
    """Each pixel has the number of the nearest of some points, (pages, side, side) uint32."""
    rng = np.random.default_rng(seed)
    points, where = rng.uniform(0, side, (7, 3)), np.indices((pages, side, side))
    away = [sum((where[a] - p[a]) ** 2 for a in range(3)) for p in points]
    numbers = np.argmin(away, axis=0).astype(np.uint32) + 1
    if gaps:
        numbers[rng.random(numbers.shape) < 0.1] = 0
    return numbers


def stack(folder, labels, volume=None, names=("train-input.tif", "train-labels.tif")):
    folder.mkdir(exist_ok=True)
    volume = grey(*labels.shape[:3]) if volume is None else volume
    for name, array in zip(names, (volume, labels), strict=True):
        tifffile.imwrite(folder / name, array, photometric="minisblack")
    return folder


def refused(folder, error, *words):
    with pytest.raises(error) as caught:
        load(folder)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


def pixel_by_pixel(numbers):
    """The rule as it is written, one pixel after the other."""
    height, width = numbers.shape
    cells = np.ones(numbers.shape, np.uint8)
    for r in range(height):
        for c in range(width):
            mine, beside = numbers[r, c], []
            for y, x in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1)):
                if 0 <= y < height and 0 <= x < width:
                    beside.append(numbers[y, x])
            if mine == 0 or any(other not in (0, mine) for other in beside):
                cells[r, c] = 0
    return cells


@pytest.mark.parametrize("gaps", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_membranes_are_those_of_the_rule_applied_pixel_by_pixel(seed, gaps):
    for page in neurons(seed, gaps=gaps):
        np.testing.assert_array_equal(isbi2013.cells_of(page), pixel_by_pixel(page))


def test_a_line_between_neurons_is_two_pixels_wide_and_a_drawn_one_as_drawn():
    numbers = np.repeat([[3, 3, 3, 3, 9, 9, 9, 9]], 4, axis=0)
    assert isbi2013.cells_of(numbers).tolist() == [[1, 1, 1, 0, 0, 1, 1, 1]] * 4
    numbers[:, 3] = 0
    assert isbi2013.cells_of(numbers).tolist() == [[1, 1, 1, 0, 1, 1, 1, 1]] * 4


@pytest.mark.parametrize("seed", range(3))
def test_no_cell_touches_another_neuron_by_a_side_even_at_half_the_size(seed):
    for page in neurons(seed, side=48):
        cells = isbi2013.cells_of(page)
        for inside in (cells * page, resize_labels(cells, 24) * resize_labels(page, 24)):
            assert len(np.unique(inside)) > 3
            for a, b in ((inside[:-1], inside[1:]), (inside[:, :-1], inside[:, 1:])):
                assert not ((a != b) & (a > 0) & (b > 0)).any()


@pytest.mark.parametrize(
    "dtype, first", [("u1", 1), ("u2", 1), ("u2", 60_000), ("u4", 1), ("u4", 3_000_000_000)]
)
def test_numbers_of_every_size_are_read(tmp_path, dtype, first):
    numbers = neurons()
    data = load(stack(tmp_path, (numbers + np.uint32(first - 1)).astype(dtype)))
    assert data.kind == "isbi2013" and data.class_names == ("membrane", "cell")
    assert data.slice_names == ("slice 00", "slice 01", "slice 02") and data.instances is None
    for page, label in zip(numbers, data.labels, strict=True):
        np.testing.assert_array_equal(label, pixel_by_pixel(page))
    np.testing.assert_array_equal(np.stack(data.images)[..., 0], grey(3, 24, 24))
    assert data.labels[0].dtype == np.uint8
    assert set(data.hashes) == {"train-input.tif", "train-labels.tif"}
    said = " ".join(data.notes)
    share = 100 * np.mean([pixel_by_pixel(page) for page in numbers])
    count = len(np.unique(numbers))
    assert f"{count} neurons; 0.0 % of the pixels are 0" in said
    assert f"{share:.1f} % of the pixels are cell" in said


def test_neuron_255_is_a_neuron(tmp_path):
    numbers = neurons(gaps=True).astype(np.uint16)
    changed = np.where(numbers == 2, 255, numbers).astype(np.uint16)
    np.testing.assert_array_equal(
        load(stack(tmp_path / "a", numbers)).labels, load(stack(tmp_path / "b", changed)).labels
    )


@pytest.mark.parametrize(
    "names", [("Train-Input.TIF", "TRAIN-labels.tif"), ("train-input.tiff", "train-labels.TIFF")]
)
def test_names_in_any_spelling(tmp_path, names):
    data = load(stack(tmp_path, neurons(), names=names))
    assert data.kind == "isbi2013" and set(data.hashes) == set(names)
    command = segment_command(str(tmp_path), "r", None, [0, 2])
    assert str(tmp_path / names[0]) in command and "--pages 0,2" in command


def test_the_layout_can_be_asked_for(tmp_path):
    assert load(stack(tmp_path, neurons()), "isbi2013").kind == "isbi2013"
    (tmp_path / "other").mkdir()
    with pytest.raises(CunetError, match="no file .*train-input.tif.*an empty folder"):
        load(tmp_path / "other", "isbi2013")


def test_files_that_are_missing_or_of_another_name(tmp_path):
    names = ("train-input.tif", "train_labels.tif")
    wrong = stack(tmp_path / "a", neurons(), names=names)
    refused(wrong, CunetError, "train-labels.tif'", "ISBI 2013", *names, "rename")
    alone = stack(tmp_path / "b", neurons())
    (alone / "train-input.tif").unlink()
    refused(alone, CunetError, "train-volume.tif", "found train-labels.tif")


def test_a_folder_with_the_volumes_of_both_years_asks_which(tmp_path):
    both = stack(tmp_path, neurons())
    tifffile.imwrite(both / "train-volume.tif", grey(3, 24, 24), photometric="minisblack")
    refused(both, CunetError, "train-volume.tif", "train-input.tif", "--dataset isbi2013")
    assert load(both, "isbi2013").kind == "isbi2013"


def test_pages_and_sizes_that_do_not_fit(tmp_path):
    few = stack(tmp_path / "a", neurons(pages=2), grey(3, 24, 24))
    refused(few, DataError, "train-labels.tif", "train-input.tif", "2 against 3")
    large = stack(tmp_path / "b", neurons(), grey(3, 24, 25))
    refused(large, DataError, "train-labels.tif' page 0", "24 x 24", "24 x 25")


def test_masks_pictures_and_other_numbers_are_refused(tmp_path):
    mask = (neurons() > 3).astype(np.uint8) * 255
    refused(stack(tmp_path / "a", mask), DataError, "found 0, 255 alone", "train-volume.tif")
    noise = np.arange(3 * 24 * 24, dtype=np.uint16).reshape(3, 24, 24) + 1
    refused(stack(tmp_path / "b", noise), DataError, "train-labels.tif", "a picture?")
    below = neurons().astype(np.int32) - 7
    refused(stack(tmp_path / "c", below), DataError, "train-labels.tif' page", "negative")
    half = neurons().astype(np.float32) + 0.5
    refused(stack(tmp_path / "d", half), DataError, "train-labels.tif", "whole numbers")
    whole = load(stack(tmp_path / "e", neurons().astype(np.float32)))
    assert any("floating point" in note for note in whole.notes)


def test_a_section_may_lie_in_one_neuron(tmp_path):
    numbers = neurons()
    numbers[1] = 5
    data = load(stack(tmp_path, numbers))
    assert data.labels[1].all() and not data.labels[0].all()


def test_squares_of_another_size(tmp_path):
    numbers = neurons(side=24)
    data = resized(load(stack(tmp_path, numbers)), 48)
    assert [image.shape for image in data.images] == [(48, 48, 1)] * 3
    doubled = np.repeat(np.repeat(pixel_by_pixel(numbers[0]), 2, 0), 2, 1)
    np.testing.assert_array_equal(data.labels[0], doubled)
