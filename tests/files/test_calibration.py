"""Pixel sizes in every spelling: read, written, and left out with a note where they are none."""

import struct

import numpy as np
import pytest
import tifffile

from cunet.files import open_image, tiff_output
from cunet.files.calibration import Calibration
from cunet.files.frames import frames
from cunet.files.tiff_output import TiffOutput
from cunet.files.units import METRES, length, seconds

PAGES = np.zeros((3, 9, 8), np.uint8)
NS = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


def ome(path, sizes, axes="Z"):
    """An OME-TIFF of three slices (or frames) whose Pixels have these attributes."""
    lengths = " ".join(f'Size{a}="{3 if a == axes else 1}"' for a in "ZCT")
    xml = (
        f'<?xml version="1.0" encoding="UTF-8"?><OME {NS}><Image ID="Image:0"><Pixels '
        f'ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="9" {lengths} {sizes}>'
        '<TiffData IFD="0" PlaneCount="3"/></Pixels></Image></OME>'
    )
    tifffile.imwrite(path, PAGES, description=xml.encode(), metadata=None, photometric="minisblack")
    return path


def imagej(path, text, encoding="utf-8", resolution=(4, 5)):
    """An ImageJ stack of three slices with these lines in its description."""
    text = f"ImageJ=1.54f\nimages=3\nslices=3\n{text}\n".encode(encoding)
    tifffile.imwrite(
        path, PAGES, description=text, metadata=None, photometric="minisblack",
        resolution=resolution,
    )  # fmt: skip
    return path


def read(path):
    with open_image(path) as image:
        image.read(2)
        return image.calibration, [n for n in image.notes if "left out" in n]


def metres_of(path):
    """(x, y, z) in metres of a file that we wrote, as tifffile reads it; None if unknown."""
    with tifffile.TiffFile(path) as file:
        tags, notes = file.pages[0].tags, file.imagej_metadata or file.shaped_metadata[0]
        unit = METRES[notes["unit"]] if "unit" in notes else None
        if file.imagej_metadata is None and "XResolution" in tags:
            assert tags["ResolutionUnit"].value == 3 and notes["unit"] == "cm"
        sides = [tags[f"{a}Resolution"].value if unit else None for a in "XY"]
        sides = [None if r is None else unit * r[1] / r[0] for r in sides]
        return *sides, unit * notes["spacing"] if "spacing" in notes else None


def written(path, dtype, image):
    """The file that a product of this image would be."""
    chosen = frames(image, range(image.pages))
    output = TiffOutput(
        path, image.pages, 9, 8, dtype, calibration=chosen.calibration, axes=chosen.axes
    )
    output.close()
    return path


@pytest.mark.parametrize(
    ("unit", "metres"),
    [
        ("nm", 1e-9), ("um", 1e-6), ("mm", 1e-3), ("cm", 1e-2), ("m", 1), ("km", 1e3),
        ("µm", 1e-6), ("μm", 1e-6), ("micron", 1e-6), ("Microns", 1e-6), ("micrometre", 1e-6),
        ("\\u00B5m", 1e-6), ("\\u03bcm", 1e-6), ("Âµm", 1e-6), ("Î¼m", 1e-6), ("&#181;m", 1e-6),
        ("µ", 1e-6), ("мкм", 1e-6), ("нм", 1e-9), ("мм", 1e-3), ("Å", 1e-10), ("\u212b", 1e-10),
        ("A\u030a", 1e-10), ("Ångström", 1e-10), ("angstrom", 1e-10), ("Ã…", 1e-10), ("pm", 1e-12),
        ("inch", 0.0254), ("in", 0.0254), ('"', 0.0254), ("ft", 0.3048), ("thou", 25.4e-6),
        (" nm ", 1e-9), ("Nanometers", 1e-9),
    ],
)  # fmt: skip
def test_units_of_length(unit, metres):
    name, factor = length(unit)
    assert METRES[name] * factor == pytest.approx(metres)


def test_what_is_no_length():
    for unit in ("", "pixel", "reference frame", "pc", "ly", "кг", "furlong", "s"):
        assert length(unit) is None, unit
    assert (seconds("ms"), seconds("µs"), seconds("min"), seconds("nm")) == (1e-3, 1e-6, 60, None)


