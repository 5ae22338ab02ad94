"""Windows of pages, against slices of the whole, and what is decoded for them."""

import numpy as np
import pytest
import tifffile
from inputs import noise

from cunet.files import as_grey, open_image
from cunet.files.image_file import ArrayImage

WINDOWS = [(0, 61, 0, 45), (5, 33, 7, 20), (60, 61, 44, 45), (16, 32, 16, 32), (9, 9, 3, 8)]
LAYOUTS = {
    "raw": {},
    "raw strips": {"rowsperstrip": 7},
    "zlib strips": {"rowsperstrip": 7, "compression": "zlib", "predictor": True},
    "one zlib strip": {"compression": "zlib", "rowsperstrip": 61},
    "raw tiles": {"tile": (16, 32)},
    "zlib tiles": {"tile": (32, 16), "compression": "zlib", "predictor": True},
}
SAMPLES = {
    "grey": ((3, 61, 45), {"photometric": "minisblack"}),
    "colours": ((3, 61, 45, 3), {"photometric": "rgb"}),
    "planes": ((3, 3, 61, 45), {"photometric": "rgb", "planarconfig": "separate"}),
    "alpha in a plane": (
        (3, 4, 61, 45),
        {"photometric": "rgb", "planarconfig": "separate", "extrasamples": ["unassalpha"]},
    ),
    "channels": ((3, 2, 61, 45), {"photometric": "minisblack", "metadata": {"axes": "ZCYX"}}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("samples", SAMPLES)
def test_a_window_is_a_slice_of_the_page(tmp_path, layout, samples):
    shape, options = SAMPLES[samples]
    data, path = noise(shape, "uint16"), tmp_path / "a.ome.tif"
    tifffile.imwrite(path, data, ome=samples == "channels", **options, **LAYOUTS[layout])
    whole = data if data.shape[-1] == 3 else np.moveaxis(data.reshape(3, -1, 61, 45), 1, -1)
    whole = whole[..., :3]
    with open_image(path) as image:
        for r0, r1, c0, c1 in WINDOWS:
            window = image.read_window(1, r0, r1, c0, c1)
            np.testing.assert_array_equal(window, whole[1, r0:r1, c0:c1])
            block = image.read_block(1, 3, r0, r1, c0, c1)
            np.testing.assert_array_equal(block, whole[1:3, r0:r1, c0:c1])
        np.testing.assert_array_equal(image.read_rows(2, 15, 34), whole[2, 15:34])


@pytest.mark.parametrize(
    ("window", "tiles"),
    [((0, 61, 0, 45), 12), ((16, 32, 16, 32), 1), ((15, 33, 20, 21), 3), ((40, 41, 0, 45), 3)],
)
@pytest.mark.parametrize("planar", ["contig", "separate"])
def test_only_the_tiles_of_a_window_are_decoded(tmp_path, monkeypatch, window, tiles, planar):
    data = noise((61, 45, 3), "uint8")
    stored = data if planar == "contig" else np.moveaxis(data, -1, 0)
    tifffile.imwrite(
        tmp_path / "a.tif", stored, photometric="rgb", planarconfig=planar, tile=(16, 16),
        compression="zlib",
    )  # fmt: skip
    read = []
    original = tifffile.FileHandle.read_segments

    def counted(self, offsets, sizes, indices, **options):
        read.extend(indices)
        return original(self, offsets, sizes, indices, **options)

    monkeypatch.setattr(tifffile.FileHandle, "read_segments", counted)
    r0, r1, c0, c1 = window
    with open_image(tmp_path / "a.tif") as image:
        np.testing.assert_array_equal(image.read_window(0, *window), data[r0:r1, c0:c1])
    assert len(set(read)) == len(read) == tiles * (1 if planar == "contig" else 3)


def test_windows_of_a_png_of_an_array_and_of_grey_saved_as_colours(save):
    data = noise((20, 30), "uint8")
    with open_image(save("a.png", data)) as image:
        np.testing.assert_array_equal(image.read_window(0, 3, 9, 5, 25)[..., 0], data[3:9, 5:25])
    image = ArrayImage(data[None, ..., None], "an array")
    np.testing.assert_array_equal(image.read_window(0, 3, 9, 5, 25)[..., 0], data[3:9, 5:25])
    with as_grey(open_image(save("grey.png", np.repeat(data[..., None], 3, 2)))) as image:
        window = image.read_window(0, 3, 9, 5, 25)
    assert window.shape == (6, 20, 1)
    np.testing.assert_array_equal(window[..., 0], data[3:9, 5:25])


@pytest.mark.parametrize(
    ("window", "said"),
    [
        ((0, 21, 0, 5), "a.png' has 20 rows, not rows 0 to 21"),
        ((0, 5, 0, 31), "a.png' has 30 columns, not columns 0 to 31"),
        ((0, 5, -1, 5), "has 30 columns, not columns -1 to 5"),
        ((0, 5, 6, 5), "has 30 columns, not columns 6 to 5"),
    ],
)
def test_a_window_beyond_the_image_is_refused(save, window, said):
    with open_image(save("a.png", noise((20, 30), "uint8"))) as image:
        with pytest.raises(ValueError, match=said):
            image.read_window(0, *window)
        with pytest.raises(ValueError, match=said):
            image.read_block(0, 1, *window)
        with pytest.raises(ValueError, match="has 1 pages, not pages 0 to 2"):
            image.read_block(0, 2, 0, 5, 0, 5)
