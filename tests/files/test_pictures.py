"""JPEG and BMP: the values are Pillow's, damage and what cannot be read are named."""

import io

import numpy as np
import pytest
from PIL import Image

import cunet
from cunet.data.labels import read_labels
from cunet.errors import CunetError, DataError
from cunet.files import open_image

RNG = np.random.default_rng(3)
GREY = RNG.integers(0, 256, (37, 50)).astype("u1")
COLOUR = RNG.integers(0, 256, (37, 50, 3)).astype("u1")


@pytest.mark.parametrize("array", [GREY, COLOUR], ids=["grey", "colour"])
@pytest.mark.parametrize("suffix", [".jpg", ".bmp"])
def test_values_and_shape(tmp_path, array, suffix):
    path = tmp_path / f"a{suffix}"
    Image.fromarray(array).save(path)
    stored = np.asarray(Image.open(path)).reshape(37, 50, -1)
    np.testing.assert_array_equal(cunet.read_image(path)[0], stored)
    if suffix == ".bmp":
        np.testing.assert_array_equal(stored, array.reshape(37, 50, -1))
    with open_image(path) as image:
        assert (image.pages, image.axes) == (1, "YX" if array.ndim == 2 else "YXS")
        np.testing.assert_array_equal(image.read_rows(0, 5, 9), stored[5:9])
        assert image.lossy == (suffix == ".jpg")


def test_the_content_decides_not_the_name(tmp_path):
    Image.fromarray(GREY).save(tmp_path / "a.tif", format="JPEG")
    with open_image(tmp_path / "a.tif") as image:
        assert image.lossy
    with pytest.raises(DataError, match="a.tif' is a JPEG file, which changes"):
        read_labels(tmp_path / "a.tif")


def test_colour_tables_of_bmp(tmp_path):
    table = Image.fromarray((GREY % 3).astype("u1"))
    table.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    table.save(tmp_path / "a.bmp")
    with pytest.raises(DataError, match="colour table"):
        open_image(tmp_path / "a.bmp")
    (page,), notes = read_labels(tmp_path / "a.bmp")
    np.testing.assert_array_equal(page, GREY % 3)
    assert any("indices" in note for note in notes)


def test_one_bit(tmp_path):
    Image.fromarray(GREY > 99).save(tmp_path / "a.bmp")
    (page,), _ = read_labels(tmp_path / "a.bmp")
    np.testing.assert_array_equal(page, GREY > 99)
    assert cunet.evaluate_pixels(tmp_path / "a.bmp", GREY > 99)["f1"] == 1


def test_turned_pictures_are_doubted(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(GREY).save(tmp_path / "a.jpg", exif=exif)
    with open_image(tmp_path / "a.jpg") as image:
        assert (image.height, image.width) == (37, 50) and "EXIF" in image.doubts[0]


def test_other_colours_are_refused(tmp_path):
    Image.fromarray(COLOUR).convert("CMYK").save(tmp_path / "a.jpg")
    with pytest.raises(DataError, match="colours as CMYK"):
        open_image(tmp_path / "a.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "BMP"])
def test_damage_is_a_clear_error(tmp_path, kind):
    file = io.BytesIO()
    Image.fromarray(COLOUR).save(file, format=kind)
    whole, path, read = file.getvalue(), tmp_path / "a.bin", 0
    for i in range(400):
        content = bytearray(whole)
        if i % 2:
            content = content[: RNG.integers(3, len(whole))]
        else:
            for at in RNG.integers(3, min(len(whole), 700), 3):
                content[at] = RNG.integers(256)
        path.write_bytes(bytes(content))
        try:
            cunet.read_image(path)
            read += 1
        except CunetError as error:
            assert "a.bin" in str(error)
    assert read < 400


def test_a_claim_of_more_pixels_than_the_file_can_hold(tmp_path):
    file = io.BytesIO()
    Image.fromarray(GREY).save(file, format="JPEG")
    content = bytearray(file.getvalue())
    at = content.index(b"\xff\xc0") + 5
    content[at : at + 4] = b"\x1f\xff\x1f\xff"
    (tmp_path / "a.jpg").write_bytes(bytes(content))
    with pytest.raises(DataError, match="8191 x 8191 pixels, more than"):
        open_image(tmp_path / "a.jpg")


def test_segment_takes_jpeg_and_its_products_are_no_jpeg(tmp_path, run, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.kron(GREY, np.ones((4, 4), "u1"))).save(tmp_path / "photo.JPG")
    code, _, err = run("segment", "photo.JPG", "--model", "bundled", "--products", "mask", "-q")
    assert code == 0 and (tmp_path / "photo_mask.tif").is_file(), err
    assert run("segment", ".", "--model", "bundled", "--products", "mask", "--out", "m.jpg")[0] == 0
    assert (tmp_path / "m.jpg" / "photo_mask.tif").is_file()
