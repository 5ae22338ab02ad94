"""Metadata that do not fit the pages, and stacks that were written page by page."""

import numpy as np
import pytest
import tifffile
from inputs import noise

from cunet.errors import DataError
from cunet.files import open_image
from cunet.files.pages import read_image

PAGES = noise((3, 9, 8), "uint8")
NS = 'xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06"'


def ome_xml(lengths='SizeZ="3" SizeC="1" SizeT="1"', data='<TiffData IFD="0" PlaneCount="3"/>'):
    pixels = f'<Pixels DimensionOrder="XYZCT" Type="uint8" SizeX="8" SizeY="9" {lengths}>'
    return f'<?xml version="1.0"?><OME {NS}><Image>{pixels}{data}</Pixels></Image></OME>'


def described(path, text, pages=PAGES, **options):
    tifffile.imwrite(
        path, pages, description=text.encode(), metadata=None, photometric="minisblack", **options
    )
    return path


UUID = '<TiffData IFD="0" PlaneCount="1"><UUID FileName="b.tif">urn:uuid:2</UUID></TiffData>'
WRONG = {
    "companion": (
        f'<?xml version="1.0"?><OME {NS} UUID="urn:uuid:1"><BinaryOnly '
        'MetadataFile="x.companion.ome" UUID="urn:uuid:2"/></OME>',
        "x.companion.ome",
    ),
    "broken": (f'<?xml version="1.0"?><OME {NS}><Image><Pixels SizeX="48"></OME>', "OME-XML"),
    "not complete": (ome_xml('SizeZ="3"'), "SizeC"),
    "too many": (ome_xml('SizeZ="30" SizeC="1" SizeT="1"'), "30 pages"),
    "none": (ome_xml('SizeZ="0" SizeC="1" SizeT="1"'), "0 slices"),
    "other side": (ome_xml().replace('SizeX="8"', 'SizeX="80"'), "OME"),
    "very high": (ome_xml().replace('SizeY="9"', 'SizeY="1000000000"'), "8 x 1000000000 pixels"),
    "stale": ("ImageJ=1.54f\nimages=30\nslices=30\nhyperstack=true\n", "ImageJ"),
    "words": ("ImageJ=1.54f\nimages=3\nslices=three\n", "metadata"),
    "too few": ("ImageJ=1.54f\nimages=2\nslices=2\n", "2 pages"),
    "shape": ('{"shape": [7, 9, 8]}', "tifffile"),
    "shape of words": ('{"shape": "abc"}', "metadata"),
}


@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("name", WRONG)
def test_metadata_that_do_not_fit_are_blamed_and_the_pages_read(tmp_path, name, compression):
    text, word = WRONG[name]
    path = described(tmp_path / "a.tif", text, compression=compression)
    with open_image(path) as image:
        assert image.page_axes == (("Q", 3),)
        (doubt,) = image.doubts
        assert doubt in image.notes and "order in which they are stored" in doubt
        assert word.lower() in doubt.lower() or compression  # tifffile says it in other words
        for number, page in enumerate(PAGES):
            np.testing.assert_array_equal(image.read(number)[..., 0], page)


def test_one_directory_for_all_planes_is_read(tmp_path):
    """What ImageJ does beyond 4 GB, and tifffile when it is asked to."""
    text = "ImageJ=1.54f\nimages=3\nslices=3\n"
    path = described(tmp_path / "a.tif", text, PAGES[:1])
    path.write_bytes(path.read_bytes() + PAGES[1:].tobytes())
    tifffile.imwrite(tmp_path / "b.tif", PAGES, photometric="minisblack", truncate=True)
    for name in ("a.tif", "b.tif"):
        with tifffile.TiffFile(tmp_path / name) as file:
            assert len(file.pages) == 1
        np.testing.assert_array_equal(read_image(tmp_path / name)[..., 0], PAGES)


def test_an_old_description_of_more_planes_than_there_are(tmp_path):
    path = described(tmp_path / "a.tif", '{"shape": [7, 9, 8]}', PAGES[:1])
    with open_image(path) as image:
        assert image.pages == 1 and "7 pages" in image.doubts[0]
        np.testing.assert_array_equal(image.read(0)[..., 0], PAGES[0])


def test_pages_beyond_those_of_the_metadata_are_said(tmp_path):
    xml = ome_xml('SizeZ="2" SizeC="1" SizeT="1"', '<TiffData IFD="0" PlaneCount="2"/>')
    with open_image(described(tmp_path / "a.tif", xml)) as image:
        assert image.pages == 2 and image.doubts[0].startswith("1 more page is")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("ImageJ=1.54f\nimages=30\nchannels=3\nslices=10\n", "3 channels"),
        (ome_xml('SizeZ="10" SizeC="3" SizeT="1"'), "3 channels"),
    ],
)
def test_channels_are_not_guessed(tmp_path, text, word):
    with pytest.raises(DataError, match=f"a.tif.*{word}.*metadata are wrong, not the pixels"):
        open_image(described(tmp_path / "a.tif", text))


