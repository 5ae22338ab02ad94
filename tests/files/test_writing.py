"""Writing images, against tifffile and Pillow used on their own."""

import errno
import os

import numpy as np
import pytest
import tifffile
from inputs import noise
from PIL import Image

from cunet.errors import CunetError, DeviceError
from cunet.files import open_image, tiff_output, write_png
from cunet.files.calibration import Calibration
from cunet.files.tiff_output import TiffOutput


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "float32"])
def test_output_written_in_any_order(tmp_path, monkeypatch, big, channels, dtype):
    if big:
        monkeypatch.setattr(tiff_output, "CLASSIC_BYTES", 1000)
    pages = noise((4, 37, 29, channels), dtype)
    path = tmp_path / "out.tif"
    order = [(p, r0) for p in range(4) for r0 in range(0, 37, 10)]
    np.random.default_rng(1).shuffle(order)
    size = Calibration(0.25, 0.25, "nm", 50.0, imagej=True)
    with TiffOutput(path, 4, 37, 29, dtype, channels, size, "made by a test") as out:
        for page, r0 in order:
            block = pages[page, r0 : r0 + 10]
            out.write_rows(page, r0, block[..., 0] if channels == 1 else block)
        assert not path.exists()
    assert [p.name for p in tmp_path.iterdir()] == ["out.tif"]
    with tifffile.TiffFile(path) as tif:
        series = tif.series[0]
        assert tif.is_bigtiff == big
        assert tif.is_imagej == (not big and dtype != "uint32")
        assert series.axes == ("ZYX" if channels == 1 else "ZCYX")
        stored = series.asarray()
        text = str(tif.imagej_metadata or tif.pages[0].tags["ImageDescription"].value)
    assert "made by a test" in text
    planes = pages[..., 0] if channels == 1 else np.moveaxis(pages, -1, 1)
    np.testing.assert_array_equal(stored, planes)
    with open_image(path) as image:
        got = image.calibration
        np.testing.assert_array_equal(image.read(2), pages[2])
    scale = {"nm": 1.0, "cm": 1e-7}[got.unit]  # nanometres become centimetres in plain TIFF
    assert got.xres * scale == pytest.approx(0.25) and got.yres * scale == pytest.approx(0.25)
    assert got.spacing / scale == pytest.approx(50.0)


def test_output_beyond_4_gb_is_bigtiff(tmp_path, monkeypatch):
    """A sparse file of 5 GB: nothing is reserved, and one row is written at its end."""
    monkeypatch.delattr(os, "posix_fallocate", raising=False)
    monkeypatch.setattr(tiff_output, "free_bytes", lambda path: 2**40)
    path = tmp_path / "big.tif"
    with TiffOutput(path, 5, 16384, 16384, "float32") as out:
        out.write_rows(4, 16383, np.full((1, 16384), 7, np.float32))
    with tifffile.TiffFile(path) as tif:
        assert tif.is_bigtiff
        assert tif.series[0].shape == (5, 16384, 16384)
    with open_image(path) as image:
        np.testing.assert_array_equal(image.read_rows(4, 16382, 16384)[:, 5, 0], [0, 7])


def test_an_exception_leaves_nothing_behind(tmp_path):
    path = tmp_path / "out.tif"
    path.write_bytes(b"the old one")
    with pytest.raises(KeyboardInterrupt), TiffOutput(path, 1, 9, 9, "uint8") as out:
        out.write_rows(0, 0, np.zeros((9, 9), np.uint8))
        raise KeyboardInterrupt
    assert [p.name for p in tmp_path.iterdir()] == ["out.tif"]
    assert path.read_bytes() == b"the old one"


def test_a_full_disk_is_a_device_error(tmp_path, monkeypatch):
    path = tmp_path / "out.tif"
    monkeypatch.setattr(tiff_output, "free_bytes", lambda path: 1000)
    with pytest.raises(DeviceError, match="10,000 bytes, .* free"):
        TiffOutput(path, 1, 100, 100, "uint8")
    monkeypatch.undo()

    def full(*args):
        raise OSError(errno.ENOSPC, "No space left on device")

    if hasattr(os, "posix_fallocate"):
        monkeypatch.setattr(os, "posix_fallocate", full)
        with pytest.raises(DeviceError, match="10,000 bytes"):
            TiffOutput(path, 1, 100, 100, "uint8")
        monkeypatch.undo()
    monkeypatch.setattr(os, "fsync", full)
    out = TiffOutput(path, 1, 100, 100, "uint8")
    with pytest.raises(DeviceError, match="out.tif"):
        out.close()
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_while_writing(tmp_path, monkeypatch):
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full on this system")
    monkeypatch.delattr(os, "posix_fallocate", raising=False)

    out = TiffOutput(tmp_path / "out.tif", 1, 500, 500, "uint8")
    out._part.file.close()
    out._part.file = open("/dev/full", "r+b")
    with pytest.raises(DeviceError, match="250,000 bytes"):
        out.write_rows(0, 0, np.ones((500, 500), np.uint8))
    assert list(tmp_path.iterdir()) == []


def test_output_refuses_what_does_not_fit(tmp_path):
    with TiffOutput(tmp_path / "a.tif", 2, 9, 8, "uint8") as out:
        for page, r0, block in [
            (0, 0, np.zeros((9, 9), np.uint8)),
            (0, 0, np.zeros((9, 8), np.int64)),
            (0, 1, np.zeros((9, 8), np.uint8)),
            (2, 0, np.zeros((9, 8), np.uint8)),
        ]:
            with pytest.raises(ValueError, match="a.tif"):
                out.write_rows(page, r0, block)
    with pytest.raises(CunetError, match="cannot write"):
        TiffOutput(tmp_path / "none" / "a.tif", 1, 9, 9, "uint8")


@pytest.mark.parametrize(
    "shape,dtype", [((9, 7), "uint8"), ((9, 7, 3), "uint8"), ((9, 7), "uint16")]
)
def test_png_round_trip(tmp_path, shape, dtype):
    pixels = noise(shape, dtype)
    pixels.flags.writeable = False
    write_png(tmp_path / "a.png", pixels)
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.asarray(image), pixels)
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
    with pytest.raises(ValueError, match="float64"):
        write_png(tmp_path / "b.png", np.zeros((9, 9)))
    with pytest.raises(CunetError, match="cannot write"):
        write_png(tmp_path / "none" / "b.png", pixels)