def sizes(**axes):
    """PhysicalSizeX="4" PhysicalSizeXUnit="nm" ... from x="4 nm" ..."""
    parts = []
    for axis, text in axes.items():
        number, _, unit = text.partition(" ")
        parts.append(f'PhysicalSize{axis.upper()}="{number}"')
        parts += [f'PhysicalSize{axis.upper()}Unit="{unit}"'] if unit else []
    return " ".join(parts)


SIZES = {
    "angstrom": (sizes(x="40 Å", y="20 Å"), 4e-9, 2e-9, None),
    "each": (sizes(x="4 nm", y="0.002 µm", z="500 Å"), 4e-9, 2e-9, 5e-8),
    "default": (sizes(x="0.25", y="0.5", z="2"), 0.25e-6, 0.5e-6, 2e-6),
    "x only": (sizes(x="0.25"), 0.25e-6, 0.25e-6, None),
    "metres": (sizes(x="1e-11 m", y="1e-11 m"), 1e-11, 1e-11, None),
    "inch": (sizes(x="0.1 in", y="0.001 ft"), 0.00254, 0.0003048, None),
}


@pytest.mark.parametrize("dtype", ["uint8", "uint32"])
@pytest.mark.parametrize("name", SIZES)
def test_sizes_of_ome_in_every_unit(tmp_path, name, dtype):
    text, *expected = SIZES[name]
    path = ome(tmp_path / "a.tif", text)
    assert read(path)[1] == []
    with open_image(path) as image:
        found = written(tmp_path / "o.tif", dtype, image)
    if name == "inch" and dtype == "uint32":
        with tifffile.TiffFile(found) as file:
            tags = file.pages[0].tags
            assert tags["ResolutionUnit"].value == 2 and tags["XResolution"].value == (10, 1)
    else:
        assert metres_of(found) == pytest.approx(tuple(expected))


ABSURD = {
    "nan": sizes(x="NaN", y="NaN"),
    "inf": sizes(x="INF", y="1"),
    "zero": sizes(x="0", y="0"),
    "negative": sizes(x="-0.5", y="0.5"),
    "comma": sizes(x="0,325", y="0,325"),
    "empty": sizes(x="", y=""),
    "tiny": sizes(x="1e-12 m", y="1 m"),
    "huge": sizes(x="1e300", y="1e300"),
    "minute": sizes(x="1e-300", y="1e-300"),
    "parsec": sizes(x="1 pc", y="1 nm"),
    "pixel": sizes(x="2 pixel"),
    "frame": sizes(x="2 reference frame"),
    "lines": sizes(x="2 &#10;frames=9", y="2"),
    "one of two": sizes(x="0.5", y="nan"),
}


@pytest.mark.parametrize("name", ABSURD)
def test_sizes_that_no_pixel_has_are_left_out_with_a_note(tmp_path, name):
    found, notes = read(ome(tmp_path / "a.tif", ABSURD[name]))
    assert found.xres is None and found.yres is None
    assert len(notes) == 1 and "pixel size left out" in notes[0]


def test_a_distance_of_slices_that_is_none_is_left_out_alone(tmp_path):
    size = 'PhysicalSizeX="0.5" PhysicalSizeY="0.5"'
    for depth in ('"NaN"', '"-1"', '"1" PhysicalSizeZUnit="кг"'):
        found, notes = read(ome(tmp_path / "a.tif", f"{size} PhysicalSizeZ={depth}"))
        assert found == Calibration(2, 2, "um") and "distance of the slices" in notes[0]
    found, notes = read(imagej(tmp_path / "b.tif", "unit=nm\nspacing=0,5"))
    assert found == Calibration(4, 5, "nm", imagej=True) and "'0,5 nm'" in notes[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("unit=Å\nspacing=20", (1 / 40, 1 / 50, 2)),
        ("unit=мкм\nspacing=0.5", (250, 200, 500)),
        ("unit=\\u00B5m\nspacing=0.5", (250, 200, 500)),
        ("unit=nm\nyunit=Å\nzunit=um\nspacing=0.05", (0.25, 0.02, 50)),
    ],
)
def test_sizes_of_imagej_in_nanometres(tmp_path, text, expected):
    path = imagej(tmp_path / "a.tif", text)
    assert read(path)[1] == []
    with open_image(path) as image:
        found = metres_of(written(tmp_path / "o.tif", "uint8", image))
    assert found == pytest.approx([1e-9 * n for n in expected])


