"""The files of chunks and shards, read and written, against zarr."""

from concurrent.futures import ThreadPoolExecutor

import numcodecs
import numpy as np
import pytest
import zarr
from inputs import noise
from zarr import codecs

from cunet.errors import CunetError, DataError
from cunet.files.ome_zarr.array import Array

SHAPE = (5, 50, 70)
BOXES = [
    (slice(0, 5), slice(0, 50), slice(0, 70)),
    (slice(1, 2), slice(15, 33), slice(60, 70)),
    (slice(2, 4), slice(49, 50), slice(0, 1)),
    (slice(3, 3), slice(1, 2), slice(1, 2)),
]
# Options of zarr.create_array, and whether its machinery is left out
V3 = {
    "plain": ({"compressors": None}, True),
    "zstd": ({"compressors": codecs.ZstdCodec(level=3, checksum=True)}, True),
    "gzip": ({"compressors": codecs.GzipCodec(level=1)}, True),
    "blosc": ({"compressors": codecs.BloscCodec(cname="lz4", shuffle="shuffle")}, True),
    "two": ({"compressors": [codecs.ZstdCodec(level=1), codecs.GzipCodec(level=1)]}, True),
    "shards": ({"shards": (2, 32, 64)}, True),
    "blosc in shards": (
        {"shards": (2, 32, 64), "compressors": codecs.BloscCodec(shuffle="bitshuffle")}, True,
    ),
    "big-endian": ({"serializer": codecs.BytesCodec(endian="big")}, True),
    "names of version 2": ({"chunk_key_encoding": {"name": "v2", "separator": "."}}, True),
    "names with dots": ({"chunk_key_encoding": {"name": "default", "separator": "."}}, True),
    "a checksum": ({"compressors": [codecs.ZstdCodec(level=1), codecs.Crc32cCodec()]}, False),
    "transposed": ({"filters": [codecs.TransposeCodec(order=(2, 1, 0))]}, False),
    "index first": (
        {
            "chunks": (2, 32, 64),
            "serializer": codecs.ShardingCodec(chunk_shape=(1, 16, 32), index_location="start"),
            "compressors": None,
        },
        True,
    ),
}  # fmt: skip
V2 = {
    "plain": ({"compressors": None}, True),
    "zstd": ({"compressors": numcodecs.Zstd(1)}, True),
    "blosc": ({"compressors": numcodecs.Blosc("zstd", 5, numcodecs.Blosc.BITSHUFFLE)}, True),
    "gzip": ({"compressors": numcodecs.GZip(1)}, True),
    "zlib": ({"compressors": numcodecs.Zlib(1)}, True),
    "lz4": ({"compressors": numcodecs.LZ4()}, True),
    "big-endian": ({"dtype": ">u2"}, True),
    "slashes": ({"chunk_key_encoding": {"name": "v2", "separator": "/"}}, True),
    "lzma": ({"compressors": numcodecs.LZMA()}, False),
    "columns first": ({"order": "F"}, False),
    "delta": ({"filters": [numcodecs.Delta("<u2")]}, False),
}
LAYOUTS = [(3, name) for name in V3] + [(2, name) for name in V2]


def made(folder, version, name):
    """An empty array of zarr's, and whether its files are read without zarr."""
    options, direct = (V3 if version == 3 else V2)[name]
    array = zarr.create_array(
        str(folder),
        zarr_format=version,
        **{"shape": SHAPE, "chunks": (1, 16, 32), "dtype": "uint16", "fill_value": 9} | options,
    )
    return array, direct


@pytest.mark.parametrize(("version", "name"), LAYOUTS)
def test_boxes_of_every_layout_are_those_that_zarr_wrote(tmp_path, version, name):
    theirs, direct = made(tmp_path / "a", version, name)
    values = noise(SHAPE, "uint16")
    values[2:] = 9  # chunks that are not there
    theirs[...] = values
    ours = Array(tmp_path / "a")
    assert (ours.chunks is not None) == direct
    assert ours.shape == SHAPE and ours.dtype == np.uint16 and ours.dtype.isnative
    for box in BOXES:
        found = ours[box]
        assert found.dtype == np.uint16 and found.dtype.isnative
        np.testing.assert_array_equal(found, values[box])
    np.testing.assert_array_equal(ours[1:3], values[1:3])


@pytest.mark.parametrize(("version", "name"), LAYOUTS)
def test_what_is_written_is_what_zarr_reads(tmp_path, version, name):
    theirs, _ = made(tmp_path / "a", version, name)
    values = noise(SHAPE, "uint16")
    values[0, 16:32, 32:64] = 9
    ours = Array(tmp_path / "a", writable=True)
    ours[:] = values
    np.testing.assert_array_equal(theirs[...], values)


