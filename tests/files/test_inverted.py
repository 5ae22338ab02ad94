"""Bright and dark exchanged, in every type, against Python's own whole numbers."""

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image

from cunet.files import as_grey, open_image
from cunet.files.image_file import ArrayImage
from cunet.files.inverted import InvertedImage, inverted

TYPES = "uint8 int8 uint16 int16 uint32 int32 float32 float64".split()


@pytest.mark.parametrize("dtype", TYPES)
def test_8_bits_turn_in_their_range_and_others_in_that_of_the_page(dtype):
    rng = np.random.default_rng(3)
    if dtype.startswith("float"):
        page = rng.normal(5, 100, (6, 7, 1)).astype(dtype)
        low, high = float(page.min()), float(page.max())
    else:
        ends = np.iinfo(dtype)
        page = rng.integers(ends.min, ends.max, (6, 7, 1), dtype, endpoint=True)
        page[0, :2, 0] = ends.min, ends.max  # nothing may overflow
        low, high = (int(page.min()), int(page.max()))
    found = inverted(page, page.min(), page.max())
    assert found.dtype == page.dtype
    expected = np.array([[[low + high - v] for v in row] for row in page[..., 0].tolist()])
    np.testing.assert_allclose(found.astype(float), expected.astype(float), rtol=1e-6, atol=1e-4)
    assert inverted(found, found.min(), found.max()).astype(float) == pytest.approx(
        page.astype(float), rel=1e-5, abs=1e-3
    )


def test_8_bits_are_255_less_the_value_whatever_the_page_holds():
    page = np.array([[10, 20], [30, 40]], np.uint8)[..., None]
    assert inverted(page, 10, 40)[..., 0].tolist() == [[245, 235], [225, 215]]
    truth = np.array([[True, False]])[..., None]
    assert inverted(truth, False, True)[..., 0].tolist() == [[False, True]]


def test_each_page_of_a_file_has_its_own_range_whatever_part_is_read():
    pages = np.random.default_rng(0).integers(100, 4000, (2, 600, 9, 1)).astype(np.uint16)
    image = InvertedImage(ArrayImage(pages, "a"))
    for number, page in enumerate(pages.astype(int)):
        whole = page.min() + page.max() - page
        assert np.array_equal(image.read(number), whole)
        assert np.array_equal(image.read_window(number, 3, 8, 2, 5), whole[3:8, 2:5])


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_pixels_of_one_bit_stay_0_and_1(tmp_path, name):
    bits = np.random.default_rng(0).random((20, 30)) > 0.4
    if name == "a.png":
        Image.fromarray(bits).save(tmp_path / name)
    else:
        tifffile.imwrite(tmp_path / name, bits, photometric="minisblack")
    with InvertedImage(as_grey(open_image(tmp_path / name))) as image:
        assert np.array_equal(image.read(0)[..., 0], 1 - bits.astype(int))
        assert np.array_equal(image.read_window(0, 3, 8, 2, 5)[..., 0], 1 - bits[3:8, 2:5])


def test_pixels_of_four_bits_are_15_less_the_value(tmp_path):
    values = np.random.default_rng(0).integers(0, 16, (20, 30)).astype(np.uint8)
    path = tmp_path / "a.png"
    rows = b"".join(b"\0" + (row[::2] << 4 | row[1::2]).tobytes() for row in values)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + _chunk(b"IHDR", struct.pack(">IIBBBBB", 30, 20, 4, 0, 0, 0, 0))
        + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    )  # fmt: skip
    with open_image(path) as image:
        assert np.array_equal(image.read(0)[..., 0], values)
        assert np.array_equal(InvertedImage(image).read(0)[..., 0], 15 - values.astype(int))


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
