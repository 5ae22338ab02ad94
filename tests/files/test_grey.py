"""Grey saved as colour: read as one channel where one is expected, colours stay refused."""

import numpy as np
import pytest
import tifffile
from inputs import noise
from PIL import Image

from cunet.errors import DataError
from cunet.files import as_colour, as_grey, open_image

GREY = noise((2, 90, 30), "uint8")
ALPHA = np.full((90, 30, 1), 255, np.uint8)


def saved(path, page, alpha=False, **options):
    colours = np.repeat(page[..., None], 3, axis=-1)
    if path.suffix == ".png":
        Image.fromarray(np.dstack([colours, ALPHA]) if alpha else colours).save(path)
    else:
        tifffile.imwrite(path, colours, photometric="rgb", **options)
    return path


@pytest.mark.parametrize("alpha", [False, True])
def test_a_png_of_three_equal_channels(tmp_path, alpha):
    with open_image(saved(tmp_path / "a.png", GREY[0], alpha)) as image:
        grey = as_grey(image)
        assert grey.channels == 1 and grey.axes == "YX"
        assert any("three equal channels" in note for note in grey.notes)
        np.testing.assert_array_equal(grey.read(0)[..., 0], GREY[0])
        np.testing.assert_array_equal(grey.read_rows(0, 5, 9)[..., 0], GREY[0, 5:9])


@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "rowsperstrip": 8}])
def test_a_stack_keeps_its_pages_and_is_streamed(tmp_path, options):
    with open_image(saved(tmp_path / "a.tif", GREY, **options)) as image:
        grey = as_grey(image)
        assert (grey.pages, grey.streamed, grey.page_axes) == (2, True, image.page_axes)
        np.testing.assert_array_equal(grey.read(1)[..., 0], GREY[1])


def test_not_a_number_is_equal_to_itself(tmp_path):
    page = noise((9, 8), "float32")
    page[3, 4] = np.nan
    with open_image(saved(tmp_path / "a.tif", page)) as image:
        np.testing.assert_array_equal(as_grey(image).read(0)[..., 0], page)


def test_colours_and_single_channels_stay_what_they_are(tmp_path, save):
    for path in (save("c.png", noise((9, 8, 3), "uint8")), save("g.tif", GREY)):
        with open_image(path) as image:
            assert as_grey(image) is image


def test_a_colour_that_turns_up_later_is_an_error_with_its_row(tmp_path):
    colours = np.repeat(GREY[..., None], 3, axis=-1)
    colours[1, 77, 4, 2] ^= 1
    tifffile.imwrite(tmp_path / "a.tif", colours, photometric="rgb")
    with open_image(tmp_path / "a.tif") as image:
        grey = as_grey(image)
        grey.read(0)
        grey.read_rows(1, 0, 77)
        with pytest.raises(DataError, match="a.tif.*page 1 has colours in row 77"):
            grey.read_rows(1, 70, 90)


def test_an_image_of_one_value_shows_nothing(tmp_path):
    with open_image(saved(tmp_path / "a.png", GREY[0] * 0)) as image:
        assert as_grey(image).channels == 1
        assert as_grey(image, blank=False) is image


def test_one_channel_read_as_three_equal_ones(tmp_path, save):
    with open_image(save("g.tif", GREY)) as image:
        colours = as_colour(image)
        assert (colours.channels, colours.pages, colours.axes) == (3, 2, f"{image.axes}S")
        expected = np.stack([GREY[1]] * 3, axis=-1)
        np.testing.assert_array_equal(colours.read(1), expected)
        np.testing.assert_array_equal(colours.read_window(1, 5, 9, 2, 7), expected[5:9, 2:7])
        block = colours.read_block(0, 2, 5, 9, 2, 7)
        np.testing.assert_array_equal(block[1], expected[5:9, 2:7])
        assert any("read as three equal channels" in note for note in colours.notes)
        np.testing.assert_array_equal(as_grey(colours).read(0)[..., 0], GREY[0])
        assert as_colour(colours) is colours
