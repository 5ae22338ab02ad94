"""Small files that claim much: each is refused, or read, in little time and memory."""

import io
import os
import struct
import zlib

import numpy as np
import pytest
import tifffile
from inputs import noise
from PIL import Image

from cunet.data.labels import read_labels
from cunet.errors import CunetError, DataError, DeviceError
from cunet.files import open_image, read_description
from cunet.files.pages import read_image


def tiff(width, height, compression=1, at=None, count=0, following=0, more=(), data=b""):
    """One directory at byte 8 with a single strip; the data lie behind it."""
    tags = [
        (256, 4, 1, width), (257, 4, 1, height), (258, 3, 1, 8), (259, 3, 1, compression),
        (262, 3, 1, 1), (273, 4, 1, at), (277, 3, 1, 1), (278, 4, 1, height), (279, 4, 1, count),
        *more,
    ]  # fmt: skip
    end = 8 + 2 + 12 * len(tags) + 4
    head = b"II" + struct.pack("<HIH", 42, 8, len(tags))
    body = b"".join(struct.pack("<HHII", *(end if v is None else v for v in t)) for t in tags)
    return head + body + struct.pack("<I", following) + data


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, stored, more=b"", bits=8, colour=0):
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), more, chunk(b"IDAT", stored),
            chunk(b"IEND", b""),
        ]
    )  # fmt: skip


def ome(lengths, data="<TiffData/>", more=""):
    xml = (
        '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">'
        f'<Image><Pixels DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="9" {lengths}>{data}'
        f"</Pixels></Image>{more}</OME>"
    )
    return described(xml)


def described(text, **options):
    file = io.BytesIO()
    tifffile.imwrite(
        file, np.zeros((9, 8), np.uint8), description=text, metadata=None, **options
    )  # fmt: skip
    return file.getvalue()


ONE = 'SizeZ="1" SizeC="1" SizeT="1"'
MODULO = (
    '<StructuredAnnotations><XMLAnnotation ID="A" Namespace="a/modulo"><Value><Modulo>'
    '<ModuloAlongZ Type="phase" Start="0" End="1e12"/></Modulo></Value></XMLAnnotation>'
    "</StructuredAnnotations>"
)
ENTITIES = "".join(f'<!ENTITY e{i + 1} "{f"&e{i};" * 10}">' for i in range(12))
LAUGHS = f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e0 "0123456789">{ENTITIES}]><OME>&e12;</OME>'
PIXELS = zlib.compress(b"".join(b"\0" + bytes(8) for _ in range(9)))
BOMB = zlib.compress(bytes(2**26), 9)
SUBDIRECTORIES = [(330, 4, 250_000, None)]

CLAIMS = {  # contents, the word of the error
    "raw.tif": (tiff(60000, 60000, 1, count=14, data=bytes(14)), "truncated"),
    "lzw.tif": (tiff(60000, 60000, 5, count=14, data=bytes(14)), "can hold"),
    "deflate.tif": (tiff(60000, 60000, 8, count=14, data=bytes(14)), "can hold"),
    "packbits.tif": (tiff(60000, 60000, 32773, count=14, data=bytes(14)), "can hold"),
    "jpeg.tif": (tiff(60000, 60000, 7, count=14, data=bytes(14)), "can hold"),
    "lzma.tif": (tiff(60000, 60000, 34925, count=14, data=bytes(14)), "can hold"),
    "zstandard.tif": (tiff(60000, 60000, 50000, count=14, data=bytes(14)), "can hold"),
    "fax.tif": (tiff(60000, 60000, 4, count=14, data=bytes(14)), "can hold"),
    "sparse.tif": (tiff(60000, 60000, 8, at=0), "never written"),
    "sparse raw.tif": (tiff(60000, 60000, 1, at=0), "never written"),
    "tiles.tif": (
        tiff(
            9,
            8,
            8,
            at=None,
            count=14,
            data=bytes(14),
            more=[(322, 4, 1, 592_320_560), (323, 4, 1, 16), (324, 4, 1, None), (325, 4, 1, 14)],
        ),
        "tiles of 592320560 x 16 x 1",
    ),
    "circle.tif": (tiff(9, 8, count=72, following=8, data=bytes(72)), "comes back to itself"),
    "beyond.tif": (tiff(9, 8, count=72, following=9999, data=bytes(72)), "truncated"),
    "many below.tif": (
        tiff(9, 8, count=72, more=SUBDIRECTORIES, data=bytes(1_000_072)),
        "250,000 pages",
    ),
    "no type.tif": (tiff(9, 8, count=72, more=[(339, 77, 1, 3)], data=bytes(72)), "tag 339"),
    "float.tif": (tiff(9, 8, count=72, more=[(339, 11, 1, 0x3F800000)], data=bytes(72)), "tag 339"),
    "elsewhere.tif": (tiff(9, 8, count=72, more=[(339, 3, 9, 5000)], data=bytes(72)), "tag 339"),
    "nothing.tif": (tiff(0, 0, count=72, data=bytes(72)), "no pixels"),
    "claim.png": (png(100_000, 100_000, PIXELS), "too large"),
    "narrow.png": (png(1, 10**7, zlib.compress(bytes(2 * 10**7), 9)), "too large"),
    "claim less.png": (png(13_000, 13_000, PIXELS), "can hold"),
    "nothing.png": (png(0, 0, PIXELS), "no pixels"),
    "bits.png": (png(8, 9, PIXELS, bits=3), "header"),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_what_a_file_cannot_hold_is_not_believed(tmp_path, name):
    content, word = CLAIMS[name]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=word) as caught:
        open_image(tmp_path / name)
    assert name in str(caught.value)


