"""Milesial's U-Net for PyTorch: its files give the outputs that PyTorch computed from them
(torch_files/), whatever a checkpoint does to the names; and what is no such network is refused."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from foreign_files import normalised, pt_of, small_net

import cunet
from cunet.errors import CunetError, DataError
from cunet.exchange import milesial, safetensors, torch_file
from cunet.files.pixel_size import PixelSize
from cunet.net.trained_on import TrainedOn

theirs = pytest.importorskip("safetensors.numpy")

HERE = Path(__file__).parent / "torch_files"
OUTPUTS = np.load(HERE / "outputs.npz")


def image(channels):
    """As in torch_files/make_torch_files.py, but channels last."""
    c, y, x = np.ogrid[:channels, :32, :48]
    grey = (37 * y * y + 11 * x * (y + 3 * c) + 53 * c) % 256
    return grey.astype(np.uint8).transpose(1, 2, 0)


def logits(net, channels):
    x = net.normalization.apply(image(channels))
    return net(x[None], remember=False).transpose(0, 3, 1, 2)


@pytest.mark.parametrize(("name", "channels", "outputs"), [("new", 3, 3), ("old", 1, 1)])
def test_outputs_are_those_of_pytorch(name, channels, outputs):
    found = milesial.imported(HERE / f"{name}.pt")
    net, expected = found.net, OUTPUTS[name]
    assert (net.shape.in_channels, net.shape.outputs) == (channels, outputs)
    assert net.shape.sigmoid == (outputs == 1) and expected.std(axis=(2, 3)).min() > 0.01
    np.testing.assert_allclose(logits(net, channels), expected, atol=3e-6)
    words = " ".join(found.notes)
    assert ("biases" in words) == (name == "old") and ("mask_values [0, 1, 2]" in words) == (
        name == "new"
    )


def test_a_segmentation_agrees_too():
    net = milesial.imported(HERE / "old.pt").net
    found = cunet.segment(image(1), net, tile=576)[..., 1]
    np.testing.assert_allclose(found, 1 / (1 + np.exp(-OUTPUTS["old"][0, 0])), atol=1e-6)


@pytest.fixture(scope="module")
def state():
    """The arrays of new.pt, by name."""
    found, _ = torch_file.read(HERE / "new.pt")
    return {n: one.read() for n, one in found.items() if n != "mask_values"}


def wrapped(state):
    """As DataParallel names them, in a checkpoint."""
    return {"epoch": 3, "model_state_dict": {f"module.{n}": v for n, v in state.items()}}


@pytest.mark.parametrize(
    ("form", "words"),
    [
        (lambda s: pt_of(s), ""),
        (lambda s: pt_of(s, wrapped), "'module.'"),
        (lambda s: pt_of({n: v.astype(np.float64) if v.dtype.kind == "f" else v
                          for n, v in s.items()}), ""),
        (lambda s: theirs.save({n: np.ascontiguousarray(v) for n, v in s.items()}), ""),
    ],
    ids=["plain", "checkpoint", "double", "safetensors"],
)  # fmt: skip
def test_forms_of_one_state_dict(tmp_path, state, form, words):
    path = tmp_path / "net.pth"
    path.write_bytes(form(state))
    found = milesial.imported(path, white=65535)
    assert found.net.normalization.deviation == (65535.0,) * 3
    assert words in " ".join(found.notes)
    net = normalised(found.net, 0.0, 255.0)
    np.testing.assert_allclose(logits(net, 3), OUTPUTS["new"], atol=3e-6)


@pytest.mark.parametrize("name", ["new", "old"])
def test_what_is_written_has_the_names_and_numbers_of_pytorch_s_file(tmp_path, name):
    path = tmp_path / "net.safetensors"
    notes = milesial.write(milesial.imported(HERE / f"{name}.pt").net, path)["notes"]
    assert "/ 255" in notes[0] and "bilinear=False" in notes[1]
    found = theirs.load_file(path)
    expected = {n: v.read() for n, v in torch_file.read(HERE / f"{name}.pt")[0].items()
                if not isinstance(v, list)}  # fmt: skip
    biases = {n for n in expected if n.endswith(".bias") and n.replace(".bias", ".weight") in
              expected and expected[n.replace(".bias", ".weight")].shape[2:] == (3, 3)}  # fmt: skip
    assert found.keys() == expected.keys() - biases and bool(biases) == (name == "old")
    for key, value in found.items():
        if not key.endswith(("num_batches_tracked", "running_mean")[: 1 + bool(biases)]):
            assert value.dtype == np.float32 and np.array_equal(value, expected[key]), key


@pytest.mark.parametrize(
    "shape",
    [{"depth": 3, "classes": 4, "in_channels": 2}, {"width": 3, "sigmoid": True}, {"depth": 1}],
    ids=str,
)
def test_written_and_read_again(tmp_path, shape):
    net = normalised(small_net(padding="same", batch_norm=True, **shape), 97.5, 31.25)
    net.resize, net.trained_on = 64, TrainedOn(PixelSize(4, 8, "nm"), (-0.5, -0.25))
    path = tmp_path / "net.safetensors"
    notes = milesial.write(net, path)["notes"]
    assert "97.5" in notes[0] and any("depth 4 and width 64" in note for note in notes)
    found = milesial.imported(path)
    again = found.net
    assert again.shape == net.shape and again.resize == 64
    assert again.normalization == net.normalization and again.trained_on == net.trained_on
    for one, other in zip(net.parameters(), again.parameters(), strict=True):
        assert np.array_equal(one.value, other.value), one.name
    for name, value in net.statistics().items():
        assert np.array_equal(value, again.statistics()[name]), name
    assert milesial.imported(path, white=1).net.normalization.deviation[0] == 1


def refusal(tmp_path, state):
    path = tmp_path / "bad.pt"
    path.write_bytes(pt_of(state))
    with pytest.raises(DataError) as raised:
        milesial.imported(path)
    assert str(path) in str(raised.value)
    return str(raised.value)


def test_other_networks_are_refused(tmp_path, state):
    def but(**changed):
        changed = {n.replace("__", "."): v for n, v in changed.items()}
        return {n: v for n, v in (state | changed).items() if v is not None}

    bilinear = {n: v for n, v in state.items() if ".up." not in n}
    assert "bilinear=True" in refusal(tmp_path, bilinear)
    plain = {n: v for n, v in state.items() if "double_conv.1." not in n}
    assert "double_conv.1.weight' is missing" in refusal(tmp_path, plain)
    said = refusal(tmp_path, but(up2__up__bias=None))
    assert "'up2.up.bias' is missing" in said
    said = refusal(tmp_path, but(outc__conv__bias=np.zeros(4, np.float32)))
    assert "'outc.conv.bias': expected floats (3,)" in said and "found float32 (4,)" in said
    said = refusal(tmp_path, but(outc__conv__bias=np.zeros(3, np.int64)))
    assert "int64" in said
    said = refusal(tmp_path, but(attention__weight=state["outc.conv.bias"]))
    assert "'attention.weight' belongs to no" in said
    for value in (np.nan, np.inf):
        said = refusal(tmp_path, but(outc__conv__bias=np.full(3, value, np.float32)))
        assert "NaN or infinity" in said
    name = "inc.double_conv.1.running_var"
    assert "negative" in refusal(tmp_path, state | {name: -state[name]})
    assert "names of milesial's" in refusal(tmp_path, {"conv1.weight": state["outc.conv.weight"]})
    flat = state | {"inc.double_conv.0.weight": np.zeros((1, 3), np.float32)}
    assert "4 sides" in refusal(tmp_path, flat)


@pytest.mark.parametrize("text", ["{", "3", '{"normalization": {}}', "[" * 5000, "{}"])
def test_metadata_that_are_not_ours_are_refused(tmp_path, state, text):
    path = tmp_path / "net.safetensors"
    safetensors.write(path, state, {"cunet": text})
    with pytest.raises(DataError, match="its 'cunet'"):
        milesial.imported(path)


def test_a_pixel_size_that_is_none_is_refused(tmp_path):
    net, path = small_net(padding="same", batch_norm=True), tmp_path / "net.safetensors"
    milesial.write(net, path)
    state, metadata = safetensors.read(path)
    own = json.loads(metadata["cunet"]) | {"images": {"pixel_size": "8"}}
    arrays = {name: tensor.read() for name, tensor in state.items()}
    safetensors.write(path, arrays, metadata | {"cunet": json.dumps(own)})
    with pytest.raises(DataError, match="its 'cunet'.*pixel_size"):
        milesial.imported(path)


def test_what_it_cannot_hold_is_refused(tmp_path):
    path = tmp_path / "net.safetensors"
    same = {"padding": "same", "batch_norm": True}
    for net, words in (
        (small_net(), "no batch normalization"),
        (small_net(batch_norm=True), "valid padding"),
        (small_net(**same, variant="release2015"), "release of 2015"),
    ):
        with pytest.raises(CunetError, match=words):
            milesial.write(net, path)
    assert not path.exists()
    net = small_net(**same)
    net.normalization = replace(net.normalization, per_image=True)
    assert "each image less its mean" in milesial.write(net, path)["notes"][0]
    assert milesial.imported(path).net.normalization.per_image
    with pytest.raises(CunetError, match="exists"):
        cunet.export(net, path)
