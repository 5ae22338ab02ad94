"""The axes of pages: of a file, of some of its pages, and of what is written; tifffile is judge."""

import numpy as np
import pytest
import tifffile
from inputs import noise

from cunet.errors import CunetError
from cunet.files import open_image, tiff_output
from cunet.files.calibration import Calibration
from cunet.files.frames import frames
from cunet.files.pages import read_image
from cunet.files.tiff_output import TiffOutput

SHAPES = {
    "TYX": (("T", 4),),
    "TZYX": (("T", 2), ("Z", 3)),
    "ZTYX": (("Z", 3), ("T", 2)),
    "ZYX": (("Z", 4),),
}


@pytest.mark.parametrize("kind", ["imagej", "ome"])
@pytest.mark.parametrize("axes", SHAPES)
def test_the_axes_of_a_file(tmp_path, axes, kind):
    if (kind, axes) == ("imagej", "ZTYX"):
        pytest.skip("ImageJ has time before depth")
    path = tmp_path / "a.tif"
    shape = [size for _, size in SHAPES[axes]]
    pages = noise((*shape, 9, 8), "uint8")
    tifffile.imwrite(
        path, pages, photometric="minisblack", metadata={"axes": axes}, **{kind: True}
    )  # fmt: skip
    with open_image(path) as image:
        assert image.page_axes == SHAPES[axes]
        assert frames(image, range(image.pages)).axes == SHAPES[axes]
    np.testing.assert_array_equal(read_image(path)[..., 0], pages.reshape(-1, 9, 8))


def test_pages_without_a_name_are_slices(save):
    with open_image(save("a.tif", noise((3, 9, 8), "uint8"))) as image:
        assert image.page_axes == (("Q", 3),)
        assert frames(image, [0, 1, 2]).axes == (("Z", 3),)
    with open_image(save("b.tif", noise((9, 8), "uint8"))) as image:
        assert image.page_axes == () and frames(image, [0]).axes == (("Z", 1),)


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "float32", "uint32"])
@pytest.mark.parametrize("axes", SHAPES)
def test_axes_and_interval_that_are_written(tmp_path, monkeypatch, axes, dtype, channels, big):
    if big:
        monkeypatch.setattr(tiff_output, "CLASSIC_BYTES", 100)
    sizes = SHAPES[axes]
    count = int(np.prod([size for _, size in sizes]))
    pages = noise((count, 9, 8, channels), dtype)
    known = Calibration(4.0, 4.0, "um", 0.5, interval=30.0)
    with TiffOutput(
        tmp_path / "o.tif", count, 9, 8, dtype, channels, known, "text", axes=sizes
    ) as output:
        for number, page in enumerate(pages):
            output.write_rows(number, 0, page[..., 0] if channels == 1 else page)
    with tifffile.TiffFile(tmp_path / "o.tif") as file:
        assert file.is_bigtiff == big
        series = file.series[0]
        assert series.axes == axes.replace("YX", "CYX" if channels > 1 else "YX")
        notes = file.imagej_metadata or file.shaped_metadata[0]
        assert notes["finterval"] == 30
        planes = np.moveaxis(pages, -1, 1)
        np.testing.assert_array_equal(series.asarray().ravel(), planes.ravel())
    with open_image(tmp_path / "o.tif") as image:
        assert image.page_axes == sizes and image.calibration.interval == 30
        np.testing.assert_array_equal(image.read(count - 1), pages[-1])


@pytest.mark.parametrize(
    ("pages", "axes", "spacing", "interval"),
    [
        ([0, 1, 2, 3, 4, 5, 6, 7], (("T", 2), ("Z", 4)), 0.5, 30.0),
        ([4, 5, 6, 7], (("T", 1), ("Z", 4)), 0.5, 30.0),
        ([1, 5], (("T", 2), ("Z", 1)), 0.5, 30.0),
        ([0, 2, 4, 6], (("T", 2), ("Z", 2)), 1.0, 30.0),
        ([0, 1, 3], (("T", 1), ("Z", 3)), None, 30.0),
        ([3, 2], (("T", 1), ("Z", 2)), None, 30.0),
        ([0, 1, 4], (("Z", 3),), None, None),
        ([4, 0, 1, 5], (("Z", 4),), None, None),
        ([1, 1], (("Z", 2),), None, None),
    ],
)
def test_some_pages_keep_what_is_true_of_them(tmp_path, pages, axes, spacing, interval):
    tifffile.imwrite(
        tmp_path / "a.tif", noise((2, 4, 9, 8), "uint8"), imagej=True, resolution=(4, 4),
        metadata={"axes": "TZYX", "unit": "um", "spacing": 0.5, "finterval": 30.0},
    )  # fmt: skip
    with open_image(tmp_path / "a.tif") as image:
        found = frames(image, pages)
    assert (found.axes, found.calibration.spacing) == (axes, spacing)
    assert found.calibration.interval == interval and found.pages == len(pages)
    assert found.calibration.xres == 4
    assert bool(found.note) == (spacing is None or interval is None)


def test_every_second_frame_takes_twice_the_time(tmp_path):
    tifffile.imwrite(
        tmp_path / "a.tif", noise((6, 9, 8), "uint8"), imagej=True,
        metadata={"axes": "TYX", "finterval": 30.0},
    )  # fmt: skip
    with open_image(tmp_path / "a.tif") as image:
        assert frames(image, [0, 2, 4]).calibration.interval == 60
        assert frames(image, [0, 2, 3]).calibration.interval is None
        with pytest.raises(CunetError, match="pages 0 to 5"):
            frames(image, [6])


def test_axes_that_do_not_make_the_pages_are_refused(tmp_path):
    with pytest.raises(ValueError, match="pages=5"):
        TiffOutput(tmp_path / "a.tif", 5, 9, 9, "uint8", axes=(("T", 2), ("Z", 2)))
    assert not list(tmp_path.iterdir())


LENGTH_ONE = [
    (9, 8, 1), (1, 9, 8), (1, 1, 9, 8), (5, 1, 9, 8), (5, 9, 8, 1), (1, 5, 9, 8), (5, 1, 9, 8, 1),
    (1, 9, 8, 1), (9, 8, 1, 1), (1, 1, 1, 9, 8),
]  # fmt: skip


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("shape", LENGTH_ONE)
def test_axes_of_length_one_say_nothing(save, shape, compression):
    pixels = noise(shape, "uint16")
    pages = pixels.reshape(-1, 9, 8, 1)
    found = read_image(save("a.tif", pixels, compression=compression))
    np.testing.assert_array_equal(found, pages)


@pytest.mark.parametrize("shape", [(9, 1), (1, 9), (5, 9, 1), (5, 1, 9), (1, 1)])
def test_narrow_images_keep_their_sides(save, shape):
    pixels = noise(shape, "uint8")
    found = read_image(save("a.tif", pixels, metadata={"axes": "ZYX"[-len(shape) :]}))
    np.testing.assert_array_equal(found, pixels.reshape(-1, *shape[-2:], 1))