def test_a_part_of_a_file_is_written_too(tmp_path):
    theirs, _ = made(tmp_path / "a", 3, "shards")
    values = noise(SHAPE, "uint16")
    ours = Array(tmp_path / "a", writable=True)
    ours[:, :, :] = values
    ours[1:2, 3:9, 60:70] = values[2:3, 3:9, 60:70]
    values[1, 3:9, 60:70] = values[2, 3:9, 60:70]
    np.testing.assert_array_equal(theirs[...], values)
    np.testing.assert_array_equal(ours[:], values)


def test_files_of_the_fill_value_alone_are_not_kept(tmp_path):
    made(tmp_path / "a", 3, "shards")
    ours = Array(tmp_path / "a", writable=True)
    box = (slice(0, 2), slice(0, 32), slice(0, 64))
    ours[box] = np.full((2, 32, 64), 7, "uint16")
    ours.sync(box)
    files = [path.name for path in (tmp_path / "a").rglob("*") if path.is_file()]
    assert sorted(files) == ["0", "zarr.json"]
    ours[box] = np.full((2, 32, 64), 9, "uint16")
    ours.sync(box)
    assert [p.name for p in (tmp_path / "a").rglob("*") if p.is_file()] == ["zarr.json"]
    np.testing.assert_array_equal(ours[:], np.full(SHAPE, 9))


def test_a_whole_file_is_not_read_before_it_is_replaced(tmp_path):
    """The shard that is replaced is damaged, which no reader would survive."""
    made(tmp_path / "a", 3, "shards")
    ours, values = Array(tmp_path / "a", writable=True), noise(SHAPE, "uint16")
    (tmp_path / "a/c/0/0").mkdir(parents=True)
    (tmp_path / "a/c/0/0/0").write_bytes(b"damage")
    ours[:] = values
    np.testing.assert_array_equal(ours[:], values)


def test_threads_write_at_once(tmp_path):
    theirs, _ = made(tmp_path / "a", 3, "shards")
    ours, values = Array(tmp_path / "a", writable=True), noise(SHAPE, "uint16")
    boxes = [
        (slice(z, min(z + 2, 5)), slice(y, min(y + 32, 50)), slice(x, min(x + 64, 70)))
        for z in (0, 2, 4) for y in (0, 32) for x in (0, 64)
    ]  # fmt: skip
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda box: ours.__setitem__(box, values[box]), boxes * 3))
    np.testing.assert_array_equal(theirs[...], values)


@pytest.mark.parametrize("layout", ["zstd", "shards", "plain", "a checksum", "index first"])
@pytest.mark.parametrize("damage", ["cut", "changed", "empty"])
def test_a_damaged_file_is_named(tmp_path, layout, damage):
    theirs, direct = made(tmp_path / "a", 3, layout)
    theirs[...] = noise(SHAPE, "uint16")
    file = max((tmp_path / "a" / "c").rglob("*"), key=lambda p: p.stat().st_size * p.is_file())
    data = bytearray(file.read_bytes())
    if damage == "changed" and layout == "plain":
        pytest.skip("any bytes are values")
    if damage == "changed" and layout == "index first":
        data[3] ^= 255
    elif damage == "changed":
        data[2], data[-3] = data[2] ^ 255, data[-3] ^ 255
    file.write_bytes({"cut": data[:-7], "changed": data, "empty": b""}[damage])
    with pytest.raises(DataError, match="is damaged or truncated: .*again") as raised:
        Array(tmp_path / "a")[:]
    assert str(file if direct else tmp_path / "a") in str(raised.value)


def test_a_disk_that_cannot_be_written(tmp_path, monkeypatch):
    made(tmp_path / "a", 3, "shards")
    ours = Array(tmp_path / "a", writable=True)
    (tmp_path / "a" / "c").write_text("a file where a folder should be")
    with pytest.raises(CunetError, match="cannot write '.*/a/c/0/0/0'"):
        ours[:] = noise(SHAPE, "uint16")
    assert list((tmp_path / "a").glob("**/.*part")) == []


def test_boxes_that_are_none(tmp_path):
    made(tmp_path / "a", 3, "zstd")
    ours = Array(tmp_path / "a")
    for box in [slice(0, 6), slice(-1, 2), (slice(None),) * 4, slice(0, 4, 2), 3]:
        with pytest.raises(ValueError, match="/a' "):
            ours[box]
    with pytest.raises(CunetError, match="open for reading only"):
        ours[:] = np.zeros(SHAPE, "uint16")
    with pytest.raises(ValueError, match="holds uint16, not float64"):
        Array(tmp_path / "a", writable=True)[:] = np.zeros(SHAPE)
