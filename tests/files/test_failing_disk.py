"""A disk that fails while an image is read: the file is not called damaged."""

import errno
import os

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageFile

from cunet.data.dataset import sha256
from cunet.errors import CunetError
from cunet.files import open_image

VALUES = np.arange(48 * 48, dtype=np.uint8).reshape(48, 48)


@pytest.mark.parametrize("suffix", [".tif", ".png"])
@pytest.mark.parametrize(("number", "code"), [("EIO", 4), ("ESTALE", 4), (None, 3)])
def test_a_read_that_fails_and_one_that_finds_nonsense(tmp_path, monkeypatch, suffix, number, code):
    path = tmp_path / f"a{suffix}"
    tifffile.imwrite(path, VALUES) if suffix == ".tif" else Image.fromarray(VALUES).save(path)
    given = (getattr(errno, number), os.strerror(getattr(errno, number))) if number else ("torn",)

    def fails(*arguments, **options):
        raise OSError(*given)

    with pytest.raises(CunetError, match="a" + suffix) as caught, open_image(path) as image:
        monkeypatch.setattr(type(image), "_read_plane", fails, raising=False)
        monkeypatch.setattr(ImageFile.ImageFile, "load", fails)
        image.read(0)
    assert caught.value.exit_code == code
    assert ("cannot read" in str(caught.value)) == (code == 4)


def test_a_hash_names_its_file(tmp_path):
    with pytest.raises(CunetError, match="cannot read '.*gone.tif'"):
        sha256(tmp_path / "gone.tif")
