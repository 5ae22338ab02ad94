"""Reading OME-Zarr that zarr itself has written, against the arrays that were given to it."""

import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import zarr
from inputs import noise
from ome_zarr_files import image, metadata

from cunet.errors import CunetError, DataError
from cunet.files import open_image
from cunet.files.calibration import Calibration
from cunet.files.ome_zarr import OmeZarrImage, library, open_ome_zarr
from cunet.files.ome_zarr.chunks import Chunks

SIZES = {"t": 2, "c": 3, "z": 4, "y": 33, "x": 41}
VERSIONS = ["0.4", "0.5"]


@pytest.fixture
def decoded(monkeypatch):
    """The lengths of what is decoded."""
    lengths, original = [], Chunks._decode

    def counted(self, data, path):
        lengths.append(len(data))
        return original(self, data, path)

    monkeypatch.setattr(Chunks, "_decode", counted)
    return lengths


def volume(axes, dtype="uint8"):
    """Values for these axes, and the same as pages (pages, H, W, C)."""
    data = noise([SIZES[axis] for axis in axes], dtype)
    five = data.reshape([SIZES[axis] if axis in axes else 1 for axis in "tczyx"])
    return data, np.moveaxis(five, 1, -1).reshape(-1, 33, 41, SIZES["c"] if "c" in axes else 1)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("axes", ["yx", "zyx", "cyx", "tyx", "czyx", "tzyx", "tcyx", "tczyx"])
def test_pages_and_channels_of_every_choice_of_axes(tmp_path, axes, version):
    data, pages = volume(axes)
    with open_image(image(tmp_path / "a", data, axes, version)) as found:
        assert isinstance(found, OmeZarrImage) and found.streamed and found.version == version
        assert (found.pages, found.height, found.width, found.channels) == pages.shape
        assert found.axes == axes.upper() and found.array_axes == axes
        assert found.page_axes == tuple((a.upper(), SIZES[a]) for a in axes if a in "tz")
        for page in range(found.pages):
            np.testing.assert_array_equal(found.read(page), pages[page])
        window = found.read_window(found.pages - 1, 5, 30, 17, 41)
        np.testing.assert_array_equal(window, pages[-1, 5:30, 17:41])
        np.testing.assert_array_equal(found.read_rows(0, 3, 4), pages[0, 3:4])
        assert found.read_window(0, 7, 7, 3, 20).shape == (0, 17, found.channels)
        first = min(1, found.pages - 1)
        block = found.read_block(first, found.pages, 2, 31, 0, 40)
        np.testing.assert_array_equal(block, pages[first:, 2:31, :40])


@pytest.mark.parametrize("version", VERSIONS)
def test_a_channel_a_time_and_slices_are_chosen(tmp_path, version):
    data, _ = volume("tczyx")
    path = image(tmp_path / "a", data, "tczyx", version)
    with open_ome_zarr(path, channel=2, time=1, sections=(1, 3)) as found:
        assert (found.pages, found.channels, found.axes) == (2, 1, "ZYX")
        assert found.page_axes == (("Z", 2),)
        for page in (0, 1):
            np.testing.assert_array_equal(found.read(page)[..., 0], data[1, 2, 1 + page])
    with open_ome_zarr(path, sections=(3, 4)) as found:
        assert found.page_axes == (("T", 2), ("Z", 1))
        np.testing.assert_array_equal(found.read(1), np.moveaxis(data[1, :, 3], 0, -1))


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ({"level": 1}, "has levels 0 to 0, not 1"),
        ({"channel": 3}, "has 3 channels, counted from 0; there is no 3"),
        ({"time": -1}, "has 2 time points, counted from 0; there is no -1"),
        ({"sections": (2, 5)}, "has 4 slices, counted from 0; there are no slices 2 to 4"),
        ({"sections": (2, 2)}, "there are no slices 2 to 1"),
    ],
)
def test_what_is_not_there_cannot_be_chosen(tmp_path, choice, said):
    path = image(tmp_path / "a", volume("tczyx")[0], "tczyx")
    with pytest.raises(CunetError, match=said):
        open_ome_zarr(path, **choice)


DTYPES = "bool int8 uint8 int16 uint16 int32 uint32 int64 uint64 float16 float32 float64".split()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_type_of_pixel(tmp_path, dtype, version):
    data = noise((33, 41), "uint8" if dtype == "bool" else dtype)
    data = data > 127 if dtype == "bool" else data
    with open_image(image(tmp_path / "a", data, "yx", version)) as found:
        assert found.dtype == ("uint8" if dtype == "bool" else dtype) and found.dtype.isnative
        np.testing.assert_array_equal(found.read(0)[..., 0], data)
        assert found.read(0).dtype == found.dtype


