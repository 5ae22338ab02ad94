"""Pages of an image by number or text, and cunet.read_image."""

import numpy as np
import pytest
from PIL import Image

import cunet
from cunet.errors import CunetError, DataError


@pytest.fixture
def stack(save):
    pages = np.random.default_rng(0).integers(0, 999, (5, 7, 9)).astype(np.uint16)
    return save("s.tif", pages), pages


@pytest.mark.parametrize(
    ("pages", "chosen"),
    [
        (None, [0, 1, 2, 3, 4]),
        ("3,0-1", [3, 0, 1]),
        (2, [2]),
        (np.int64(2), [2]),
        ([4, 1], [4, 1]),
        (range(2), [0, 1]),
        (np.array([1, 3]), [1, 3]),
    ],
)
def test_pages_are_read_in_the_order_asked_for(stack, pages, chosen):
    path, array = stack
    found = cunet.read_image(path, pages)
    assert found.dtype == np.uint16 and np.array_equal(found, array[chosen][..., None])


@pytest.mark.parametrize(
    "pages", ["5", 5, [0, 9], -1, "", "1,x", "2-1", [], "0,3-2", "0-100000000", "0-9" + "9" * 5000]
)
def test_pages_that_are_not_there_are_refused(stack, pages):
    with pytest.raises(CunetError, match="--pages.*0,5,10-12"):
        cunet.read_image(str(stack[0]), pages)


def test_colours_and_indices(save, tmp_path):
    rgb = np.random.default_rng(1).integers(0, 255, (6, 5, 3)).astype(np.uint8)
    assert np.array_equal(cunet.read_image(save("c.png", rgb)), rgb[None])
    picture = Image.fromarray(rgb[..., 0] % 3)
    picture.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    picture.save(tmp_path / "p.png")
    found = cunet.read_image(tmp_path / "p.png", indices=True)
    assert np.array_equal(found[0, ..., 0], rgb[..., 0] % 3)


def test_what_is_no_image_is_refused(tmp_path):
    with pytest.raises(CunetError, match="no file"):
        cunet.read_image(tmp_path / "none.tif")
    (tmp_path / "a.tif").write_text("no image")
    with pytest.raises(DataError, match="is no image that cunet reads: expected TIFF, PNG"):
        cunet.read_image(tmp_path / "a.tif")
