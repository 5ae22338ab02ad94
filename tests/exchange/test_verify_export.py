"""An exported file against its model: what is the same passes, and every change is seen."""

import zipfile

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from random_nets import VARIANTS, random_net

import cunet
from cunet.errors import CheckError, CunetError, DataError
from cunet.exchange import onnx_run, verify
from cunet.exchange.verify import verify_export


@pytest.fixture
def exported(tmp_path):
    """exported(net, ...) -> the .onnx file, and the model file beside it."""

    def make(net, **options):
        cunet.save(tmp_path / "net.npz", net)
        cunet.export(tmp_path / "net.npz", tmp_path / "net.onnx", **options)
        return tmp_path / "net.onnx", tmp_path / "net.npz"

    return make


@pytest.mark.parametrize("options", [{}, {"mirror": True}, {"mirror": True, "size": 56}], ids=str)
@pytest.mark.parametrize("variant", VARIANTS)
def test_what_was_exported_passes(exported, variant, options):
    file, model = exported(random_net(**VARIANTS[variant]), **options)
    found = verify_export(file, model, tiles=3)
    assert found["passed"] and 0 <= found["worst"] <= 3e-5 and found["limit"] == 5e-4
    assert found["same_source"] is True and found["mirror"] == ("mirror" in options)
    sizes = [(one["height"], one["width"]) for one in found["tiles"]]
    assert len(sizes) == 3 and len(set(sizes)) == (1 if "size" in options else 3)
    assert found["worst"] == max(one["difference"] for one in found["tiles"])


def test_filters_of_float16_have_a_limit_of_their_own(exported):
    net = random_net(width=8)
    file, model = exported(net, float16=True)
    found = verify_export(file, model)
    assert found["float16"] and 5e-4 < found["worst"] < found["limit"] == 0.02 and found["passed"]
    assert not verify_export(file, model, limit=5e-4)["passed"]


def test_a_users_own_image_is_compared_too(exported, save):
    file, model = exported(random_net(padding="same"), mirror=True)
    image = np.random.default_rng(1).integers(0, 255, (30, 200)).astype(np.uint16)
    for given in (image, save("own.tif", image)):
        calls = []
        found = verify_export(
            file, model, given, tiles=2, progress=lambda *n, to=calls: to.append(n)
        )
        pictures = [one["picture"] for one in found["tiles"]]
        own = "image" if given is image else str(given)
        assert pictures == ["membranes"] * 2 + [own] * 2
        assert found["passed"] and calls == [(i, 4) for i in (1, 2, 3, 4)]
    with pytest.raises(DataError, match="NaN"):
        verify_export(file, model, np.full((40, 40), np.nan))
    with pytest.raises(CunetError, match="image.*stack"):
        verify_export(file, model, np.zeros((5, 40, 40)))


def edited(file, change):
    model = onnx.load(file)
    change(model.graph)
    onnx.save(model, file)


def without(op):
    """A change: the last node of this kind is left out."""

    def change(graph):
        node = [n for n in graph.node if n.op_type == op][-1]
        for other in graph.node:
            for i, name in enumerate(other.input):
                if name == node.output[0]:
                    other.input[i] = node.input[0]
        graph.node.remove(node)

    return change


def scaled(name, factor):
    def change(graph):
        (tensor,) = [t for t in graph.initializer if t.name == name]
        value = numpy_helper.to_array(tensor) * np.float32(factor)
        tensor.CopyFrom(numpy_helper.from_array(value, name))

    return change


def skip_first(graph):
    node = [n for n in graph.node if n.op_type == "Concat"][0]
    node.input[:] = node.input[::-1]


CHANGES = {
    "no normalisation": without("Div"),
    "no ReLU": without("Relu"),
    "skip first": skip_first,
    "mean": scaled("mean", 1.01),
    "a bias": scaled("head.biases", 1.05),
    "filters": scaled("contract0.conv1.filters", 1.001),
    "not a number": scaled("head.biases", np.nan),
}


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("change", CHANGES)
def test_every_change_is_seen(exported, change, mirror):
    # skip and up-sampled channels are as many, so that they can be exchanged
    file, model = exported(random_net(width=4), mirror=mirror)
    edited(file, CHANGES[change])
    found = verify_export(file, model)
    assert not found["passed"] and not found["worst"] <= found["limit"]


def test_another_model_is_seen(exported, tmp_path):
    file, model = exported(random_net(seed=1))
    cunet.save(model, random_net(seed=2))
    found = verify_export(file, model)
    assert not found["passed"] and found["same_source"] is False
    for other, said in (
        (random_net(depth=3), "depth 2, not 3"),
        (random_net(classes=3), "classes 2, not 3"),
        (random_net(sigmoid=True), "sigmoid False, not True"),
    ):
        with pytest.raises(CheckError, match=f"no export of this model.*{said}"):
            verify_export(file, other)
    assert verify_export(file, random_net(seed=1, dropout=0.1))["same_source"] is None


def test_other_sizes_of_a_changed_file(exported):
    """A file whose sizes another program has fixed is compared at these."""

    def fix(graph):
        for value, sides in ((graph.input[0], (1, 1, 32, 48)), (graph.output[0], (1, 2, 32, 48))):
            for dim, side in zip(value.type.tensor_type.shape.dim, sides, strict=True):
                dim.Clear()
                dim.dim_value = side

    file, model = exported(random_net(), mirror=True)
    edited(file, fix)
    found = verify_export(file, model, tiles=2)
    sizes = {(one["height"], one["width"]) for one in found["tiles"]}
    assert found["passed"] and sizes == {(32, 48)}