def test_sizes_of_pixels_and_their_place(tmp_path):
    units = ["second", None, "micrometer", "nanometer", "nanometer"]
    attributes = metadata("tczyx", scale=[2.5, 1, 0.05, 4, 5], units=units, paths=("0", "1"))
    scales = attributes["ome"]["multiscales"][0]
    scales["datasets"][1]["coordinateTransformations"].append(
        {"type": "translation", "translation": [0, 0, 0.5, 2, 2.5]}
    )
    scales["coordinateTransformations"] = [
        {"type": "scale", "scale": [2, 1, 1, 1, 1]},
        {"type": "translation", "translation": [0, 0, 10, 20, 30]},
    ]
    data, _ = volume("tczyx")
    path = image(tmp_path / "a", data, "tczyx", attributes=attributes)
    half = zarr.create_array(
        str(path / "1"), shape=(2, 3, 4, 17, 21), dtype="uint8", chunks=(1, 1, 1, 17, 21)
    )
    half[...] = data[..., ::2, ::2]
    with open_image(path) as found:
        assert found.levels == 2 and found.level == 0 and found.notes == ()
        assert found.calibration == Calibration(0.2, 0.25, "nm", 50.0, interval=5.0)
        assert found.scale == (5.0, 1, 0.05, 4, 5) and found.translation == (10, 20, 30)
    with open_ome_zarr(path, level=1, sections=(2, 4)) as found:
        assert (found.height, found.width, found.levels) == (17, 21, 2)
        assert found.calibration == Calibration(0.1, 0.125, "nm", 50.0, interval=5.0)
        assert found.translation == pytest.approx((10.5 + 2 * 0.05, 22, 32.5))
        np.testing.assert_array_equal(found.read(1)[..., 1], data[0, 1, 3, ::2, ::2])


def test_sizes_without_units_are_told(tmp_path):
    data, _ = volume("zyx")
    with open_image(image(tmp_path / "a", data, "zyx")) as found:
        assert found.calibration == Calibration()
        assert any("not known" in note for note in found.notes)
    with open_image(image(tmp_path / "b", data, "zyx", scale=[50, 4, 4])) as found:
        assert found.calibration == Calibration(0.25, 0.25, "", 50.0)
        assert any("no unit" in note for note in found.notes)


def test_a_label_image_is_an_image_of_integers(tmp_path):
    data = noise((4, 33, 41), "uint32")
    attributes = metadata("zyx", **{"image-label": {"source": {"image": "../../"}}})
    with open_image(image(tmp_path / "a", data, "zyx", attributes=attributes)) as found:
        assert found.label and found.dtype == np.uint32
        np.testing.assert_array_equal(found.read(3)[..., 0], data[3])


def test_several_multiscales_are_a_doubt(tmp_path):
    attributes = metadata("yx")
    attributes["ome"]["multiscales"] *= 2
    with open_image(
        image(tmp_path / "a", noise((33, 41), "uint8"), "yx", attributes=attributes)
    ) as f:
        assert f.doubts == ("2 multiscales in one group: the first is read",)


def test_what_was_never_written_has_the_fill_value(tmp_path):
    path = image(tmp_path / "a", np.full((33, 41), 7, "uint8"), "yx", fill_value=7)
    assert not (path / "0" / "c").exists()
    with open_image(path) as found:
        np.testing.assert_array_equal(found.read(0)[..., 0], np.full((33, 41), 7))


@pytest.mark.parametrize("version", VERSIONS)
def test_only_the_chunks_of_a_window_are_read(tmp_path, monkeypatch, version):
    data = noise((4, 33, 41), "uint8")
    path = image(tmp_path / "a", data, "zyx", version, chunks=(1, 16, 16))
    read = []
    original = Chunks.path
    monkeypatch.setattr(Chunks, "path", lambda self, at: read.append(at) or original(self, at))
    with open_image(path) as found:
        found.read_window(2, 16, 33, 20, 32)
    assert set(read) == {(2, 1, 1), (2, 2, 1)}


def test_of_a_shard_only_the_chunks_of_a_window_are_decoded(tmp_path, decoded):
    data = noise((4, 64, 64), "uint8")
    path = image(tmp_path / "a", data, "zyx", chunks=(1, 16, 16), shards=(2, 64, 64))
    with open_image(path) as found:
        window = found.read_window(1, 17, 40, 3, 15)
        np.testing.assert_array_equal(window[..., 0], data[1, 17:40, 3:15])
    assert len(decoded) == 2


def test_a_chunk_that_spans_slices_is_decoded_once_for_a_block(tmp_path, decoded):
    data = noise((4, 33, 41), "uint8")
    path = image(tmp_path / "a", data, "zyx", chunks=(4, 33, 41))
    with open_image(path) as found:
        np.testing.assert_array_equal(found.read_block(0, 4, 0, 33, 0, 41)[..., 0], data)
    assert len(decoded) == 1


def test_threads_read_at_once(tmp_path):
    data = noise((4, 64, 64), "uint16")
    path = image(tmp_path / "a", data, "zyx", chunks=(1, 16, 16), shards=(2, 32, 32))
    with open_image(path) as found, ThreadPoolExecutor(8) as pool:
        pages = list(pool.map(found.read, [0, 1, 2, 3] * 10))
    for number, page in enumerate(pages):
        np.testing.assert_array_equal(page[..., 0], data[number % 4])


def test_without_zarr_it_is_said_what_to_install(tmp_path, monkeypatch):
    path = image(tmp_path / "a", noise((9, 8), "uint8"), "yx")
    monkeypatch.setitem(sys.modules, "zarr", None)
    with pytest.raises(CunetError, match=r'pip install "cunet\[zarr\]"') as raised:
        open_image(path)
    assert raised.value.exit_code == 2


def test_an_old_zarr_is_refused(tmp_path, monkeypatch):
    path = image(tmp_path / "a", noise((9, 8), "uint8"), "yx")
    monkeypatch.setattr(library, "OLDEST", (99, 0, 0))
    with pytest.raises(CunetError, match=f"99.0.0 or newer, found {zarr.__version__}"):
        open_image(path)


def test_a_folder_that_is_no_store(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    with pytest.raises(DataError, match="is no zarr store: none of zarr.json"):
        open_image(tmp_path / "a.zarr")
    with pytest.raises(CunetError, match="no folder"):
        open_ome_zarr(tmp_path / "b.zarr")
