"""An image shown to a network at the network's pixel size and polarity: products as of the image
that the network knows, and a warning where it is neither."""

import csv
import re
import warnings

import numpy as np
import pytest
import tifffile

import cunet
from cunet.data.synthetic import membranes
from cunet.errors import CunetError, DataError, DeviceError
from cunet.files import open_image
from cunet.files.calibration import Calibration
from cunet.files.pixel_size import PixelSize
from cunet.net.trained_on import TrainedOn
from cunet.segmentation.view import view_of

SIDE = 128


@pytest.fixture(scope="module")
def bundled():
    return cunet.load("bundled")


@pytest.fixture(scope="module")
def em():
    """An image (128, 128) uint8 such as the bundled network knows."""
    return membranes(1, SIDE, SIDE, seed=2)[0][0]


def small(size="4nm", **more):
    """A network of random weights that knows a pixel size."""
    net = cunet.UNet(**{"width": 1, "depth": 1} | more)
    net.trained_on = TrainedOn(None if size is None else PixelSize.parse(size), (-0.3, -0.2))
    return net


def calibrated(path, image, nm):
    """A TIFF of ImageJ, an image or slices, with pixels of this (height, width) in nm."""
    more = {"axes": "ZYX"} if image.ndim == 3 else {}
    tifffile.imwrite(path, image, imagej=True, resolution=(1 / nm[1], 1 / nm[0]),
                     metadata={"unit": "nm"} | more)  # fmt: skip


def test_an_image_of_twice_as_many_pixels_of_half_the_size_gives_the_same_mask(bundled, em):
    expected = cunet.segment(em, bundled)[..., 1] > 0.5
    assert 0.2 < expected.mean() < 0.95
    large = em.repeat(2, 0).repeat(2, 1)
    found = cunet.segment(large, bundled, pixel_size="2nm", rescale=True)
    assert found.shape == (2 * SIDE, 2 * SIDE, 2) and found.dtype == np.float32
    np.testing.assert_allclose(found.sum(axis=2), 1, atol=1e-5)
    same = (found[..., 1] > 0.5) == expected.repeat(2, 0).repeat(2, 1)
    with warnings.catch_warnings(record=True):
        warnings.simplefilter("always")
        as_is = cunet.segment(large, bundled, pixel_size="2nm")[..., 1] > 0.5
    assert same.mean() > 0.95
    assert (as_is == expected.repeat(2, 0).repeat(2, 1)).mean() < same.mean() - 0.05


def test_each_axis_has_a_scale_of_its_own(bundled, em):
    expected = cunet.segment(em, bundled)[..., 1] > 0.5
    wide = em.repeat(3, 1)  # pixels 4 nm high and 4/3 nm wide
    found = cunet.segment(wide, bundled, pixel_size="12 x 4 angstrom", rescale=True)
    assert found.shape == (SIDE, 3 * SIDE, 2)
    found = cunet.segment(wide, bundled, pixel_size="4 x 1.333333333nm", rescale=True)
    assert ((found[..., 1] > 0.5) == expected.repeat(3, 1)).mean() > 0.95


def test_averaging_shrinks_and_lines_enlarge():
    image = np.random.default_rng(0).integers(0, 255, (40, 60)).astype(np.uint8)
    view = view_of(small(), Calibration(), 40, 60, "2nm", rescale=True)
    assert view.to == (20, 30) and view.said.startswith("rescaled from 2 nm to 4 nm a pixel")
    seen = []

    def bands(read_rows, height, width):
        seen.append(read_rows(0, height))
        yield 0, np.full((height, width, 2), 0.5, np.float32)

    ((first, found),) = view.bands(bands, lambda r0, r1: image[r0:r1, :, None], 40, 60)
    assert first == 0 and found.shape == (40, 60, 2)
    assert seen[0].shape == (20, 30, 1)
    # the mean of 4 x 4 pixels, of weights 1 3 3 1 along each axis
    weights = np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64
    expected = (image[3:7, 5:9] * weights).sum()
    assert seen[0][2, 3, 0] == pytest.approx(expected, rel=1e-5)


def test_pixels_of_the_network_s_size_are_left_alone():
    net, image = small(), np.random.default_rng(1).random((50, 50))
    same = cunet.segment(image, net, pixel_size="4nm", rescale=True)
    assert np.array_equal(same, cunet.segment(image, net))


@pytest.mark.parametrize(
    ("net", "given", "why"),
    [
        (small(), None, "'a.tif' does not say.*--pixel-size 8nm"),
        (small(None), "8nm", "models add MODEL --pixel-size 4nm"),
        (small(resize=64), "8nm", "scales every image to 64 x 64 pixels.*leave it out"),
        (small(), "0.1nm", "too few to segment; is the pixel size right"),
        (small(), "8", "without a unit"),
    ],
)
def test_what_cannot_be_rescaled_is_refused_with_what_to_give(net, given, why):
    with pytest.raises(CunetError, match=why):
        view_of(net, Calibration(), 500, 500, given, rescale=True, name="'a.tif'")


