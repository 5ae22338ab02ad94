"""Reading images, against tifffile and Pillow used on their own."""

import tracemalloc

import numpy as np
import pytest
import tifffile
from inputs import noise
from PIL import Image

from cunet.errors import CunetError, DataError
from cunet.files import open_image
from cunet.files.calibration import Calibration
from cunet.files.pages import read_image

LAYOUTS = {
    "one strip": {},
    "raw strips": {"rowsperstrip": 7},
    "zlib strips": {"rowsperstrip": 7, "compression": "zlib", "predictor": True},
    "lzw strips": {"rowsperstrip": 16, "compression": "lzw"},
    "one zlib strip": {"compression": "zlib", "rowsperstrip": 61},
    "raw tiles": {"tile": (16, 32)},
    "deflate tiles": {"tile": (32, 16), "compression": "zlib", "predictor": True},
    "plain pages": {"metadata": None},
    "plain lzw pages": {"metadata": None, "compression": "lzw", "rowsperstrip": 5},
    "BigTIFF": {"bigtiff": True, "tile": (16, 16), "compression": "lzw"},
    "big-endian": {"byteorder": ">"},
    "big-endian tiles": {"byteorder": ">", "tile": (16, 16), "compression": "zlib"},
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "float32", "float64"])
def test_rows_of_every_layout_are_those_that_were_written(tmp_path, layout, dtype):
    options = dict(LAYOUTS[layout])
    if np.dtype(dtype).kind == "f":
        options.pop("predictor", None)
    pages = noise((3, 61, 45), dtype)
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, pages, photometric="minisblack", **options)
    with open_image(path) as image:
        assert (image.pages, image.height, image.width, image.channels) == (3, 61, 45, 1)
        assert image.dtype == np.dtype(dtype) and image.dtype.isnative
        assert image.streamed == (layout != "one zlib strip")
        for page, r0, r1 in [(2, 0, 61), (0, 0, 1), (1, 5, 33), (2, 60, 61), (0, 30, 30)]:
            rows = image.read_rows(page, r0, r1)
            assert rows.dtype == np.dtype(dtype)
            np.testing.assert_array_equal(rows, pages[page, r0:r1, :, None])
    np.testing.assert_array_equal(read_image(path), pages[..., None])


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_samples_are_channels(tmp_path, compression, planar):
    pages = noise((2, 40, 30, 3), "uint16")
    stored = pages if planar == "contig" else np.moveaxis(pages, -1, 1)
    path = tmp_path / "rgb.tif"
    tifffile.imwrite(
        path, stored, photometric="rgb", planarconfig=planar, compression=compression,
        rowsperstrip=None if compression is None else 9,
    )  # fmt: skip
    with open_image(path) as image:
        assert (image.pages, image.channels) == (2, 3)
        assert image.axes in ("QYXS", "QSYX")
        np.testing.assert_array_equal(image.read_rows(1, 8, 21), pages[1, 8:21])
    np.testing.assert_array_equal(read_image(path), pages)


def test_alpha_is_dropped_and_reported(tmp_path):
    pixels = noise((20, 30, 4), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="rgb", extrasamples=["unassalpha"])
    Image.fromarray(pixels).save(tmp_path / "a.png")
    Image.fromarray(pixels[..., :2].copy(), mode=None).save(tmp_path / "grey.png")
    for name in ("a.tif", "a.png"):
        with open_image(tmp_path / name) as image:
            assert image.channels == 3
            assert any("alpha" in note for note in image.notes)
            np.testing.assert_array_equal(image.read(0), pixels[..., :3])
    with open_image(tmp_path / "grey.png") as image:
        assert image.channels == 1
        np.testing.assert_array_equal(image.read(0), pixels[..., :1])


@pytest.mark.parametrize("kind", ["imagej", "ome"])
@pytest.mark.parametrize("options", [{}, {"compression": "zlib", "rowsperstrip": 8}])
def test_hyperstack_channels_and_pages(tmp_path, kind, options):
    data = noise((2, 3, 4, 20, 30), "uint16")  # T Z C Y X
    path = tmp_path / ("a.ome.tif" if kind == "ome" else "a.tif")
    options = options | {"imagej": kind == "imagej", "ome": kind == "ome"}
    tifffile.imwrite(
        path, data, photometric="minisblack", metadata={"axes": "TZCYX"}, **options
    )  # fmt: skip
    with open_image(path) as image:
        assert image.axes == "TZCYX"
        assert (image.pages, image.channels) == (6, 4)
        got = image.read_rows(4, 3, 17)
    np.testing.assert_array_equal(got, np.moveaxis(data[1, 1], 0, -1)[3:17])


def test_channels_stored_before_the_slices(tmp_path):
    data = noise((2, 5, 20, 30), "uint8")
    tifffile.imwrite(
        tmp_path / "a.ome.tif", data, photometric="minisblack", metadata={"axes": "CZYX"}
    )
    stack = read_image(tmp_path / "a.ome.tif")
    np.testing.assert_array_equal(stack, np.moveaxis(data, 0, -1))


