"""Another size: against loops over pixels, and what image, labels and probability must share."""

from dataclasses import replace

import numpy as np
import pytest

from cunet.data.dataset import Dataset
from cunet.data.resize import resize_image, resize_labels, resize_probability, resized

SHAPES = [(64, 64, 32), (50, 70, 20), (21, 33, 48), (30, 11, 7), (9, 9, 64), (1, 5, 16)]


def triangle(size, side):
    """(side, size): the weights that the docstring of resize_image describes, for one line."""
    scale = size / side
    reach = max(scale, 1.0)
    weights = np.zeros((side, size))
    for new in range(side):
        for old in range(size):
            distance = abs((new + 0.5) * scale - (old + 0.5))
            weights[new, old] = max(0.0, 1 - distance / reach)
    return weights / weights.sum(axis=1, keepdims=True)


def nearest(size, side, new):
    """The indices that pixel `new` of `side` may take: one, or both at the very middle."""
    # Distances in units of 1 / (2 side) of an old pixel are whole numbers: nothing is rounded.
    distance = [abs((2 * new + 1) * size - (2 * old + 1) * side) for old in range(size)]
    close = [old for old in range(size) if distance[old] == min(distance)]
    middle = [abs(2 * old + 1 - size) for old in close]
    return [old for old, away in zip(close, middle, strict=True) if away == min(middle)]


def mass(plane):
    """The centre of mass of (H, W), as shares of height and width."""
    plane = np.asarray(plane, float)
    rows = (np.arange(plane.shape[0]) + 0.5) / plane.shape[0]
    columns = (np.arange(plane.shape[1]) + 0.5) / plane.shape[1]
    return np.array([(plane.sum(1) * rows).sum(), (plane.sum(0) * columns).sum()]) / plane.sum()


def disc(height, width, row, column, radius):
    rows, columns = np.mgrid[:height, :width] + 0.5
    return ((rows - row) ** 2 + (columns - column) ** 2 < radius**2).astype(np.uint8)


@pytest.mark.parametrize("height,width,side", SHAPES)
@pytest.mark.parametrize("dtype", ["u1", "u2", "f4"])
def test_an_image_is_the_mean_that_is_described(height, width, side, dtype):
    image = np.random.default_rng(0).integers(0, 250, (height, width, 2)).astype(dtype)
    image.flags.writeable = False
    found = resize_image(image, side)
    expected = np.einsum("ah,bw,hwc->abc", triangle(height, side), triangle(width, side), image)
    assert found.dtype == np.float32 and found.shape == (side, side, 2)
    np.testing.assert_allclose(found, expected, atol=1e-3)