def test_a_file_of_a_set_is_refused_and_no_other_opened(tmp_path, monkeypatch):
    described(tmp_path / "b.tif", ome_xml())
    xml = ome_xml('SizeZ="1" SizeC="1" SizeT="1"', UUID).replace("<OME ", '<OME UUID="urn:uuid:1" ')
    path = described(tmp_path / "a.tif", xml, PAGES[:1])
    (tmp_path / "b.tif").chmod(0)
    with pytest.raises(DataError, match="another file of a set.*b.tif"):
        open_image(path)


def test_scenes_are_told_from_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as writer:
        for page in PAGES:
            writer.write(page, photometric="minisblack", metadata={"axes": "YX"})
    with pytest.raises(DataError, match="3 scenes.*each scene in a file"):
        open_image(tmp_path / "a.ome.tif")


def test_a_stack_beyond_4_gb_that_is_cut_is_truncated(tmp_path):
    """ImageJ writes one directory then; the pixels that it announces are not all there."""
    text = "ImageJ=1.54f\nimages=60000000\nslices=60000000\n"
    with pytest.raises(DataError, match="truncated"):
        open_image(described(tmp_path / "a.tif", text, PAGES[:1]))


# Pages written one by one


def by_append(path, pages):
    for page in pages:
        tifffile.imwrite(path, page, append=True, photometric="minisblack")


def by_loop(path, pages):
    with tifffile.TiffWriter(path) as writer:
        for number, page in enumerate(pages):
            writer.write(page, compression="zlib" if number % 2 else "lzw")


def one_and_more(path, pages):
    with tifffile.TiffWriter(path) as writer:
        writer.write(pages[0], rowsperstrip=3)
        writer.write(pages[1:], photometric="minisblack")


def without_metadata(path, pages):
    with tifffile.TiffWriter(path) as writer:
        for number, page in enumerate(pages):
            tile = {"tile": (16, 16)} if number else {}
            writer.write(page, metadata=None, photometric="minisblack", **tile)


def with_a_thumbnail(path, pages):
    with tifffile.TiffWriter(path) as writer:
        for page in pages:
            writer.write(page, metadata=None, photometric="minisblack")
        writer.write(pages[0, ::2, ::2], subfiletype=1, metadata=None, photometric="minisblack")


@pytest.mark.parametrize(
    "write", [by_append, by_loop, one_and_more, without_metadata, with_a_thumbnail]
)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_pages_of_one_size_and_type_are_a_stack(tmp_path, write, dtype):
    pages = noise((5, 21, 18), dtype)
    write(tmp_path / "a.tif", pages)
    with open_image(tmp_path / "a.tif") as image:
        assert (image.pages, image.dtype, image.doubts) == (5, np.dtype(dtype), ())
        np.testing.assert_array_equal(image.read_rows(4, 3, 15)[..., 0], pages[4, 3:15])
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif")[..., 0], pages)


def test_colours_written_page_by_page(tmp_path):
    pages = noise((3, 9, 8, 3), "uint8")
    for page in pages:
        tifffile.imwrite(tmp_path / "a.tif", page, append=True, photometric="rgb")
    np.testing.assert_array_equal(read_image(tmp_path / "a.tif"), pages)


@pytest.mark.parametrize(
    ("second", "options"),
    [
        (noise((9, 8), "uint16"), {}),
        (noise((9, 8, 3), "uint8"), {"photometric": "rgb"}),
        (noise((8, 9), "uint8"), {}),
        (noise((9, 8), "uint8"), {"photometric": "miniswhite"}),
    ],
)
def test_pages_of_several_kinds_are_no_stack(tmp_path, second, options):
    tifffile.imwrite(tmp_path / "a.tif", PAGES[0], photometric="minisblack")
    tifffile.imwrite(tmp_path / "a.tif", second, append=True, **options)
    with pytest.raises(DataError, match="2 images of different kinds.*one size and type"):
        open_image(tmp_path / "a.tif")


def test_hyperstacks_written_one_by_one_are_no_stack(tmp_path):
    """Their channels would become pages."""
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        for _ in range(2):
            writer.write(PAGES, photometric="minisblack", metadata={"axes": "CYX"})
    with pytest.raises(DataError, match="2 images"):
        open_image(tmp_path / "a.tif")


def test_what_may_falsify_a_result_is_a_doubt(save):
    for photometric, word in (("palette", "colour table"), ("miniswhite", "white-is-zero")):
        table = {"colormap": np.zeros((3, 256), np.uint16)} if photometric == "palette" else {}
        with open_image(save("a.tif", PAGES[0], photometric=photometric, **table)) as image:
            assert word in image.doubts[0] and image.doubts[0] in image.notes
    with open_image(save("b.tif", PAGES)) as image:
        assert image.doubts == ()


@pytest.mark.parametrize("write", ["loop", "stale"])
def test_many_pages_are_searched_once(tmp_path, write):
    """tifffile's search for series takes the square of their number."""
    pages = np.arange(600, dtype=np.uint16).repeat(16).reshape(600, 4, 4)
    if write == "loop":
        by_loop(tmp_path / "a.tif", pages)
    else:
        described(tmp_path / "a.tif", "ImageJ=1.54f\nimages=700\nslices=700\n", pages)
    with open_image(tmp_path / "a.tif") as image:
        assert image.pages == 600 and bool(image.doubts) == (write == "stale")
        np.testing.assert_array_equal(image.read(599), np.full((4, 4, 1), 599))
