"""Caffe's files: OpenCV's importer computes what we compute, files made by hand are read, and what
is no U-Net of ours is refused by name."""

import re
from dataclasses import replace

import numpy as np
import pytest
from foreign_files import (
    caffe_weights,
    caffemodel,
    caffemodel_with,
    message,
    normalised,
    small_net,
    wired,
)

import cunet
from cunet.errors import DataError
from cunet.exchange import caffe, caffe_file, caffe_layers

GREY = np.random.default_rng(0).integers(0, 256, (60, 75), dtype=np.uint8)


def same_weights(one, other):
    return all(
        np.array_equal(a.value, b.value)
        for a, b in zip(one.parameters(), other.parameters(), strict=True)
    )


@pytest.mark.parametrize(
    "shape",
    [
        {"variant": "release2015"},
        {"variant": "paper", "classes": 3, "in_channels": 3},
        {"variant": "release2015", "depth": 1, "width": 3},
        {"variant": "paper", "depth": 3, "classes": 4},
    ],
)
def test_opencv_computes_the_same_from_our_files(tmp_path, shape):
    cv2 = pytest.importorskip("cv2", reason="its importer is the judge")
    net = normalised(small_net(**shape), 120.0, 40.0)
    tile = {1: 36, 2: 60, 3: 108}[net.shape.depth]
    caffe.write(net, tmp_path / "net.caffemodel", size=tile)
    theirs = cv2.dnn.readNetFromCaffe(
        str(tmp_path / "net.prototxt"), str(tmp_path / "net.caffemodel")
    )
    x = np.random.default_rng(1).integers(0, 256, (1, tile, tile, net.shape.in_channels))
    theirs.setInput(np.ascontiguousarray(x.transpose(0, 3, 1, 2) / 255, np.float32))
    found = theirs.forward("softmax").transpose(0, 2, 3, 1)
    expected = net.probability(net(net.normalization.apply(x), remember=False))
    assert found.shape == expected.shape and expected.std() > 0.02
    np.testing.assert_allclose(found, expected, atol=1e-4)


@pytest.mark.parametrize("variant", ["release2015", "paper"])
def test_what_is_written_is_read(tmp_path, variant):
    net = normalised(small_net(variant=variant, classes=3), 0.0, 255.0)
    caffe.write(net, tmp_path / "net.caffemodel")
    found = caffe.imported(tmp_path / "net.caffemodel")
    assert found.net.shape.variant == variant and same_weights(net, found.net)
    assert found.net.normalization.deviation == (255.0,)
    assert len(found.notes) == 1  # the file lists its ReLUs


def test_a_normalisation_is_in_the_weights(tmp_path):
    net = normalised(small_net(), 130.0, 35.0)
    caffe.write(net, tmp_path / "net.caffemodel")
    again = caffe.imported(tmp_path / "net.caffemodel").net
    assert not same_weights(net, again)
    expected = cunet.segment(GREY, net, tile=60)
    np.testing.assert_allclose(cunet.segment(GREY, again, tile=60), expected, atol=1e-5)


@pytest.mark.parametrize("old", [True, False], ids=["V1", "new"])
@pytest.mark.parametrize("form", [{}, {"packed": False}, {"double": True}], ids=str)
def test_messages_made_by_hand_are_read(tmp_path, old, form):
    net = small_net(variant="release2015", in_channels=3)
    path = tmp_path / "net.caffemodel"
    path.write_bytes(caffemodel(caffe_weights(net), old, **form))
    found = caffe.imported(path, white=65535)
    assert same_weights(net, found.net) and found.net.shape.release
    assert found.net.normalization.deviation == (65535.0,) * 3
    assert "65535" in found.notes[0] and "lists no ReLU" in found.notes[1]


@pytest.mark.parametrize("old", [True, False], ids=["V1", "new"])
@pytest.mark.parametrize("variant", ["release2015", "paper"])
def test_a_file_that_lists_all_layers_is_read(tmp_path, old, variant):
    net = small_net(variant=variant)
    path = tmp_path / "net.caffemodel"
    layers = wired(variant == "release2015")
    path.write_bytes(caffemodel_with(caffe_weights(net), layers, old))
    found = caffe.imported(path)
    assert same_weights(net, found.net) and len(found.notes) == 1


