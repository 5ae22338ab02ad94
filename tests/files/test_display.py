"""What ImageJ is told about showing a TIFF, read back with tifffile; other readers see the same
pixels. What ImageJ makes of it was looked at in ImageJ 1.53t: index = value of the range."""

import numpy as np
import pytest
import tifffile
from inputs import noise
from PIL import Image

from cunet.files import open_image
from cunet.files.display import Display, for_numbers
from cunet.files.tiff_output import TiffOutput
from cunet.pictures.colours import class_colours, object_colours


def written(path, pages, display, **more):
    count, height, width, channels = pages.shape
    with TiffOutput(
        path, count, height, width, pages.dtype, channels, display=display, **more
    ) as output:
        for number, page in enumerate(pages):
            output.write_rows(number, 0, page[..., 0] if channels == 1 else page)
    return path


def shown(path):
    """(lowest, highest) in the description, and the colour map or None."""
    with tifffile.TiffFile(path) as file:
        lines = file.pages[0].description.splitlines()
        given = dict(line.split("=", 1) for line in lines if "=" in line)
        tag = file.pages[0].tags.get(320)
        table = None if tag is None else np.array(tag.value).reshape(3, 256).T
        assert file.pages[0].photometric == tifffile.PHOTOMETRIC.MINISBLACK
    return (float(given["min"]), float(given["max"])), table


@pytest.mark.parametrize("count", [1, 3])
def test_probabilities_are_shown_from_0_to_1(tmp_path, count):
    pages = noise((count, 9, 8, 1), "float32") * np.float32(0.1)
    assert shown(written(tmp_path / "a.tif", pages, Display(0, 1))) == ((0, 1), None)


def test_every_class_is_a_channel_in_grey_with_its_name(tmp_path):
    path = written(tmp_path / "a.tif", noise((2, 9, 8, 3), "float32"), Display(0, 1))
    with tifffile.TiffFile(path) as file:
        found = file.imagej_metadata
    assert (found["mode"], found["channels"], found["slices"]) == ("grayscale", 3, 2)
    assert tuple(found["Ranges"]) == (0, 1) * 3
    assert found["Labels"] == ["class 0", "class 1", "class 2"] * 2
    for table in found["LUTs"]:
        np.testing.assert_array_equal(table, [range(256)] * 3)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_classes_and_numbers_have_colours_and_keep_their_values(tmp_path, dtype, count):
    pages = (np.arange(72) % 5).reshape(1, 9, 8, 1).repeat(count, axis=0).astype(dtype)
    display = Display(0, 255, class_colours(256)) if dtype == "uint8" else None
    display = display or for_numbers(4, object_colours(255))
    path = written(tmp_path / "a.tif", pages, display)
    limits, table = shown(path)
    assert limits == (0, 255)  # so that ImageJ takes value k for entry k of the table
    np.testing.assert_array_equal(table // 257, display.colours)
    assert len({tuple(colour) for colour in table[:5]}) == 5 and not table[0].any()
    np.testing.assert_array_equal(tifffile.imread(path), pages[..., 0].squeeze())
    with Image.open(path) as image:
        np.testing.assert_array_equal(np.asarray(image), pages[0, ..., 0])
    with open_image(path) as image:
        np.testing.assert_array_equal(image.read(count - 1), pages[-1])


def test_the_range_grows_with_more_numbers_than_colours(tmp_path):
    display = for_numbers(1000, object_colours(255))
    path = written(tmp_path / "a.tif", noise((1, 9, 8, 1), "uint16"), display)
    assert shown(path)[0] == (0, 1000)


def test_what_imagej_cannot_open_carries_none_of_it(tmp_path):
    path = written(tmp_path / "a.tif", noise((2, 9, 8, 1), "uint32"), for_numbers(9, np.zeros(1)))
    with tifffile.TiffFile(path) as file:
        assert 320 not in file.pages[0].tags and "max" not in file.pages[0].description