def test_an_image_that_no_memory_holds_is_refused_before_it_is_made():
    with pytest.raises(DeviceError, match="1,000,000 x 1,000,000 pixels, about .* TB"):
        view_of(small(), Calibration(), 500, 500, "8um", rescale=True)


@pytest.mark.parametrize(
    ("net", "given", "file", "warning"),
    [
        (small(), "8nm", None, "measure 8 nm, those that the network was trained on 4 nm"),
        (small(), None, Calibration(0.125, 0.125, "nm"), "measure 8 nm.*give --rescale"),
        (small(), "5nm", Calibration(0.125, 0.125, "nm"), "^its file says.* 8 nm; 5 nm counts.*n$"),
        (small(), "4.02nm", Calibration(0.25, 0.25, "nm"), ""),
        (small(), "8nm", Calibration(0.25, 0.25, "nm"), "8 nm counts.*; its pixels measure"),
        (small(), None, Calibration(0.25, 0.125, "nm"), "measure 8 x 4 nm"),
        (small(), None, Calibration(), ""),
        (small(None), None, Calibration(0.125, 0.125, "nm"), ""),
        (small(None), "8nm", None, "changes no probability"),
        (small(resize=64), "8nm", None, "changes no probability.*64 x 64"),
    ],
)
def test_another_pixel_size_is_a_warning_that_names_both(net, given, file, warning):
    found = view_of(net, file or Calibration(), 50, 50, given).warning
    if warning:
        assert re.search(warning, found)
    else:
        assert found == ""


def test_python_is_warned_too():
    image = np.random.default_rng(1).random((50, 50))
    with pytest.warns(UserWarning, match="8 nm.*4 nm.*rescale=True") as caught:
        cunet.segment(image, small(), pixel_size="8nm")
    assert caught[0].filename == __file__


def test_an_inverted_image_is_told_and_inverted(bundled, em, tmp_path, run):
    image = membranes(1, 256, 256, seed=2)[0][0]
    tifffile.imwrite(tmp_path / "right.tif", image)
    tifffile.imwrite(tmp_path / "turned.tif", 255 - image)
    at = ["--model", "bundled", "--device", "cpu", "--products", "mask", "--out", tmp_path]
    masks = {}
    for name, options, told in (
        ("right", [], ""),
        ("turned", ["--invert"], ""),
        ("right", ["--invert", "--overwrite"], "leave --invert out"),
        ("turned", ["--overwrite"], "looks inverted.*--invert"),
    ):
        code, _, err = run("segment", tmp_path / f"{name}.tif", *at, *options)
        assert code == 0, err
        warned = [line for line in err.splitlines() if line.startswith("warning")]
        assert len(warned) == bool(told), warned
        masks[name, *options] = tifffile.imread(tmp_path / f"{name}_mask.tif")
    assert np.array_equal(masks["right",], masks["turned", "--invert"])
    np.testing.assert_array_equal(
        cunet.segment(255 - em, bundled, invert=True), cunet.segment(em, bundled)
    )
    with pytest.warns(UserWarning, match="looks inverted.*give invert=True") as caught:
        cunet.segment(255 - image, bundled)
    assert caught[0].filename == __file__
    with pytest.warns(UserWarning, match="leave invert out"):
        cunet.segment(image, bundled, invert=True)


def test_products_have_the_size_and_calibration_of_the_image(tmp_path, run):
    net = small()
    cunet.save(tmp_path / "net.npz", net)
    image = np.random.default_rng(0).integers(0, 255, (60, 90)).astype(np.uint8)
    calibrated(tmp_path / "a.tif", image, (2, 3))
    out = tmp_path / "out"
    at = ["segment", tmp_path / "a.tif", "--model", tmp_path / "net.npz", "--device", "cpu"]
    at += ["--out", out]
    products = "prob,mask,labels,overlay"
    code, _, err = run(*at, "--rescale", "--products", products)
    assert code == 0 and "rescaled from 2 x 3 nm to 4 nm a pixel: 30 x 68 pixels" in err, err
    expected = cunet.segment(image, net, pixel_size="2x3nm", rescale=True)[..., 1]
    np.testing.assert_allclose(tifffile.imread(out / "a_prob.tif"), expected, atol=1e-6)
    for product in ("prob", "mask", "labels"):
        with tifffile.TiffFile(out / f"a_{product}.tif") as file:
            assert file.pages.first.shape == (60, 90)
            x, y = (file.pages.first.tags[f"{axis}Resolution"].value for axis in "XY")
            assert (x[1] / x[0], y[1] / y[0]) == pytest.approx((3, 2))
    code, _, err = run(*at, "--rescale", "--products", products)
    assert code == 0 and "already done" in err
    code, _, err = run(*at, "--products", products)
    assert code == 2 and "made with other settings" in err