def foreign(path, inputs=("x",), rank=4, props=None):
    """A file of another program: the sum of its inputs."""
    shape = [None] * rank
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n in inputs]
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)
    graph = helper.make_graph([helper.make_node("Sum", inputs, ["y"])], "g", values, [out])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, props or {})
    onnx.save(model, path)


def test_a_file_of_another_program_is_refused(tmp_path):
    path, net = tmp_path / "other.onnx", random_net()
    foreign(path)
    with pytest.raises(DataError, match="not written by `cunet export`.*takes x float.*returns y"):
        verify_export(path, net)
    ours = {"cunet.net": "{}", "cunet.mirror": "true"}
    foreign(path, ("image", "scale"), props=ours)
    with pytest.raises(DataError, match="expected one input.*image float.*scale float"):
        verify_export(path, net)
    foreign(path, ("image",), rank=3, props=ours)
    with pytest.raises(DataError, match=r"expected one input.*\[4 axes\]"):
        verify_export(path, net)
    foreign(path, ("image",), props=ours)
    with pytest.raises(DataError, match="expected one output, probability"):
        verify_export(path, net)


def test_a_damaged_file(exported, tmp_path, capfd):
    file, model = exported(random_net())
    whole = file.read_bytes()
    for data in (b"", b"no ONNX" * 99, *(whole[: len(whole) * i // 7] for i in range(1, 7))):
        file.write_bytes(data)
        with pytest.raises(DataError, match=r"net.onnx' (is damaged|was not written)"):
            verify_export(file, model)
    file.write_bytes(whole.replace(b'"width"', b'"wodth"'))
    with pytest.raises(DataError, match="its metadata are damaged"):
        verify_export(file, model)
    for word in (b"tiles (N", b"height", b"cunet.version", b'"width"'):
        file.write_bytes(whole.replace(word, b"\xff" + word[1:]))  # no text
        with pytest.raises(DataError, match="'utf-8' codec"):
            verify_export(file, model)
    assert capfd.readouterr() == ("", "")  # onnxruntime prints nothing


def test_without_onnxruntime(exported, monkeypatch):
    file, model = exported(random_net())
    monkeypatch.setattr(onnx_run, "find_spec", lambda name: None)
    with pytest.raises(CunetError, match="pip install onnxruntime"):
        verify_export(file, model)


def test_files_that_cunet_reads_itself(monkeypatch, tmp_path):
    """They are compared as they are read, with the normalisation that they give."""
    monkeypatch.setitem(verify.READERS, ".other", "cunet.net.checkpoint:load")
    net = random_net(variant="release2015")
    cunet.save(tmp_path / "net.other", net)
    found = verify_export(tmp_path / "net.other", net)
    assert found["passed"] and found["worst"] == 0 and found["same_source"] is None
    cunet.save(tmp_path / "net.other", random_net(3, variant="release2015"))
    assert not verify_export(tmp_path / "net.other", net)["passed"]
    with pytest.raises(CheckError, match="variant release2015, not paper"):
        verify_export(tmp_path / "net.other", random_net())


@pytest.mark.parametrize("change", [None, "weights", "cut", "no network", "no zip"])
def test_a_package_is_compared_by_the_network_in_it(change, tmp_path):
    net, path = random_net(), tmp_path / "net.bioimageio.zip"
    about = {"name": "a name", "description": "b", "authors": ["c"], "license": "MIT"}
    cunet.export(random_net(7) if change == "weights" else net, path, about=about)
    if change == "cut":
        path.write_bytes(path.read_bytes()[:-300])
    elif change == "no zip":
        path.write_bytes(b"PK")
    elif change == "no network":
        with zipfile.ZipFile(path, "w") as package:
            package.writestr("rdf.yaml", "{}")
    if change in (None, "weights"):
        assert verify_export(path, net)["passed"] == (change is None)
        return
    with pytest.raises(DataError, match="net.bioimageio.zip' is (damaged|no package)"):
        verify_export(path, net)


@pytest.mark.parametrize("change", [
    (b'"halo": 20', b'"halo": 16'), (b'"mode": "reflect"', b'"mode": "symmetric"'),
    (b'"min": 44', b'"min": 48'), (b'"sha256"', b'"sha257"'),
    (b'"ensure_dtype"', b'"zero_mean_unit_variance"'),
    (b'"onnx": {', b'"torchscript": {}, "onnx": {'),
], ids=str)  # fmt: skip
def test_a_package_of_which_programs_would_make_other_blocks_does_not_pass(change, tmp_path):
    net, path = random_net(), tmp_path / "net.bioimageio.zip"
    about = {"name": "a name", "description": "b", "authors": ["c"], "license": "MIT"}
    cunet.export(net, path, about=about)
    with zipfile.ZipFile(path) as package:
        files = {name: package.read(name) for name in package.namelist()}
    assert change[0] in files["rdf.yaml"]
    with zipfile.ZipFile(path, "w") as package:
        for name, data in files.items():
            package.writestr(name, data.replace(*change) if name == "rdf.yaml" else data)
    with pytest.raises((CheckError, DataError), match="rdf.yaml says something else|no package of"):
        verify_export(path, net)