@pytest.mark.parametrize("height,width,side", SHAPES)
def test_labels_take_the_nearest_pixel(height, width, side):
    labels = np.arange(height * width, dtype=np.uint16).reshape(height, width)
    labels.flags.writeable = False
    found = resize_labels(labels, side)
    assert found.dtype == np.uint16 and found.shape == (side, side)
    for new in range(side):
        assert set(found[new] // width) <= set(nearest(height, side, new))
        assert set(found[:, new] % width) <= set(nearest(width, side, new))


def test_mirrored_labels_give_the_mirrored_result():
    labels = np.random.default_rng(0).integers(0, 5, (256, 96)).astype(np.int32)
    found = resize_labels(labels, 32)  # factors 8 and 3
    assert found.dtype == np.int32
    np.testing.assert_array_equal(resize_labels(labels[::-1], 32), found[::-1])
    np.testing.assert_array_equal(resize_labels(labels[:, ::-1], 32), found[:, ::-1])


@pytest.mark.parametrize("side", [20, 50, 64, 71, 128])
def test_a_blob_stays_where_it_was_in_image_and_labels(side):
    for blob in (disc(120, 100, 60, 50, 30), disc(128, 128, 47, 71, 25)):
        labels = resize_labels(blob, side)
        image = resize_image(blob[..., None] * 200, side)
        tenth = 0.1 / side
        assert np.abs(mass(image[..., 0]) - mass(blob)).max() < 0.1 * tenth
        assert np.abs(mass(labels) - mass(blob)).max() < 2 * tenth
        back = resize_probability(image, *blob.shape)
        assert np.abs(mass(back[..., 0]) - mass(blob)).max() < 0.1 * tenth
    centred = disc(128, 128, 64, 64, 40)
    np.testing.assert_allclose(mass(resize_labels(centred, side)), 0.5, atol=1e-12)


def test_a_constant_stays_constant():
    for value in (0.1, 255, 40_000):
        image = np.full((37, 90, 3), value, np.float32)
        for side in (16, 60, 128):
            np.testing.assert_allclose(resize_image(image, side), np.float32(value), rtol=3e-7)


def test_the_same_size_changes_nothing():
    rng = np.random.default_rng(1)
    image = rng.integers(0, 65_536, (32, 32, 3)).astype(np.uint16)
    labels = rng.integers(0, 300, (32, 32))
    np.testing.assert_array_equal(resize_image(image, 32), image)
    np.testing.assert_array_equal(resize_labels(labels, 32), labels)
    probability = rng.random((20, 32, 2)).astype(np.float32)
    np.testing.assert_array_equal(resize_probability(probability, 20, 32), probability)


@pytest.mark.parametrize("height,width", [(100, 90), (40, 300), (20, 11)])
def test_probabilities_still_sum_to_one(height, width):
    probability = np.random.default_rng(2).random((40, 40, 3)) ** 4
    probability /= probability.sum(axis=2, keepdims=True)
    found = resize_probability(probability.astype(np.float32), height, width)
    assert found.shape == (height, width, 3) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=3e-7)
    assert found.min() >= 0 and found.max() <= 1


def test_stripes_finer_than_the_new_pixels_do_not_alias():
    stripes = (np.arange(300) % 3 == 0) * np.ones((300, 1))
    found = resize_image(stripes[..., None], 60)
    assert np.abs(found - 1 / 3).max() < 0.1  # taking every fifth pixel gives 0 and 1


def dataset():
    rng = np.random.default_rng(3)
    cells = np.zeros((80, 60), np.int32)
    cells[10:40, 5:30], cells[50:70, 10:50] = 3, 9
    cells[0, 0], cells[77, 3] = 4, 11  # too small to be seen at a quarter of the size
    pages = [cells, cells[:, ::-1].copy()]
    return Dataset(
        name="two",
        kind="folder",
        images=[rng.integers(0, 255, (80, 60, 3)).astype(np.uint8) for _ in pages],
        labels=[np.where(page == 9, 255, page > 0).astype(np.uint8) for page in pages],
        class_names=("background", "cell"),
        slice_names=("a", "b"),
        notes=("as found",),
        hashes={"a": "1"},
        instances=pages,
    )


def test_a_data_set_is_scaled_as_a_whole():
    before = dataset()
    after = resized(before, 20)
    for i in range(2):
        np.testing.assert_array_equal(after.images[i], resize_image(before.images[i], 20))
        np.testing.assert_array_equal(after.labels[i], resize_labels(before.labels[i], 20))
        assert (after.images[i].dtype, after.labels[i].dtype) == (np.float32, np.uint8)
        assert after.instances[i].dtype == np.int32
        assert set(np.unique(after.instances[i])) == {0, 3, 9}
        np.testing.assert_array_equal(after.instances[i] == 9, after.labels[i] == 255)
    kept = replace(
        after, images=before.images, labels=before.labels, instances=before.instances, notes=()
    )
    assert kept == replace(before, notes=())  # the rest is the same
    first, scaled, lost = after.notes
    assert first == "as found" and "20 x 20" in scaled
    assert lost.startswith("4 cells ") and lost.endswith("2 in a, 2 in b")
    assert before.images[0].dtype == np.uint8 and len(before.notes) == 1


def test_a_data_set_without_cell_numbers_and_without_losses():
    plain = resized(replace(dataset(), instances=None), 20)
    assert plain.instances is None and len(plain.notes) == 2
    same = resized(dataset(), 240)
    assert len(same.notes) == 2  # nothing vanishes
    full = np.full((80, 60), 7)
    full[0, 0] = 0  # background that vanishes is no lost cell
    assert len(resized(replace(dataset(), instances=[full, full]), 20).notes) == 2