def test_pages_are_never_taken_for_channels(tmp_path):
    """Three slices of a plain file stay slices, and an RGB slice is no stack."""
    tifffile.imwrite(tmp_path / "z.tif", noise((3, 20, 30), "uint8"), photometric="minisblack")
    tifffile.imwrite(tmp_path / "s.tif", noise((20, 30, 3), "uint8"), photometric="rgb")
    assert read_image(tmp_path / "z.tif").shape == (3, 20, 30, 1)
    assert read_image(tmp_path / "s.tif").shape == (1, 20, 30, 3)


def test_bilevel_tiff_is_zero_and_one(tmp_path):
    mask = noise((3, 17, 21), "uint8") > 127
    tifffile.imwrite(tmp_path / "a.tif", mask, photometric="minisblack")
    stack = read_image(tmp_path / "a.tif")
    assert stack.dtype == np.uint8
    np.testing.assert_array_equal(stack[..., 0], mask)


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_grey_png_as_stored(tmp_path, dtype):
    pixels = noise((21, 33), dtype)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    with open_image(tmp_path / "a.png") as image:
        assert not image.streamed
        np.testing.assert_array_equal(image.read_rows(0, 4, 9)[..., 0], pixels[4:9])
        assert image.dtype == np.dtype(dtype)


def test_png_of_few_bits_and_with_a_colour_table(tmp_path):
    ids = noise((8, 9), "uint8") % 3
    Image.fromarray(ids > 0).save(tmp_path / "one.png")
    np.testing.assert_array_equal(read_image(tmp_path / "one.png")[0, ..., 0], ids > 0)
    table = Image.fromarray(ids, mode=None).convert("P")
    table.putdata(ids.ravel().tolist())
    table.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    table.save(tmp_path / "p.png")
    with pytest.raises(DataError, match="p.png.*colour table"):
        open_image(tmp_path / "p.png")
    np.testing.assert_array_equal(read_image(tmp_path / "p.png", indices=True)[0, ..., 0], ids)


@pytest.fixture
def decoded(monkeypatch):
    """The numbers of strips or tiles that are fetched from now on to be decoded."""
    numbers, plain = [], tifffile.tifffile.FileHandle.read_segments

    def counting(self, offsets, bytecounts, *rest, **options):
        numbers.append(len(offsets))
        return plain(self, offsets, bytecounts, *rest, **options)

    monkeypatch.setattr(tifffile.tifffile.FileHandle, "read_segments", counting)
    return numbers


def test_only_the_strips_that_meet_the_rows_are_decoded(tmp_path, decoded):
    pixels = noise((160, 64), "uint8")
    tifffile.imwrite(tmp_path / "s.tif", pixels, compression="zlib", rowsperstrip=16)
    tifffile.imwrite(tmp_path / "t.tif", pixels, compression="zlib", tile=(32, 16))
    cases = [("s.tif", 17, 49, 3), ("s.tif", 16, 32, 1), ("t.tif", 31, 33, 8)]
    for name, r0, r1, expected in cases:
        with open_image(tmp_path / name) as image:
            decoded.clear()
            image.read_rows(0, r0, r1)
            assert sum(decoded) == expected, name


@pytest.mark.parametrize(
    "options", [{}, {"compression": "zlib", "rowsperstrip": 32}, {"tile": (64, 64)}]
)
def test_streaming_memory_grows_neither_with_pages_nor_with_height(tmp_path, options):
    peaks = []
    for pages, height in [(1, 512), (8, 512), (1, 4096)]:
        path = tmp_path / "a.tif"
        tifffile.imwrite(
            path, np.zeros((pages, height, 1024), np.uint16), photometric="minisblack", **options
        )
        with open_image(path) as image:
            image.read_rows(0, 0, 64)  # imports and first-time caches
            tracemalloc.start()
            for page in range(pages):
                for r0 in range(0, height, 64):
                    image.read_rows(page, r0, r0 + 64)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    band = 64 * 1024 * 2
    assert max(peaks) < 4 * band  # the page of 4096 rows is 64 bands
    assert max(peaks) < min(peaks) + band / 2


def test_a_single_compressed_strip_is_decoded_once_per_page(tmp_path, decoded):
    pages = noise((2, 50, 40), "uint8")
    tifffile.imwrite(tmp_path / "a.tif", pages, compression="lzw", rowsperstrip=50)
    with open_image(tmp_path / "a.tif") as image:
        assert not image.streamed
        assert any("memory" in note for note in image.notes)
        decoded.clear()
        for page in (0, 1):
            for r0 in range(0, 50, 10):
                rows = image.read_rows(page, r0, r0 + 10)
                np.testing.assert_array_equal(rows[..., 0], pages[page, r0 : r0 + 10])
                rows[...] = 0  # the caller's own copy
        assert decoded == [1, 1]


