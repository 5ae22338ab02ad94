"""Pixel sizes as people write them and as files say them, against sizes worked out by hand."""

import numpy as np
import pytest
import tifffile

from cunet.errors import CunetError
from cunet.files import open_image
from cunet.files.pixel_size import PixelSize

WRITTEN = {  # text -> height and width in metres, and how it is written again
    "8nm": (8e-9, 8e-9, "8 nm"),
    "0.65 um": (6.5e-7, 6.5e-7, "0.65 um"),
    "0.65µm": (6.5e-7, 6.5e-7, "0.65 um"),
    ".5 micron": (5e-7, 5e-7, "0.5 um"),
    "4x4nm": (4e-9, 4e-9, "4 nm"),
    "4 x 8 nm": (4e-9, 8e-9, "4 x 8 nm"),
    "40 angstrom": (4e-9, 4e-9, "4 nm"),
    " 1e-3 mm ": (1e-6, 1e-6, "0.001 mm"),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_a_number_and_a_unit_are_a_size(text):
    found = PixelSize.parse(text)
    height, width, again = WRITTEN[text]
    assert found.metres == pytest.approx((height, width), rel=1e-12)
    assert str(found) == again and PixelSize.parse(again).is_like(found, 1 + 1e-6)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("8", "'8', without a unit: 8nm"),
        ("8 px", "the unit 'px'"),
        ("nm", "'nm'"),
        ("-4nm", "'-4nm'"),
        ("0nm", "no pixel measures '0nm'"),
        ("1e9m", "no pixel measures"),
        ("nan nm", "'nan nm'"),
        ("4,5nm", "such as 8nm"),
        ("", "found ''"),
        ("4" + " n" * 10**6, "found '4 n n"),
        (8, "found 8"),
    ],
)
def test_anything_else_is_refused_with_what_to_write(text, why):
    with pytest.raises(CunetError, match="8nm or 0.65um") as error:
        PixelSize.parse(text, "--pixel-size")
    assert why in str(error.value) and str(error.value).startswith("--pixel-size: ")


def imagej(path, unit, per_unit):
    tifffile.imwrite(path, np.zeros((4, 5), np.uint8), imagej=True, resolution=per_unit,
                     metadata={"unit": unit})  # fmt: skip


def plain(path, unit, per_unit):
    tifffile.imwrite(path, np.zeros((4, 5), np.uint8), resolution=per_unit, resolutionunit=unit)


def ome(path, unit, sizes):
    """sizes: (x, y) in the unit, as OME has them."""
    named = {"PhysicalSizeX": sizes[0], "PhysicalSizeY": sizes[1]}
    units = {"PhysicalSizeXUnit": unit, "PhysicalSizeYUnit": unit}
    tifffile.imwrite(path, np.zeros((4, 5), np.uint8), ome=True, metadata={"axes": "YX"} | named
                     | units)  # fmt: skip


@pytest.mark.parametrize(
    ("write", "unit", "numbers", "expected"),
    [
        (imagej, "nm", (0.25, 0.125), (8e-9, 4e-9)),  # y is the height
        (imagej, "micron", (2, 2), (5e-7, 5e-7)),
        (imagej, "inch", (25400, 25400), (1e-6, 1e-6)),
        (plain, "CENTIMETER", (20000, 10000), (1e-6, 5e-7)),
        (ome, "nm", (4, 8), (8e-9, 4e-9)),
        (ome, "µm", (0.65, 0.65), (6.5e-7, 6.5e-7)),
        (plain, "INCH", (72, 72), None),  # of a print
        (plain, "NONE", (2, 2), None),
        (imagej, "pixel", (2, 2), None),
    ],
)
def test_files_say_it_in_nm_um_inch_and_cm(tmp_path, write, unit, numbers, expected):
    write(tmp_path / "a.tif", unit, numbers)
    with open_image(tmp_path / "a.tif") as image:
        found = PixelSize.of(image.calibration)
    if expected is None:
        assert found is None
    else:
        assert found is not None and found.metres == pytest.approx(expected, rel=1e-6)
        assert found.unit in ("nm", "um", "inch")


def test_a_third_more_or_less_is_still_alike():
    four = PixelSize.parse("4nm")
    for text, alike in (("5.33nm", True), ("5.34nm", False), ("3nm", True), ("2.99nm", False)):
        assert PixelSize.parse(text).is_like(four) is alike, text
        assert four.is_like(PixelSize.parse(text)) is alike, text
    assert PixelSize.parse("4x8nm").is_like(four) is False
    assert PixelSize.parse("0.004um").is_like(four, 1.0)


@pytest.mark.parametrize("text", ["9999.9998m", "393700.787inch", "0.0030000001nm", "3pm"])
def test_the_largest_and_smallest_sizes_can_be_read_again(text):
    written = str(PixelSize.parse(text))
    assert str(PixelSize.parse(written)) == written