UNKNOWN_RATIO = [34712, 34887, 50001, 50002]  # JPEG 2000, LERC, WebP, JPEG XL


@pytest.mark.parametrize("compression", UNKNOWN_RATIO)
def test_a_piece_that_cannot_be_decoded_is_the_word_of_the_first_row(tmp_path, compression):
    (tmp_path / "a.tif").write_bytes(tiff(60000, 60000, compression, count=14, data=bytes(14)))
    with open_image(tmp_path / "a.tif") as image, pytest.raises(CunetError, match="a.tif"):
        image.read_rows(0, 0, 1)


@pytest.mark.parametrize(("side", "kind"), [(24, DataError), (5000, DeviceError)])
def test_no_memory_is_the_fault_of_a_small_page_itself(tmp_path, monkeypatch, side, kind):
    def fail(*arguments):
        raise MemoryError

    monkeypatch.setattr("cunet.files.tiff_input.TiffImage._read_plane", fail)
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((side, side), np.uint8), compression="zlib")
    with open_image(tmp_path / "a.tif") as image, pytest.raises(CunetError, match="a.tif") as error:
        image.read(0)
    assert type(error.value) is kind


@pytest.mark.parametrize(
    ("kind", "bits"), [("f2", 0x7D01), ("f4", 0x7F800001), ("f8", 0x7FF0000000000001)]
)
def test_a_signalling_nan_is_one_that_no_operation_warns_of(tmp_path, kind, bits):
    page = np.full((9, 8), bits, kind.replace("f", "u")).view(kind)
    page[2:] = 7
    tifffile.imwrite(tmp_path / "a.tif", page)
    read = read_image(tmp_path / "a.tif")[0, ..., 0]
    assert np.isnan(np.floor(read[:2])).all() and (read[2:] == 7).all()
    with pytest.raises(DataError, match="a.tif.*found nan"):
        read_labels(tmp_path / "a.tif")


def test_no_memory_to_open_a_file_names_it(tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise MemoryError

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((9, 9), np.uint8))
    Image.new("L", (9, 9)).save(tmp_path / "b.png")
    monkeypatch.setattr("cunet.files.tiff_input.only_stack", fail)
    monkeypatch.setattr("cunet.files.png_input.picture_alone", fail)
    for name in ("a.tif", "b.png"):
        with pytest.raises(DeviceError, match=name):
            read_image(tmp_path / name)


READ = {  # what is wrong is not what holds the pixels
    "slices.tif": ome('SizeZ="2000000000" SizeC="1" SizeT="1"'),
    "planes.tif": ome(ONE, '<TiffData IFD="0" PlaneCount="2000000000"/>'),
    "first.tif": ome(ONE, '<TiffData IFD="2000000000"/>'),
    "elements.tif": ome(ONE, "<TiffData/>" * 30_000),
    "steps.tif": ome(ONE, more=MODULO),
    "laughs.tif": described(LAUGHS),
    "deep.tif": ome(ONE, "<a>" * 20_000 + "</a>" * 20_000),
    "images.tif": described("ImageJ=1.54f\nslices=2000000000\n", compression="zlib"),
    "shape.tif": described('{"shape": [2000000000, 9, 8]}', compression="zlib"),
    "zTXt.png": png(8, 9, PIXELS, chunk(b"zTXt", b"a\0\0" + BOMB)),
    "iTXt.png": png(8, 9, PIXELS, chunk(b"iTXt", b"a\0\1\0\0\0" + BOMB)),
    "iCCP.png": png(8, 9, PIXELS, chunk(b"iCCP", b"a\0\0" + BOMB)),
    "tEXt.png": png(8, 9, PIXELS, chunk(b"tEXt", b"Description\0" + bytes(3_000_000))),
    "behind.png": png(8, 9, zlib.compress(zlib.decompress(PIXELS) + bytes(2**26), 9)),
    "empty chunks.png": png(8, 9, PIXELS, b"").replace(
        chunk(b"IEND", b""), chunk(b"IDAT", b"") * 20_000 + chunk(b"IEND", b"")
    ),
}


@pytest.mark.parametrize("name", READ)
def test_bombs_beside_the_pixels_do_not_go_off(tmp_path, name):
    (tmp_path / name).write_bytes(READ[name])
    assert read_image(tmp_path / name).shape == (1, 9, 8, 1)
    read_description(tmp_path / name)


