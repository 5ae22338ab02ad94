"""Values that are finite but useless: never a product of NaN, always the name of the culprit."""

from dataclasses import replace

import numpy as np
import pytest
import tifffile

import cunet
from cunet.errors import DataError, NumericError
from cunet.files import open_image
from cunet.net.normalization import Normalization
from cunet.segmentation.how import How
from cunet.segmentation.segment_file import segment_file


def make_net(**more):
    net = cunet.UNet(**{"width": 2, "depth": 1, "seed": 1} | more)
    net.normalization = Normalization((0.5,), (0.3,), (0.0,), (1.0,))
    return net


def grey(dtype="f8"):
    return np.random.default_rng(0).random((60, 50)).astype(dtype)


NETS = {
    "usual": make_net(),
    "per image": make_net(),
    "resized": make_net(padding="same", resize=16),
    "float64": make_net(dtype="float64"),
}
NETS["per image"].normalization = replace(NETS["per image"].normalization, per_image=True)


@pytest.mark.parametrize("net", NETS.values(), ids=NETS)
@pytest.mark.parametrize(
    ("value", "words"),
    [(1e39, "1e.39 in 1 pixel"), (np.finfo("f4").min, "-3.4.*e.38 in 1"), (np.nan, "NaN")],
)
def test_one_pixel_is_named(net, value, words):
    image = grey()
    image[45, 30] = value
    with pytest.raises(DataError, match=f"image holds {words}.*row 45"):
        cunet.segment(image, net, 28)


@pytest.mark.parametrize("net", [NETS["usual"], NETS["per image"]], ids=["usual", "per image"])
def test_a_large_level_takes_no_contrast(net):
    """The same picture 1e9 higher, by a network that was trained there."""
    image = np.round(grey() * 1024) / 1024  # exact also when 2^30 is added
    expected = cunet.segment(image, net, 28)
    high = make_net()
    high.normalization = replace(net.normalization, mean=(0.5 + 2.0**30,))
    assert np.ptp(expected[..., 1]) > 0.05
    np.testing.assert_allclose(cunet.segment(image + 2.0**30, high, 28), expected, atol=1e-5)


def test_a_large_level_survives_scaling():
    image = np.round(grey() * 1024) / 1024
    net = make_net(padding="same", resize=16)
    net.normalization = replace(net.normalization, per_image=True)
    expected = cunet.segment(image, net)
    assert np.ptp(expected[..., 1]) > 0.01
    np.testing.assert_allclose(cunet.segment(image + 2.0**30, net), expected, atol=1e-4)


def test_a_pixel_far_out_is_not_told_as_a_bad_model():
    image = grey("f4")
    image[45, 30] = 1e29
    net = make_net()
    net.normalization = replace(net.normalization, deviation=(1e-12,))
    with pytest.raises(DataError, match="image, rows 36 to 47: pixels lie .* deviations from"):
        cunet.segment(image, net, 28)


@pytest.mark.parametrize("more", [{}, {"classes": 3}, {"padding": "same", "resize": 16}])
def test_weights_that_overflow_are_told_as_the_model(more):
    net = make_net(**more)
    for p in net.parameters():
        p.value[...] = np.float32(1e30) * (np.sign(p.value) + 0.5)
    for average in ("none", "rotations"):
        with pytest.raises(NumericError, match="image.*returns NaN.*use another model"):
            cunet.segment(grey(), net, 28, average)


@pytest.mark.parametrize("dtype", ["c8", "O", "U4", "M8[s]"])
def test_what_is_no_number(dtype):
    with pytest.raises(cunet.CunetError, match="real numbers") as caught:
        cunet.segment(np.zeros((30, 30)).astype(dtype), make_net())
    assert caught.value.exit_code == 2


def test_no_file_is_left_behind(tmp_path):
    image = grey("f4")
    image[59, 0] = np.finfo("f4").min
    tifffile.imwrite(tmp_path / "a.tif", np.stack([grey("f4"), image]), photometric="minisblack")
    out = tmp_path / "out"
    out.mkdir()
    targets = {name: out / f"{name}.tif" for name in ("prob", "mask", "labels")}
    with open_image(tmp_path / "a.tif") as opened:
        with pytest.raises(DataError, match=r"a.tif' page 1 holds -3.4.*\(row 59\).*no data"):
            segment_file(opened, make_net(), targets, How(tile=28))
        assert list(out.iterdir()) == []
        assert segment_file(opened, make_net(), targets, How(tile=28), [0]).warnings is not None
    assert np.isfinite(tifffile.imread(out / "prob.tif")).all()


def test_a_segmentation_warns_of_a_value_that_stands_apart(tmp_path):
    """-9999 where nothing was imaged, and the tag in which geographic images say so."""
    page = (100 + 50 * grey()).astype(np.float32)
    net = make_net()
    net.normalization = Normalization((125.0,), (15.0,), (100.0,), (150.0,))

    def warnings(page, **more):
        tifffile.imwrite(tmp_path / "a.tif", page, **more)
        with open_image(tmp_path / "a.tif") as image:
            return segment_file(image, net, {"mask": tmp_path / "m.tif"}, How(tile=28)).warnings

    assert warnings(page) == []
    page[:, :9] = -9999
    found = warnings(page)
    assert any("a.tif: -9999 in some pixels, all others" in text for text in found)
    found = warnings(page, extratags=[(42113, "s", 0, "-9999", True)])
    said = "a.tif: its metadata call -9999 'no data', which here counts as grey"
    assert said in found
    tag = [(42113, "s", 0, "0", True)]  # but no pixel is 0
    assert not any("metadata" in text for text in warnings(np.abs(page) + 1, extratags=tag))