@pytest.mark.parametrize("unit", ["um", "inch"])
def test_products_have_the_pixel_size_that_is_given(tmp_path, run, unit):
    net = small(width=4)
    cunet.save(tmp_path / "net.npz", net)
    image = np.random.default_rng(0).integers(0, 255, (2, 60, 90)).astype(np.uint8)
    calibrated(tmp_path / "a.tif", image, (4, 4))  # wrong, and the next says nothing
    tifffile.imwrite(tmp_path / "b.tif", image, photometric="minisblack")
    at = ["segment", tmp_path / "a.tif", tmp_path / "b.tif", "--model", tmp_path / "net.npz"]
    at += ["--device", "cpu", "--out", tmp_path / "out", "--products", "table,mask"]
    at += ["--threshold", f"{cunet.segment(image[0], net)[..., 1].mean():.6f}"]
    factor = {"um": 1.0, "inch": 25400.0}[unit]
    size = ["--pixel-size", f"{0.5 / factor!r} x {0.25 / factor!r} {unit}"]
    code, _, err = run(*at, *size)
    assert code == 0 and err.count("its file says") == 1 and "a.tif: its file says" in err, err
    for name in "ab":
        with open(tmp_path / "out" / f"{name}_table.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert rows
        for row in rows:
            assert float(row["area_um2"]) == pytest.approx(0.125 * int(row["area"]), rel=1e-5)
            assert float(row["x_um"]) == pytest.approx(0.25 * float(row["x"]), rel=1e-5)
            assert float(row["y_um"]) == pytest.approx(0.5 * float(row["y"]), rel=1e-5)
        with open_image(tmp_path / "out" / f"{name}_mask.tif") as mask:
            sides = PixelSize.of(mask.calibration)
        assert sides is not None and sides.metres == pytest.approx((5e-7, 2.5e-7), rel=1e-5)
    code, _, err = run(*at, *size)
    assert code == 0 and err.count("already done") == 2
    for other in ([], ["--pixel-size", "8nm"]):  # a table of other units is not up to date
        code, _, err = run(*at, *other)
        assert code == 2 and "made with other settings" in err


def test_a_size_that_the_file_says_itself_changes_nothing(tmp_path, run):
    cunet.save(tmp_path / "net.npz", small())
    calibrated(tmp_path / "a.tif", np.arange(3600, dtype=np.uint16).reshape(60, 60), (4, 4))
    at = ["segment", tmp_path / "a.tif", "--model", tmp_path / "net.npz", "--device", "cpu"]
    at += ["--out", tmp_path / "out", "--products", "prob"]
    assert run(*at)[0] == 0
    code, _, err = run(*at, "--pixel-size", "0.004um")
    assert code == 0 and "already done" in err and "warning" not in err


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_value_that_is_no_number_is_named_by_its_row_where_the_image_is_inverted(
    tmp_path, run, value
):
    net = small()
    cunet.save(tmp_path / "net.npz", net)
    image = np.random.default_rng(0).random((60, 60)).astype(np.float32)
    image[3, 5] = value
    with pytest.raises(DataError, match=r"in 1 pixel \(row 3\)"):
        cunet.segment(image, net, invert=True)
    tifffile.imwrite(tmp_path / "a.tif", image)
    at = ["--model", tmp_path / "net.npz", "--device", "cpu", "--out", tmp_path / "out"]
    code, _, err = run("segment", tmp_path / "a.tif", *at, "--invert")
    assert code != 0 and "in 1 pixel (row 3)" in err, err


def test_no_data_is_told_of_an_inverted_image_too(tmp_path, run):
    cunet.save(tmp_path / "net.npz", small())
    image = np.random.default_rng(0).integers(100, 200, (60, 60)).astype(np.int16)
    image[:20] = -9999
    tifffile.imwrite(tmp_path / "a.tif", image, extratags=[(42113, "s", 0, "-9999", True)])
    at = ["segment", tmp_path / "a.tif", "--model", tmp_path / "net.npz", "--device", "cpu"]
    at += ["--out", tmp_path / "out", "--products", "prob"]
    for options in ([], ["--invert", "--overwrite"]):
        code, _, err = run(*at, *options)
        assert code == 0 and "call -9999 'no data'" in err, err


def test_a_volume_is_compared_but_not_changed(tmp_path, run):
    cunet.save(tmp_path / "net.npz", small())
    calibrated(tmp_path / "v.tif", np.zeros((3, 40, 40), np.uint8) + 7, (8, 8))
    at = ["segment", tmp_path / "v.tif", "--model", tmp_path / "net.npz", "--device", "cpu"]
    at += ["--out", tmp_path / "v.ome.zarr"]
    for option, why in (("--rescale", "give --level"), ("--invert", "Fiji: Edit > Invert")):
        code, _, err = run(*at, option)
        assert code == 2 and why in err and not (tmp_path / "v.ome.zarr").exists()
    code, _, err = run(*at)
    assert code == 0 and "measure 8 nm, those that the network was trained on 4 nm" in err, err
    code, _, err = run(*at, "--pixel-size", "4nm", "--overwrite")
    assert code == 0 and "measure" not in err
    assert "that of the output is that of its source, 8 nm" in err
    code, _, err = run(*at, "--pixel-size", "8nm")
    assert code == 0 and "that of the output" not in err