@pytest.mark.parametrize(
    "options",
    [{}, {"compression": "zlib"}, {"metadata": None}, {"imagej": True}, {"tile": (16, 16)}],
)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.97])
@pytest.mark.parametrize("pages", [1, 6])
def test_a_truncated_tiff_is_refused_when_opened(tmp_path, options, share, pages):
    path = tmp_path / "cut.tif"
    tifffile.imwrite(path, noise((pages, 64, 64), "uint8"), photometric="minisblack", **options)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(DataError, match="cut.tif"):
        open_image(path)


def test_what_is_no_image_is_refused_by_name(tmp_path):
    (tmp_path / "empty.tif").write_bytes(b"")
    (tmp_path / "text.tif").write_text("not an image at all")
    (tmp_path / "head.tif").write_bytes(b"II*\0\x08\0\0\0")
    Image.fromarray(noise((9, 9), "uint8")).save(tmp_path / "photo.gif")
    Image.fromarray(noise((99, 99), "uint8")).save(tmp_path / "cut.png")
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:4000])
    tifffile.imwrite(tmp_path / "complex.tif", np.zeros((9, 9), np.complex64))
    stacks = np.zeros((2, 3, 9, 9), np.uint8)
    tifffile.imwrite(tmp_path / "5d.tif", stacks, photometric="minisblack")
    with tifffile.TiffWriter(tmp_path / "mixed.tif") as writer:
        writer.write(np.zeros((9, 9), np.uint8), metadata=None)
        writer.write(np.zeros((8, 8), np.uint8), metadata=None)
    for name, reason in {
        "empty.tif": "empty",
        "text.tif": "no image that cunet reads: expected TIFF, PNG",
        "head.tif": "truncated",
        "photo.gif": "GIF",
        "cut.png": "truncated",
        "complex.tif": "complex64",
        "5d.tif": "axes QQYX",
        "mixed.tif": "2 images",
    }.items():
        with pytest.raises(DataError, match=reason) as caught:
            read_image(tmp_path / name)
        assert name in str(caught.value)
        assert caught.value.exit_code == 3


def test_a_damaged_strip_is_refused(tmp_path):
    path = tmp_path / "bad.tif"
    tifffile.imwrite(path, noise((2, 64, 64), "uint8"), compression="zlib", rowsperstrip=16)
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[1].dataoffsets[2]
    content = bytearray(path.read_bytes())
    content[offset : offset + 40] = b"\xff" * 40
    path.write_bytes(content)
    with open_image(path) as image:
        image.read(0)
        image.read_rows(1, 0, 32)
        with pytest.raises(DataError, match="bad.tif.*page 1"):
            image.read(1)


def test_a_missing_file_and_a_folder_are_usage_errors(tmp_path):
    for path in (tmp_path / "none.tif", tmp_path):
        with pytest.raises(CunetError, match=path.name) as caught:
            open_image(path)
        assert caught.value.exit_code == 2


def test_a_page_that_is_not_there(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 9, 9), np.uint8), photometric="minisblack")
    with open_image(tmp_path / "a.tif") as image, pytest.raises(CunetError, match="pages 0 to 1"):
        image.read(2)


def test_calibration_is_read(tmp_path):
    pixels = np.zeros((3, 9, 9), np.uint8)
    kept = {"photometric": "minisblack"}
    tifffile.imwrite(
        tmp_path / "ij.tif", pixels, imagej=True, resolution=(4.0, 5.0),
        metadata={"axes": "ZYX", "spacing": 0.05, "unit": "um"}, **kept,
    )  # fmt: skip
    tifffile.imwrite(
        tmp_path / "a.ome.tif", pixels, **kept,
        metadata={"axes": "ZYX", "PhysicalSizeX": 4.0, "PhysicalSizeXUnit": "nm",
                  "PhysicalSizeY": 8.0, "PhysicalSizeYUnit": "nm",
                  "PhysicalSizeZ": 50.0, "PhysicalSizeZUnit": "nm"},
    )  # fmt: skip
    tifffile.imwrite(
        tmp_path / "cm.tif", pixels, resolution=(2.5e6, 2.5e6), resolutionunit="CENTIMETER", **kept
    )
    tifffile.imwrite(tmp_path / "none.tif", pixels, **kept)
    found = {}
    for name in ("ij.tif", "a.ome.tif", "cm.tif", "none.tif"):
        with open_image(tmp_path / name) as image:
            found[name] = image.calibration
    assert found["ij.tif"] == Calibration(4.0, 5.0, "um", 0.05, imagej=True)
    assert found["a.ome.tif"] == Calibration(0.25, 0.125, "nm", 50.0)
    assert found["cm.tif"] == Calibration(2.5e6, 2.5e6, "cm")
    assert found["none.tif"] == Calibration()
