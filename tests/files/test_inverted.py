"""Bright and dark exchanged, in every type, against Python's own whole numbers."""

import numpy as np
import pytest

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
