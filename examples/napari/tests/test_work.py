"""Pages of layers become what cunet.segment makes of them, in pieces, from parts of their data."""

import numpy as np
import pytest
from cunet_napari import work
from cunet_napari.stack import Stack, stack_of
from napari.layers import Image

import cunet
from cunet import CunetError
from cunet.segmentation.instances import Instances


def result(steps):
    """What a generator returns, and what it yielded."""
    seen = []
    while True:
        try:
            seen.append(next(steps))
        except StopIteration as end:
            return end.value, seen


def page(array):
    return Stack("a", array, array.shape[:-2], *array.shape[-2:])


@pytest.mark.parametrize("kind", ["plain", "per_image", "same padding"])
@pytest.mark.parametrize("average", ["none", "flips"])
def test_pieces_are_the_whole_bit_for_bit(model, noise, kind, average):
    more = {"padding": "same"} if kind == "same padding" else {}
    path = model(per_image=kind == "per_image", **more)
    net, data = cunet.load(path), noise(2, 3, 90, 75)
    stack = page(data)
    found, steps = result(work.probabilities(stack, stack.pages, net, 44, average))
    assert found.shape == (1, 6, 90, 75) and len(steps) > 6
    assert [step.done for step in steps] == list(range(1, steps[0].of + 1))
    assert steps[-1].done == steps[-1].of and steps[-1].seconds_left == 0
    for number, index in enumerate(np.ndindex(2, 3)):
        whole = cunet.segment(data[index], cunet.load(path), 44, average)
        np.testing.assert_array_equal(found[0, number], whole[..., 1])


class Recorder:
    """An array that knows how much was read of it at once."""

    def __init__(self, array):
        self.array, self.shape, self.dtype, self.ndim = array, array.shape, array.dtype, array.ndim
        self.largest = 0

    def __getitem__(self, index):
        part = self.array[index]
        self.largest = max(self.largest, part.size)
        return part


def test_only_what_a_tile_needs_is_read(model, noise):
    data = Recorder(noise(2, 300, 300))
    stack = Stack("a", data, (2,), 300, 300)
    result(work.probabilities(stack, stack.pages, cunet.load(model()), 44))
    assert data.largest <= 44 * 44


def test_a_lazy_layer_of_dask_and_a_pyramid(model, noise):
    dask = pytest.importorskip("dask.array")
    data = noise(2, 60, 66)
    lazy = dask.from_array(data, chunks=(1, 32, 32))
    pyramid = Image([data, data[:, ::2, ::2]], multiscale=True)
    for layer in (Image(lazy), pyramid):
        stack = stack_of(layer, 1)
        found, _ = result(work.probabilities(stack, stack.pages, cunet.load(model()), 44))
        whole = cunet.segment(data[1], cunet.load(model()), 44)
        np.testing.assert_array_equal(found[0, 1], whole[..., 1])


def test_three_classes_of_rgb_and_alpha_is_left_out(model, noise):
    net, data = cunet.load(model(3, 3)), noise(50, 55, 4)
    stack = stack_of(Image(data, rgb=True), 3)
    found, _ = result(work.probabilities(stack, stack.pages, net))
    assert stack.alpha and found.shape == (3, 1, 50, 55)
    whole = cunet.segment(data[..., :3], net)
    np.testing.assert_array_equal(found[:, 0], np.moveaxis(whole, -1, 0))


@pytest.mark.parametrize("where", [0, 1])
def test_an_axis_called_c_holds_channels(model, noise, where):
    data = noise(3, 40, 41) if where == 0 else noise(2, 3, 40, 41)
    names = ["c", "y", "x"] if where == 0 else ["t", "c", "y", "x"]
    stack = stack_of(Image(data, axis_labels=names), 3)
    net = cunet.load(model(3))
    found, _ = result(work.probabilities(stack, stack.pages, net))
    last = data if where == 0 else data[-1]
    whole = cunet.segment(last.transpose(1, 2, 0), net)
    np.testing.assert_array_equal(found[0, -1], whole[..., 1])


def test_grey_saved_as_rgb_and_true_colour(model, noise):
    net, data = cunet.load(model()), noise(40, 41)
    stack = stack_of(Image(np.stack([data] * 3, -1), rgb=True), 1)
    found, _ = result(work.probabilities(stack, stack.pages, net))
    np.testing.assert_array_equal(found[0, 0], cunet.segment(data, net)[..., 1])
    stack = stack_of(Image(noise(40, 41, 3), rgb=True, name="slide"), 1)
    with pytest.raises(CunetError, match="'slide' is in colour.*Split RGB"):
        result(work.probabilities(stack, stack.pages, net))