def test_a_unit_in_latin_letters_of_one_byte(tmp_path):
    found, _ = read(imagej(tmp_path / "a.tif", "unit=µm\nspacing=2", "latin-1"))
    assert found == Calibration(4, 5, "um", 2, imagej=True)


def test_units_that_nobody_knows(tmp_path):
    """In ASCII they are ImageJ's to know; others cannot be written."""
    found, notes = read(imagej(tmp_path / "a.tif", "unit=barn\nspacing=2"))
    assert found == Calibration(4, 5, "barn", 2, imagej=True) and not notes
    found, notes = read(imagej(tmp_path / "b.tif", "unit=кг\nspacing=2"))
    assert found.xres is None and found.spacing is None and "кг" in notes[0]
    found, notes = read(imagej(tmp_path / "c.tif", "unit=pixel", resolution=(1, 1)))
    assert found == Calibration(imagej=True) and not notes


@pytest.mark.parametrize(
    ("ratio", "said"),
    [((0, 0), False), ((0, 1), False), ((5, 0), True), ((1, 2**32 - 1), True)],
)
def test_rationals_that_are_no_resolution(tmp_path, ratio, said):
    path = tmp_path / "a.tif"
    tifffile.imwrite(
        path, PAGES, photometric="minisblack", resolution=(300, 300), resolutionunit="INCH"
    )
    with tifffile.TiffFile(path) as file:
        places = [file.pages[0].tags[f"{a}Resolution"].valueoffset for a in "XY"]
    with open(path, "r+b") as file:
        for place in places:
            file.seek(place)
            file.write(struct.pack("<II", *ratio))
    found, notes = read(path)
    assert found == Calibration() and bool(notes) == said


def test_sizes_that_no_rational_in_their_unit_can_hold(tmp_path):
    """Tags hold ratios of 32-bit numbers; in a unit that is too small or large they become 0."""
    far = ome(tmp_path / "a.tif", 'PhysicalSizeX="6e-12" PhysicalSizeXUnit="m" PhysicalSizeY="350" '
              'PhysicalSizeYUnit="m"')  # fmt: skip
    found, notes = read(far)
    assert found.xres is None and "pixel size left out" in notes[0]
    wide = ome(tmp_path / "b.tif", 'PhysicalSizeX="9e9" PhysicalSizeY="9e9"')
    with open_image(wide) as image:
        assert image.calibration.unit == "m"
        found = metres_of(written(tmp_path / "o.tif", "float32", image))
    assert found[:2] == pytest.approx((9000, 9000), rel=1e-3)


def test_the_interval_of_frames_in_seconds(tmp_path):
    for text, expected in {
        'TimeIncrement="2"': 2,
        'TimeIncrement="500" TimeIncrementUnit="ms"': 0.5,
        'TimeIncrement="5" TimeIncrementUnit="min"': 300,
        'TimeIncrement="5" TimeIncrementUnit="pc"': None,
        'TimeIncrement="-1"': None,
        'TimeIncrement="NaN"': None,
    }.items():
        found, notes = read(ome(tmp_path / "a.tif", text, "T"))
        assert found.interval == expected, text
        assert bool(notes) == (expected is None)
    with open_image(
        ome(tmp_path / "a.tif", 'TimeIncrement="500" TimeIncrementUnit="ms"', "T")
    ) as i:
        path = written(tmp_path / "o.tif", "uint8", i)
    with tifffile.TiffFile(path) as file:
        assert file.imagej_metadata["finterval"] == 0.5 and file.series[0].axes == "TYX"
    found, _ = read(imagej(tmp_path / "b.tif", "finterval=3\ntunit=min"))
    assert found.interval == 180


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    "odd",
    [Calibration(4, 4, "Å", 2), Calibration(1e30, 1e30, "um"), Calibration(float("nan"), 1, "nm")],
)
def test_a_calibration_that_cannot_be_written_costs_no_result(tmp_path, monkeypatch, odd, big):
    if big:
        monkeypatch.setattr(tiff_output, "CLASSIC_BYTES", 10)
    with TiffOutput(tmp_path / "o.tif", 2, 9, 8, "uint8", calibration=odd) as output:
        output.write_rows(1, 0, np.full((9, 8), 7, np.uint8))
    found = tifffile.imread(tmp_path / "o.tif")
    assert found.shape == (2, 9, 8) and found.sum() == 7 * 72