def test_layers_that_caffe_puts_in_between_are_no_obstacle(tmp_path):
    """Where two layers take one array, Caffe copies it by a layer of its own; losses and the layers
    that read images may be any."""
    net = small_net()
    layers = {"augment": ("CreateDeformation", [], "warp", b"")}
    unused = {"mean": ("Reduction", ["u1d"], "mean", b"")}
    for name, (kind, bottoms, top, settings) in wired(False).items():
        twice = name.startswith(("pool", "concat"))
        ends = {"d0c": f"d0c_split_{kind}", "d1c": f"d1c_split_{kind}"} if twice else {}
        layers[name] = kind, [ends.get(one, one) for one in bottoms], top, settings
        if name in ("relu_d0c", "relu_d1c"):
            copies = [f"{top}_split_Pooling", f"{top}_split_Concat"]
            layers[f"{top}_split"] = "Split", [top], copies, b""
    path = tmp_path / "n.caffemodel"
    path.write_bytes(caffemodel_with(caffe_weights(net), layers | unused))
    found = caffe.imported(path)
    assert same_weights(net, found.net) and len(found.notes) == 1


def refusal(path, data, error=DataError):
    path.write_bytes(data)
    with pytest.raises(error) as raised:
        caffe.imported(path)
    assert str(path) in str(raised.value)
    return str(raised.value)


LEAKY = message(123, message(1, np.float32(0.1)))
AVERAGE = message(121, message(1, 1) + message(2, 2) + message(3, 2))
PADDED, GROUPS = (message(106, message(n, 1 + (n == 5))) for n in (3, 5))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"relu_d1b": ("ReLU", ["d1b"], "d1b", LEAKY)}, "relu_d1b.*leaky ReLU"),
        ({"relu_d1b": None}, "conv_d1a-b.*no ReLU"),
        ({"relu_d1b": ("PReLU", ["d1b"], "d1b", b"")}, "conv_d1b-c.*follows relu_d1b .PReLU"),
        ({"out": ("Sigmoid", ["score"], "p", b"")}, "'out'.*a sigmoid of the score"),
        ({"relu_u0a": ("ReLU", ["u0a"], "u0a", b"")}, "upconv_u1d_u0a.*phseg_v7"),
        ({"relu_score": ("ReLU", ["score"], "score", b"")}, "conv_u0d-score.*a ReLU"),
        ({"pool_d0c-1a": ("Pooling", ["d0c"], "d1a", AVERAGE)}, "pool_d0c-1a.*not the maximum"),
        ({"pool_d0c-1a": ("Pooling", ["d0c"], "d1a", message(121, message(2, 2)))}, "stride 1"),
        ({"conv_d1b-c": ("Convolution", ["d1b"], "d1c", PADDED)}, "conv_d1b-c.*padding"),
        ({"conv_d1b-c": ("Convolution", ["d1b"], "d1c", GROUPS)}, "conv_d1b-c.*filter groups"),
        ({"conv_d1b-c": ("Convolution", ["d0c"], "d1c", b"")}, "conv_d1b-c.*follows conv_d0b-c"),
        ({"pool_d0c-1a": ("Dropout", ["d0c"], "d1a", b"")}, "expected 2 poolings, found 1"),
    ],
)  # fmt: skip
def test_networks_of_other_layers_are_refused(tmp_path, changed, words):
    data = caffemodel_with(caffe_weights(small_net()), wired(False, changed=changed))
    assert re.search(words, refusal(tmp_path / "n.caffemodel", data))


def test_a_skip_that_comes_first_is_refused(tmp_path):
    data = caffemodel_with(caffe_weights(small_net()), wired(False, first="skip"))
    said = refusal(tmp_path / "n.caffemodel", data)
    assert "conv_u1b-c" in said and "expected upconv_d2c_u1a and conv_d1b-c" in said


