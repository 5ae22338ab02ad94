"""Windows of an image: the same bits as the whole, from no more pixels than they need."""

import numpy as np
import pytest

import cunet
from cunet.errors import CunetError, DataError
from cunet.net.normalization import Normalization
from cunet.segmentation.tiling import Cover
from cunet.segmentation.window import Applied, Window


class Watched:
    """An image that is no array, and notes what is read of it."""

    def __init__(self, image):
        self.image, self.asked = image, []
        self.shape, self.dtype = image.shape, image.dtype

    def __getitem__(self, key):
        self.asked.append(key)
        return self.image[key]


def make(padding="valid", channels=1, classes=2, depth=2, **more):
    batch_norm = padding == "same"
    net = cunet.UNet(
        width=2, depth=depth, in_channels=channels, classes=classes, padding=padding,
        batch_norm=batch_norm, seed=3,
    )  # fmt: skip
    for parameter in net.parameters():
        rng = np.random.default_rng(len(parameter.name))
        parameter.value += rng.standard_normal(parameter.value.shape).astype("float32") / 5
    numbers = (100.0,) * channels, (40.0,) * channels
    net.normalization = Normalization(*numbers, (np.nan,) * channels, (np.nan,) * channels, **more)
    return net


def picture(height, width, channels=1, seed=0):
    rng = np.random.default_rng(seed)
    shape = (height, width) if channels == 1 else (height, width, channels)
    return rng.integers(0, 256, shape, dtype=np.uint8)


KINDS = {
    "valid": ({}, "none", "exact"),
    "flips": ({}, "flips", "exact"),
    "paper's stride": ({}, "none", "paper"),
    "same": ({"padding": "same"}, "none", "exact"),
    "3 channels, 3 classes": ({"channels": 3, "classes": 3}, "none", "exact"),
    "per image": ({"per_image": True}, "none", "exact"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_any_rectangle_is_that_of_the_whole(kind):
    settings, average, stride = KINDS[kind]
    net = make(**settings)
    tile = 100 if settings.get("padding") == "same" else 68
    image = picture(133, 171, net.shape.in_channels)
    whole = cunet.segment(image, net, tile, average, stride)
    rng = np.random.default_rng(1)
    for _ in range(12):
        (r0, r1), (c0, c1) = (
            sorted(rng.choice(side + 1, 2, replace=False).tolist()) for side in image.shape[:2]
        )
        found = cunet.segment_window(image, net, (r0, r1), (c0, c1), tile, average, stride)
        assert found.tobytes() == whole[r0:r1, c0:c1].tobytes(), (r0, r1, c0, c1)


@pytest.mark.parametrize("size", [(1, 1), (5, 300), (28, 28), (29, 28)])
def test_images_smaller_than_a_tile(size):
    net, image = make(), picture(*size)
    whole = cunet.segment(image, net, 68)
    height, width = size
    found = cunet.segment_window(image, net, (height // 2, height), (width // 2, width), 68)
    np.testing.assert_array_equal(found, whole[height // 2 :, width // 2 :])


def test_a_window_reads_what_it_needs():
    """depth 2: a tile of 68 gives 28 pixels, of which its neighbours begin after 28, and sees 20
    more on each side."""
    net, image = make(), Watched(picture(900, 1200))
    cunet.segment_window(image, net, (280, 336), (560, 588), 68)
    assert image.asked == [(slice(260, 356), slice(540, 608))]
    image.asked.clear()
    cunet.segment_window(image, net, (0, 10), (1190, 1200), 68)
    assert image.asked == [(slice(0, 48), slice(1156, 1200))]


def test_memory_maps_are_read_in_parts(tmp_path):
    net, image = make(), picture(200, 150)
    np.save(tmp_path / "image.npy", image)
    mapped = np.load(tmp_path / "image.npy", mmap_mode="r")
    found = cunet.segment_window(mapped, net, (20, 90), (0, 150), 68)
    np.testing.assert_array_equal(found, cunet.segment(image, net, 68)[20:90])


def test_empty_tiles_are_not_computed_whatever_the_window():
    """A tile is empty where the image holds only 0 among the pixels that it gives; those that it
    sees beyond may be anything."""
    net, image = make(), np.maximum(picture(140, 140), 1)
    image[28:84, 56:84] = 0  # two tiles
    image[84:112, 0:28] = 0
    image[90, 3] = 1  # no longer empty
    cover = Cover.of(140, 140, net.shape, 68)
    applied = Applied(net, net.normalization, skip_empty=True)
    whole, computed = Window(cover, (0, 140), (0, 140)).probabilities(image[..., None], applied)
    assert computed == 25 - 2
    expected = cunet.segment(image, net, 68)
    expected[28:84, 56:84] = [1, 0]
    np.testing.assert_array_equal(whole, expected)
    for rows, columns in [((30, 31), (60, 61)), ((50, 100), (20, 70)), ((83, 140), (0, 90))]:
        window = Window(cover, rows, columns)
        r0, r1, c0, c1 = window.needs
        found, _ = window.probabilities(image[r0:r1, c0:c1, None], applied)
        np.testing.assert_array_equal(found, expected[slice(*rows), slice(*columns)])


@pytest.mark.parametrize(
    "rows,columns,said",
    [
        ((0, 0), (0, 9), r"rows: expected \(first, last \+ 1\) within 0 to 100, found \(0, 0\)"),
        ((0, 9), (90, 121), r"columns: .* within 0 to 120, found \(90, 121\)"),
        ((-3, 9), (0, 9), "rows: "),
        ((1, 2, 3), (0, 9), "rows: "),
        ("all", (0, 9), "rows: expected whole numbers"),
    ],
)
def test_a_rectangle_beyond_the_image(rows, columns, said):
    with pytest.raises(CunetError, match=said):
        cunet.segment_window(picture(100, 120), make(), rows, columns, 68)


def test_what_cannot_be_done_by_windows():
    net = make()
    net.resize = 64
    with pytest.raises(CunetError, match="scales every image to 64 x 64 .* use cunet.segment"):
        cunet.segment_window(picture(100, 120), net, (0, 10), (0, 10), 68)


def test_wrong_images_are_told_before_anything_is_read():
    image = Watched(np.zeros((3, 40, 40), np.uint8))
    with pytest.raises(CunetError, match="a stack: call it for each page"):
        cunet.segment_window(image, make(), (0, 10), (0, 10), 68)
    assert not image.asked
    broken = np.zeros((60, 60), np.float32)
    broken[31, 7] = np.nan
    with pytest.raises(DataError, match=r"1 pixel \(row 31\)"):
        cunet.segment_window(broken, make(), (28, 30), (0, 10), 68)
