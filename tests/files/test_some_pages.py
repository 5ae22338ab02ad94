"""Some pages of an image are read as if they were all of it."""

import numpy as np
import pytest

from cunet.files import as_grey, open_image
from cunet.files.some_pages import SomePages


def test_pages_are_counted_from_the_first_of_them(save):
    array = np.random.default_rng(0).integers(0, 255, (5, 20, 30)).astype(np.uint8)
    path = save("stack.tif", array, metadata={"axes": "ZYX", "spacing": 3.0, "unit": "um"},
                imagej=True, resolution=(2, 2))  # fmt: skip
    with open_image(path) as image, SomePages(image, 1, 4) as some:
        assert some.pages == 3 and some.page_axes == (("Z", 3),) and image.pages == 5
        assert some.calibration == image.calibration and some.translation == (3.0, 0.0, 0.0)
        np.testing.assert_array_equal(some.read(0)[..., 0], array[1])
        np.testing.assert_array_equal(some.read_rows(2, 3, 9)[..., 0], array[3, 3:9])
        window = some.read_window(1, 2, 8, 20, 30)
        np.testing.assert_array_equal(window[..., 0], array[2, 2:8, 20:])
        block = some.read_block(1, 3, 2, 8, 20, 30)
        np.testing.assert_array_equal(block[..., 0], array[2:4, 2:8, 20:])
        assert some.colour_table() is None and some.white_is_zero is False
        with pytest.raises(ValueError, match="has 3 pages"):
            some.read_block(2, 4, 0, 1, 0, 1)
        with pytest.raises(ValueError, match="5 pages, not pages 3 to 6"):
            SomePages(image, 3, 6)


def test_grey_saved_as_colour_stays_where_its_pages_lie(save):
    grey = np.random.default_rng(0).integers(0, 255, (3, 20, 30, 1)).astype(np.uint8)
    path = save("rgb.tif", np.repeat(grey, 3, 3), metadata={"axes": "ZYXS", "spacing": 3.0,
                "unit": "um"}, imagej=True, resolution=(2, 2), photometric="rgb")  # fmt: skip
    with open_image(path) as image, as_grey(SomePages(image, 2, 3)) as some:
        assert some.channels == 1 and some.translation == (6.0, 0.0, 0.0)
        np.testing.assert_array_equal(some.read(0), grey[2])
