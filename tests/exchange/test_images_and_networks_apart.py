"""Images and networks for which an exchanged network would compute something else unnoticed."""

from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
from random_nets import random_net

import cunet
from cunet.errors import CheckError, CunetError
from cunet.exchange import caffe
from cunet.exchange.onnx_file import to_bytes
from cunet.exchange.torch_pickle import Refused, Unpickler


def of_file(net, image):
    """The probabilities (H, W, K) that onnxruntime makes of an image (H, W)."""
    session = onnxruntime.InferenceSession(
        to_bytes(net, mirror=True), providers=["CPUExecutionProvider"]
    )
    given = image.astype(np.float32)[None, None]
    return session.run(None, {"image": given})[0][0].transpose(1, 2, 0)


@pytest.mark.parametrize("bright", [(), (12, 12), (0, 0), (20, 20)], ids=str)
def test_a_bright_pixel_does_not_shift_an_image_that_is_normalised_by_itself(bright):
    net = random_net()
    net.normalization = replace(net.normalization, per_image=True)
    image = np.random.default_rng(0).integers(100, 110, (600, 600)).astype(np.uint16)
    if bright:
        image[bright] = 65535
    np.testing.assert_allclose(of_file(net, image), cunet.segment(image, net), rtol=0, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_images_whose_squares_float32_cannot_hold(scale):
    net = random_net()
    net.normalization = replace(net.normalization, per_image=True)
    image = (np.random.default_rng(0).normal(size=(64, 64)) * scale).astype(np.float32)
    np.testing.assert_allclose(of_file(net, image), cunet.segment(image, net), rtol=0, atol=2e-5)


def test_a_network_of_images_far_from_zero_is_not_written_for_caffe(tmp_path):
    net = random_net()
    for mean, deviation in ((5e4, 40.0), (-5e4, 40.0)):
        net.normalization = replace(net.normalization, mean=(mean,), deviation=(deviation,))
        with pytest.raises(CunetError, match="1,000 deviations.*onnx"):
            cunet.export(net, tmp_path / "net.caffemodel")
    assert not list(tmp_path.iterdir())
    net.normalization = replace(net.normalization, mean=(caffe.FURTHEST * 40.0,))
    cunet.export(net, tmp_path / "net.caffemodel")
    assert cunet.verify_export(tmp_path / "net.caffemodel", net)["passed"]


@pytest.mark.parametrize("ending", [".onnx", ".safetensors"])
def test_a_file_that_scales_images_otherwise_does_not_pass(tmp_path, ending):
    kind = {"padding": "same", "batch_norm": True}
    net, file = random_net(**kind), tmp_path / f"net{ending}"
    cunet.export(net, file)
    assert cunet.verify_export(file, net)["passed"]
    with pytest.raises(CheckError, match="resize None, not 64"):
        cunet.verify_export(file, random_net(**kind, resize=64))


def test_a_file_that_normalises_images_otherwise_does_not_pass(tmp_path):
    net = random_net(padding="same", batch_norm=True)
    cunet.export(net, tmp_path / "net.safetensors")
    net.normalization = replace(net.normalization, per_image=True)
    with pytest.raises(CheckError, match="per_image False, not True"):
        cunet.verify_export(tmp_path / "net.safetensors", net)


# What torch.save writes of torch._neg_view(x), whose numbers are those of x: protocol 2
NEGATED = (
    b"\x80\x02ctorch._utils\n_rebuild_tensor_v2\n((X\x07\x00\x00\x00storagectorch\nFloatStorage\n"
    b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x02tQK\x00K\x02\x85K\x01\x85\x89"
    b"ccollections\nOrderedDict\n)R%btR."
)


def test_an_array_that_is_not_what_its_numbers_say_is_refused():
    plain = NEGATED.replace(b"%b", b"")
    assert Unpickler(plain).load().shape == (2,)
    with pytest.raises(Refused, match="marks.*neg"):
        Unpickler(NEGATED.replace(b"%b", b"}X\x03\x00\x00\x00neg\x88s")).load()