@pytest.mark.parametrize("shape, channels, words", [
    ((40, 41), 3, "has 1 channel, the model was made for 3; .*Merge to RGB"),
    ((5, 40, 41), 2, "has 1 channel, the model was made for 2; .*call the new axis c"),
    ((9,), 1, "two or more axes"),
])  # fmt: skip
def test_a_layer_that_does_not_fit(noise, shape, channels, words):
    with pytest.raises(CunetError, match=words):
        stack_of(Image(noise(*shape)) if len(shape) > 1 else _Line(), channels)


class _Line:
    """A layer of one axis, which napari does not make."""

    data, name, rgb, multiscale = np.zeros(9), "line", False, False


def test_nan_and_a_wrong_tile_are_told_in_cunets_words(model):
    data = np.zeros((60, 60), np.float32)
    data[7, 9] = np.nan
    for tile, word in ((44, "NaN|nan"), (45, "45")):
        with pytest.raises(CunetError, match=word):
            result(work.probabilities(page(data), [()], cunet.load(model()), tile))


def test_no_room_for_the_result_is_said_before_anything_is_read(model, monkeypatch):
    data = Recorder(np.zeros((5, 60, 60), np.uint8))
    monkeypatch.setattr(work, "room", lambda net: 60_000)
    stack = Stack("big", data, (5,), 60, 60)
    with pytest.raises(CunetError, match="'big'.* cunet segment FILE"):
        result(work.probabilities(stack, stack.pages, cunet.load(model())))
    assert data.largest == 0


def test_a_foreign_range_of_intensities_is_said(model, noise):
    net = cunet.load(model())
    assert work.doubts(page(noise(50, 60)), (), net) == []
    far = noise(50, 60).astype(np.uint16) * 200
    assert "far from the training images" in work.doubts(page(far), (), net)[0]


def blobs():
    """Two pages: of 2 and of 1 object, whose areas are 4, 9 and 6."""
    probability = np.full((1, 2, 12, 14), 0.2, np.float32)
    probability[0, 0, 1:3, 1:3] = 0.6
    probability[0, 0, 5:8, 5:8] = 0.9
    probability[0, 1, 4:6, 2:5] = 0.9
    return probability


def test_objects_have_numbers_and_measures_of_their_own():
    image = np.arange(2 * 12 * 14).reshape(2, 12, 14)
    found, steps = result(
        work.objects(blobs(), 0.5, stack=page(image), pages=[(0,), (1,)], pixel_size=(2, 3))
    )
    table = found.table
    assert [step.done for step in steps] == [1, 2]
    assert table["index"].tolist() == [1, 2, 3] and table["page"].tolist() == [0, 0, 1]
    assert table["area"].tolist() == [4, 9, 6] and table["area_um2"].tolist() == [24, 54, 36]
    assert table["mean_intensity"][2] == image[1, 4:6, 2:5].mean()
    assert np.unique(found.labels[1]).tolist() == [0, 3] and found.labels[1, 4, 2] == 3
    assert found.mask.dtype == np.uint8 and found.mask.sum() == 19


def test_threshold_and_smallest_object_are_used():
    found, _ = result(work.objects(blobs(), 0.7))
    assert found.table["area"].tolist() == [9, 6]
    found, _ = result(work.objects(blobs(), 0.5, Instances(min_area=7)))
    assert found.table["area"].tolist() == [9]
    with pytest.raises(CunetError, match="threshold"):
        result(work.objects(blobs(), 1.5))


def test_nothing_found_is_an_empty_table_and_is_said():
    found, _ = result(work.objects(blobs() * np.float32(0.1), 0.5))
    assert len(found.table["area"]) == 0 and not found.labels.any()
    assert "class 0" in work.one_class("a", found.mask, 2)[0]


def test_of_several_classes_the_likeliest_is_taken():
    probability = np.zeros((3, 1, 4, 6), np.float32)
    probability[0] = 0.4
    probability[1, 0, :, :2], probability[2, 0, :, 4:] = 0.5, 0.6
    found, _ = result(work.objects(probability, 0.5))
    assert found.mask[0, 0].tolist() == [1, 1, 0, 0, 2, 2]
    assert found.labels[0, 0].tolist() == [1, 1, 0, 0, 2, 2]
