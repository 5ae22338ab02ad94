"""Zeiss's LSM files: channels, slices and sizes, without the thumbnails."""

import numpy as np
import pytest
from lsm_files import write_lsm

from cunet.data.load import load
from cunet.files import open_image


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_pages_channels_and_pixel_size(tmp_path, channels):
    stack = np.random.default_rng(0).integers(0, 256, (4, channels, 30, 41)).astype("u1")
    write_lsm(tmp_path / "a.lsm", stack)
    with open_image(tmp_path / "a.lsm") as image:
        assert (image.pages, image.channels) == (4, channels)
        for z in range(4):
            np.testing.assert_array_equal(image.read(z), stack[z].transpose(1, 2, 0))
        np.testing.assert_array_equal(
            image.read_rows(3, 7, 20), stack[3, :, 7:20].transpose(1, 2, 0)
        )
        found = image.calibration
        assert found.unit == "um" and found.xres == pytest.approx(10)
        assert found.spacing == pytest.approx(0.5)


def test_a_folder_of_lsm_files(tmp_path):
    from label_images import discs
    from PIL import Image

    for name in ("images", "labels"):
        (tmp_path / name).mkdir()
    for i in range(2):
        mask = (discs(5, i) > 0).astype("u1")
        write_lsm(tmp_path / f"images/a{i}.lsm", mask[None, None] * 90)
        Image.fromarray(mask).save(tmp_path / f"labels/a{i}.png")
    data = load(tmp_path)
    assert data.slice_names == ("a0", "a1") and data.images[0].shape == (64, 64, 1)


def test_a_plain_tiff_called_lsm_is_read(tmp_path):
    import tifffile

    tifffile.imwrite(tmp_path / "a.lsm", np.eye(9, dtype="u1"))
    with open_image(tmp_path / "a.lsm") as image:
        np.testing.assert_array_equal(image.read(0)[..., 0], np.eye(9))