def test_weights_that_do_not_fit_are_refused(tmp_path):
    path, weights = tmp_path / "n.caffemodel", caffe_weights(small_net())
    w, b = weights["conv_u1b-c"]
    missing = {n: v for n, v in weights.items() if n != "conv_u1b-c"}
    assert "'conv_u1b-c' of the authors' U-Net is missing" in refusal(path, caffemodel(missing))
    wrong = weights | {"conv_u1b-c": (w[:, :4], b)}
    said = refusal(path, caffemodel(wrong))
    assert "(4, 8, 3, 3) and 4 biases" in said and "found (4, 4, 3, 3) and (4,)" in said
    more = weights | {"bn_d0b": (b, b)}
    assert "'bn_d0b'" in refusal(path, caffemodel(more))
    wide = np.zeros((4, 4, 3, 3)), np.zeros(4)  # 128 instead of 64, as in 2d_cell_net_v0
    assert "leaky" in refusal(path, caffemodel(weights | {"conv_u0b-c": wide}))
    for value in (np.nan, np.inf, 1e39):
        bad = b.astype(np.float64)
        bad[1] = value
        said = refusal(path, caffemodel(weights | {"conv_u1b-c": (w, bad)}, double=True))
        assert "'conv_u1b-c' holds NaN or infinity" in said
    twice = caffemodel(weights) + caffemodel({"conv_u1b-c": (w, b)})
    assert "two layers 'conv_u1b-c'" in refusal(path, twice)
    assert "empty" in refusal(path, b"")


def test_layers_are_those_of_the_authors_network():
    """The 23 layers with weights of phseg_v5, their channels, and where its skips are cropped."""
    shape = cunet.UNet(width=1, variant="release2015").shape
    layers = {one.name: one for one in caffe_layers.layers(shape)}
    names = list(caffe_layers.names(4).values())
    assert len(names) == 23 and names[9:12] == ["conv_d4b-c", "upconv_d4c_u3a", "conv_u3b-c"]
    outputs = [layers[n].settings["convolution_param"]["num_output"][0] for n in names]
    down, up = [1, 1, 2, 2, 4, 4, 8, 8, 16, 16], [8, 8, 8, 4, 4, 4, 2, 2, 2, 2, 1, 1]
    assert outputs == [*down, *up, 2]
    crops = [layers[f"crop_d{i}c-d{i}cc"].settings["crop_param"]["offset"] for i in range(4)]
    assert crops == [[88, 88], [40, 40], [16, 16], [4, 4]]


def test_what_caffe_cannot_hold_is_refused(tmp_path):
    per_image = small_net()
    per_image.normalization = replace(per_image.normalization, per_image=True)
    for net, words in (
        (small_net(batch_norm=True), "batch normalization"),
        (small_net(sigmoid=True), "a sigmoid"),
        (small_net(padding="same"), "same padding"),
        (per_image, "its own mean"),
    ):
        with pytest.raises(cunet.CunetError, match=words):
            caffe.write(net, tmp_path / "n.caffemodel")
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten_unasked(tmp_path):
    path, text = tmp_path / "n.caffemodel", tmp_path / "n.prototxt"
    text.write_text("mine")
    with pytest.raises(cunet.CunetError, match="n.prototxt' exists"):
        cunet.export(small_net(), path)
    assert text.read_text() == "mine" and not path.exists()
    notes = cunet.export(small_net(), path, overwrite=True)["notes"]
    assert any("/ 255" in note for note in notes)
    assert "# input: grey values / 255" in text.read_text()
    nan = small_net()
    nan.parameters()[3].value[0] = np.nan
    before = path.read_bytes()
    with pytest.raises(cunet.CunetError, match="conv_d0b-c.*NaN"):
        caffe.write(nan, path)
    assert path.read_bytes() == before


def test_limits(tmp_path):
    path = tmp_path / "n.caffemodel"
    for data, words in (
        (message(100, b"") * 10_001, "10,000 layers"),
        (message(100, message(3, "") * 1001), "1,000 inputs"),
        (message(100, message(7, b"") * 101), "100 blobs"),
        (message(100, message(1, b"\xff\xff")), "utf-8"),
        (message(100, message(7, message(5, b"123"))), "cut off"),
        (message(100, message(7, message(5, b"1234") + message(1, 1 << 40))), "holds 1 numbers"),
    ):
        path.write_bytes(data)
        with pytest.raises(DataError, match=words):
            caffe_file.read(path)
