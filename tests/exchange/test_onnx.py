"""ONNX files against other programs: onnx's checker, and onnxruntime's results against cunet's."""

import hashlib
import json
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
from random_nets import VARIANTS, random_net

import cunet
from cunet.errors import CunetError, NumericError
from cunet.exchange import onnx_file, onnx_graph
from cunet.exchange.onnx_file import described, to_bytes
from cunet.exchange.onnx_graph import least_side
from cunet.net.tiles import usual_tile

CLOSE = 3e-5  # of probabilities; logits here are as large as 30, in 7 digits


def runs(data, image):
    """What onnxruntime makes of images (N, H, W, C) by the file, (N, P, Q, K)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    (found,) = session.run(["probability"], {"image": image.transpose(0, 3, 1, 2).copy()})
    assert found.dtype == np.float32
    return found.transpose(0, 2, 3, 1)


def images(net, *sides, count=1, seed=5):
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 256, (count, *sides, net.shape.in_channels))
    return values.astype(np.float32)


def of_tiles(net, x):
    """What the network itself makes of tiles of raw values."""
    return net.probability(net(net.normalization.apply(x, net.dtype), remember=False))


def of_whole(net, image):
    return cunet.segment(image, net, tile=usual_tile(net.shape.depth, net.shape.padding))


def metadata(data):
    return {prop.key: prop.value for prop in onnx.load_from_string(data).metadata_props}


def checked(data):
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    return model


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("variant", VARIANTS)
def test_tiles_of_every_variant(variant, depth):
    net = random_net(depth=depth, **VARIANTS[variant])
    data = to_bytes(net)
    checked(data)
    least, step = least_side(net.shape, False), 2**depth
    for sides, count in (((least, least), 1), ((least + step, least + 3 * step), 2)):
        x = images(net, *sides, count=count)
        expected = of_tiles(net, x)
        assert expected.std() > 1e-3
        np.testing.assert_allclose(runs(data, x), expected, rtol=0, atol=CLOSE)


@pytest.mark.parametrize("depth", [1, 2, 3, 4])
@pytest.mark.parametrize("variant", VARIANTS)
def test_mirrored_images_are_what_segment_makes_of_them(variant, depth):
    net = random_net(depth=depth, **VARIANTS[variant])
    data = to_bytes(net, mirror=True)
    checked(data)
    least, step = least_side(net.shape, True), 2**depth
    for sides in ((least, least), (least + step, least + 2 * step)):
        (image,) = images(net, *sides)
        np.testing.assert_allclose(runs(data, image[None])[0], of_whole(net, image), 0, CLOSE)


def test_the_least_sizes():
    sizes = [least_side(cunet.UNet(width=1, depth=d).shape, True) for d in (1, 2, 3, 4)]
    assert sizes == [10, 24, 56, 112]
    assert least_side(cunet.UNet(width=1, depth=4).shape, False) == 188
    assert onnx_graph.mirrored_border(4) == (92, 96)


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("padding", ["valid", "same"])
def test_a_size_that_does_not_fit_is_an_error_there_too(mirror, padding):
    """Never another result: a side between two that fit, or below the least."""
    net = random_net(padding=padding)
    data, least = to_bytes(net, mirror=mirror), least_side(net.shape, mirror)
    for side in (least - 4, least + 1, least + 2, least + 3):
        if side > 0:
            with pytest.raises(Exception, match="ONNXRuntimeError"):
                runs(data, images(net, side, least))
            with pytest.raises(Exception, match="ONNXRuntimeError"):
                runs(data, images(net, least + 8, side))


@pytest.mark.parametrize("mirror", [False, True])
def test_a_fixed_size(mirror):
    net = random_net(classes=3)
    size = 44 if mirror else 52
    data = to_bytes(net, mirror=mirror, size=size)
    model = checked(data)
    shapes = [
        [d.dim_value for d in value.type.tensor_type.shape.dim]
        for value in (model.graph.input[0], model.graph.output[0])
    ]
    out = size if mirror else size - 40
    assert shapes == [[1, 1, size, size], [1, 3, out, out]]
    x = images(net, size, size)
    expected = of_whole(net, x[0])[None] if mirror else of_tiles(net, x)
    np.testing.assert_allclose(runs(data, x), expected, rtol=0, atol=CLOSE)
    with pytest.raises(Exception, match="ONNXRuntimeError"):
        runs(data, images(net, size + 4, size))


def test_float16_stores_what_a_model_of_half_the_size_stores(tmp_path):
    net = random_net(width=8, batch_norm=True)
    whole, half = to_bytes(net), to_bytes(net, float16=True)
    assert len(half) < 0.6 * len(whole)
    model = checked(half)
    kinds = {t.name: t.data_type for t in model.graph.initializer}
    assert {k for n, k in kinds.items() if n.endswith(".filters.float16")} == {10}
    assert {k for n, k in kinds.items() if n.endswith((".mean", ".gamma"))} == {1}
    x = images(net, 52, 52)
    rounded = random_net(width=8, batch_norm=True)
    for p in rounded.parameters():
        if p.name.endswith("filters"):
            p.value[...] = p.value.astype(np.float16)
    np.testing.assert_allclose(runs(half, x), of_tiles(rounded, x), rtol=0, atol=CLOSE)
    assert 0 < np.abs(runs(half, x) - of_tiles(net, x)).max() < 0.02
    net.layers()[0].w.value[0, 0, 0, 0] = 1e5
    with pytest.raises(NumericError, match="contract0.conv1.filters.*float16"):
        to_bytes(net, float16=True)
    to_bytes(net)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_not_written(value, tmp_path):
    net = random_net()
    net.parameters()[1].value[0] = value
    with pytest.raises(NumericError, match="contract0.conv1.biases"):
        onnx_file.write(net, tmp_path / "net.onnx")
    assert list(tmp_path.iterdir()) == []


def test_float64_is_rounded_to_float32():
    net = random_net(dtype="float64")
    x = images(net, 52, 52)
    np.testing.assert_allclose(runs(to_bytes(net), x), of_tiles(net, x), rtol=0, atol=CLOSE)


@pytest.mark.parametrize("padding", ["valid", "same"])
def test_images_that_are_normalised_by_themselves(padding):
    net = random_net(padding=padding, in_channels=2)
    net.normalization = replace(net.normalization, per_image=True)
    data = to_bytes(net, mirror=True)
    checked(data)
    plain = images(net, 44, 52)[0]
    for scale, shift in ((1, 0), (1e-4, 0), (300, 20_000)):
        image = (plain * np.float32(scale) + np.float32(shift)).astype(np.float32)
        np.testing.assert_allclose(runs(data, image[None])[0], of_whole(net, image), 0, CLOSE)
    constant = plain.copy()
    constant[..., 1] = 0.1
    np.testing.assert_allclose(runs(data, constant[None])[0], of_whole(net, constant), 0, CLOSE)
    two = images(net, 44, 44, count=2) * np.array([1, 3], "f4").reshape(2, 1, 1, 1)
    for found, image in zip(runs(data, two), two, strict=True):
        np.testing.assert_allclose(found, of_whole(net, image), 0, CLOSE)
    with pytest.raises(CunetError, match="each image by the mean.*--mirror"):
        to_bytes(net)


def test_what_cannot_be_exported_is_named():
    with pytest.raises(CunetError, match="64 x 64 pixels first.*ONNX"):
        to_bytes(cunet.UNet(width=1, depth=1, resize=64), mirror=True)
    net = random_net()
    with pytest.raises(CunetError, match="multiple of 4, 24 or more, found 20; the nearest is 24"):
        to_bytes(net, mirror=True, size=20)
    with pytest.raises(CunetError, match="multiple of 4, 24 or more, found 62"):
        to_bytes(net, mirror=True, size=62)
    with pytest.raises(CunetError, match="tile 50 does not fit"):
        to_bytes(net, size=50)


def test_what_the_file_says_of_itself(tmp_path):
    net = random_net(classes=3, in_channels=2)
    cunet.save(tmp_path / "net.npz", net)
    onnx_file.write(net, tmp_path / "net.onnx", True, 40, True, source=tmp_path / "net.npz")
    data = (tmp_path / "net.onnx").read_bytes()
    assert data == to_bytes(net, True, 40, True, tmp_path / "net.npz")
    model, said = onnx.load_from_string(data), metadata(data)
    assert (model.producer_name, model.producer_version) == ("cunet", cunet.__version__)
    assert (model.ir_version, model.opset_import[0].version) == (8, 17)
    assert json.loads(said["cunet.net"]) == net.settings()
    normalization = json.loads(said["cunet.normalization"])
    assert normalization["mean"] == [110, 119] and normalization["low"] == [None, None]
    sizes = {"least": 24, "step": 4, "lost": 0, "fixed": 40}
    assert json.loads(said["cunet.sizes"]) == sizes and json.loads(said["cunet.mirror"]) is True
    digest = hashlib.sha256((tmp_path / "net.npz").read_bytes()).hexdigest()
    assert (said["cunet.source"], said["cunet.source_sha256"]) == ("net.npz", digest)
    assert said["cunet.filters"] == "float16" and "class k" in said["cunet.classes"]
    for value, key in ((model.graph.input[0], "input"), (model.graph.output[0], "output")):
        assert value.doc_string == said[f"cunet.{key}"] == described(net, True, 40)[key]
    assert "raw values" in said["cunet.input"] and "H = W = 40" in said["cunet.input"]
    assert "(N, 3, P, Q)" in said["cunet.output"] and "sum to 1" in said["cunet.output"]


def test_the_sizes_that_it_says_are_those_that_it_takes():
    for mirror in (False, True):
        net = random_net()
        said = described(net, mirror)
        assert f"H and W {said['least']}, {said['least'] + 4}" in said["input"]
        found = runs(
            to_bytes(net, mirror), images(net, said["least"], said["least"] + said["step"])
        )
        expected = (said["least"] - said["lost"], said["least"] + said["step"] - said["lost"])
        assert found.shape[1:3] == expected


def test_what_protobuf_cannot_hold_is_refused(monkeypatch):
    monkeypatch.setattr(onnx_file, "LARGEST", 10_000)
    net = random_net(width=8)
    with pytest.raises(CunetError, match="at most 10,000 bytes.*--float16"):
        to_bytes(net)
    with pytest.raises(CunetError, match=r"takes [\d,]+$"):
        to_bytes(net, float16=True)