def chain(pages, tags, data):
    """Directories one behind the other with the same tags; None stands for where the data begin."""
    size = 2 + 12 * len(tags) + 4
    start = 8 + pages * size
    body = b"".join(struct.pack("<HHII", *(start if v is None else v for v in t)) for t in tags)
    parts = [b"II", struct.pack("<HI", 42, 8)]
    for number in range(pages):
        following = 8 + (number + 1) * size if number < pages - 1 else 0
        parts += [struct.pack("<H", len(tags)), body, struct.pack("<I", following)]
    return b"".join([*parts, data])


def test_directories_that_share_their_tags_are_read_once(tmp_path):
    """8,000 pages that each point to one list of 100,000 strips would take minutes."""
    strips = 100_000
    tags = [
        (256, 4, 1, 8), (257, 4, 1, strips), (258, 3, 1, 8), (273, 4, strips, None),
        (278, 4, 1, 1), (279, 4, strips, None),
    ]  # fmt: skip
    (tmp_path / "a.tif").write_bytes(chain(8000, tags, struct.pack("<I", 8) * strips))
    with pytest.raises(DataError, match="lie over each other"):
        open_image(tmp_path / "a.tif")


def test_many_pages_are_no_bomb(tmp_path):
    tags = [(256, 4, 1, 8), (257, 4, 1, 9), (258, 3, 1, 8), (273, 4, 1, None), (279, 4, 1, 72)]
    (tmp_path / "a.tif").write_bytes(chain(5000, tags, bytes(range(72))))
    with open_image(tmp_path / "a.tif") as image:
        assert image.pages == 5000
        np.testing.assert_array_equal(image.read(4999).ravel(), range(72))


def test_what_compresses_well_is_read(tmp_path):
    """Masks of zeros: as much as each codec makes of a byte is believed."""
    zeros = np.zeros((3000, 3000), np.uint8)
    for compression in ("zlib", "lzw", "packbits", "zstd", "lzma"):
        for rows in (3000, 16):
            path = tmp_path / f"{compression}{rows}.tif"
            tifffile.imwrite(path, zeros, compression=compression, rowsperstrip=rows)
            with open_image(path) as image:
                assert not image.read_rows(0, 2990, 3000).any()
    Image.fromarray(zeros).save(tmp_path / "a.png", optimize=True)
    Image.fromarray(zeros > 0).save(tmp_path / "fax.tif", compression="group4")
    for name in ("a.png", "fax.tif"):
        assert not read_image(tmp_path / name).any()


def test_a_page_of_which_some_pieces_were_never_written(tmp_path):
    path = tmp_path / "a.tif"
    pixels = noise((64, 64), "uint8")
    tifffile.imwrite(path, pixels, compression="zlib", tile=(32, 32))
    with tifffile.TiffFile(path) as file:
        tags = file.pages[0].tags
        places = [tags[name].valueoffset for name in ("TileOffsets", "TileByteCounts")]
        sizes = [4, 2 if tags["TileByteCounts"].dtype == 3 else 4]
    with open(path, "r+b") as file:
        for place, size in zip(places, sizes, strict=True):
            file.seek(place + size)
            file.write(bytes(size))  # the second of four tiles
    with open_image(path) as image:
        assert any("1 of its 4 strips or tiles were never written" in n for n in image.notes)
        found = image.read(0)[..., 0]
    pixels[:32, 32:] = 0
    np.testing.assert_array_equal(found, pixels)


def test_a_pipe_is_no_image(tmp_path):
    """Opening it would wait for ever."""
    if not hasattr(os, "mkfifo"):
        pytest.skip("no pipes with names on this system")
    os.mkfifo(tmp_path / "a.tif")
    with pytest.raises(CunetError, match="a.tif.*pipe"):
        open_image(tmp_path / "a.tif")


def chunk(kind, data):
    return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)


def test_a_png_whose_check_sums_are_wrong_is_damaged(tmp_path):
    """Pillow reads over them."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 4, 3, 8, 0, 0, 0, 0))
    pixels = zlib.compress(
        b"".join(b"\0" + bytes([10 * y + x for x in range(4)]) for y in range(3))
    )
    end = chunk(b"IEND", b"")
    path = tmp_path / "a.png"

    def written(*parts):
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
        with open_image(path) as image:
            return image.read(0)[..., 0].tolist()

    whole = [[10 * y + x for x in range(4)] for y in range(3)]
    assert written(header, chunk(b"IDAT", pixels), end) == whole
    assert written(header, chunk(b"IDAT", pixels[:9]), chunk(b"IDAT", pixels[9:]), end) == whole
    bad_adler = pixels[:-1] + bytes([pixels[-1] ^ 1])
    bad_crc = bytearray(chunk(b"IDAT", pixels))
    bad_crc[-1] ^= 1
    too_long = b"\xff\xff\xff\xff" + chunk(b"IDAT", pixels)[4:]
    for parts, words in (
        ([header, chunk(b"IDAT", bad_adler), end], "incorrect data check"),
        ([header, bytes(bad_crc), end], "check sum of its IDAT chunk is wrong"),
        ([header, too_long, end], "check sum of its IDAT chunk is wrong"),
        ([header, chunk(b"IDAT", pixels[:-4]), end], "its pixels end too early"),
    ):
        with pytest.raises(DataError, match=f"a.png' is a damaged or truncated PNG: .*{words}"):
            written(*parts)
