"""Packages for bioimage.io, judged by its own validator and predicted with by its own program."""

import hashlib
import io
import json
import os
import subprocess
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

import cunet
from cunet.errors import CunetError
from cunet.exchange import bioimageio
from cunet.exchange.about import About
from cunet.files.pixel_size import PixelSize
from cunet.net.normalization import Normalization
from cunet.net.trained_on import UNKNOWN, TrainedOn

ABOUT = About(
    name="test network",
    description="Finds membranes.",
    authors=("Ann Example (Somewhere)", "Bob"),
    license="CC-BY-4.0",
    cite=("Cardona et al. 2010, https://doi.org/10.1371/journal.pbio.1000502",),
    card="It was never trained.",
)


def network(channels=1, mean=120.0, **shape):
    """A small network with biases, and normalisation unlike the identity."""
    net = cunet.UNet(width=2, in_channels=channels, seed=1, **shape)
    rng = np.random.default_rng(0)
    for parameter in net.parameters():
        if parameter.name.endswith("biases"):
            parameter.value[...] = rng.normal(0, 0.1, parameter.value.shape)
    for statistic in net.statistics().values():
        statistic[...] = rng.uniform(0.5, 1.5, statistic.shape)
    nan = (float("nan"),) * channels
    net.normalization = Normalization((mean,) * channels, (30.0,) * channels, nan, nan)
    return net


SIZED = TrainedOn(PixelSize.parse("4 x 8nm"))


def opened(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.fixture
def path(tmp_path):
    return tmp_path / "net.bioimageio.zip"


def test_every_file_is_named_with_its_hash(path):
    bioimageio.write(network(depth=2), path, about=ABOUT)
    files = opened(path)
    described = json.loads(files["rdf.yaml"])
    entries = [*described["covers"], described["documentation"], described["weights"]["onnx"]]
    entries += [tensor["test_tensor"] for tensor in described["inputs"] + described["outputs"]]
    assert {entry["source"] for entry in entries} == files.keys() - {"rdf.yaml"}
    for entry in entries:
        assert hashlib.sha256(files[entry["source"]]).hexdigest() == entry["sha256"]


def test_the_test_output_is_what_cunet_makes_of_the_test_input(path):
    net = network(depth=2, classes=3, channels=2)
    bioimageio.write(net, path, about=ABOUT)
    files = opened(path)
    x, y = (np.load(io.BytesIO(files[f"test_{name}.npy"])) for name in ("input", "output"))
    assert x.dtype == y.dtype == np.float32 and x.shape[1] == 2
    # another tile than the package's own
    expected = cunet.segment(x[0].transpose(1, 2, 0), net, tile=60)
    np.testing.assert_allclose(y[0].transpose(1, 2, 0), expected, atol=1e-5)
    assert np.ptp(y) > 0.01, "the example tells nothing"


def test_sizes_and_halo_of_the_papers_network(path):
    bioimageio.write(network(depth=4), path, about=ABOUT)
    described = json.loads(opened(path)["rdf.yaml"])
    sides = [axis["size"] for axis in described["inputs"][0]["axes"][2:]]
    assert sides == [{"min": 208, "step": 16}] * 2
    for axis in described["outputs"][0]["axes"][2:]:
        assert axis["halo"] == 96 and axis["size"]["offset"] == 0
    assert described["inputs"][0]["pad"] == {"mode": "reflect"}


def test_axes_have_the_pixel_size_where_it_is_known(path):
    net = network(depth=2)
    for known, expected in ((SIZED, [(4, "nanometer"), (8, "nanometer")]), (UNKNOWN, [()] * 2)):
        net.trained_on = known
        bioimageio.write(net, path, about=ABOUT)
        described = json.loads(opened(path)["rdf.yaml"])
        for tensor in (described["inputs"][0], described["outputs"][0]):
            axes = [axis for axis in tensor["axes"] if axis["type"] == "space"]
            assert [axis["id"] for axis in axes] == ["y", "x"]
            found = [tuple(axis[k] for k in ("scale", "unit") if k in axis) for axis in axes]
            assert found == expected


def test_the_cover_shows_something(path):
    bioimageio.write(network(depth=2), path, about=ABOUT)
    cover = Image.open(io.BytesIO(opened(path)["cover.png"]))
    assert cover.width == 2 * cover.height
    assert np.asarray(cover)[:, : cover.height].std() > 20


def test_the_same_network_gives_the_same_bytes(path, tmp_path):
    bioimageio.write(network(depth=1), path, about=ABOUT)
    bioimageio.write(network(depth=1), tmp_path / "again.zip", about=ABOUT)
    assert path.read_bytes() == (tmp_path / "again.zip").read_bytes()


def test_terms_in_words_become_a_file(path):
    terms = "For research only.\nAsk the organisers."
    bioimageio.write(network(depth=1), path, about=About("a name", "b", ("c",), terms))
    files = opened(path)
    assert json.loads(files["rdf.yaml"])["license"]["source"] == "LICENSE.md"
    assert files["LICENSE.md"].decode() == terms + "\n"


def test_what_no_weights_tell_is_asked_for():
    with pytest.raises(CunetError, match="give --author TEXT --license TEXT$"):
        About("a name", "what for", (), "")
    with pytest.raises(CunetError, match="5 to 128 letters"):
        About("a/b", "what for", ("Ann",), "MIT")
    with pytest.raises(CunetError, match="expected a text and its address"):
        bioimageio.citation("Ronneberger 2015")


@pytest.mark.parametrize("text", [
    "x, http", "x, https://", "https://a.org", "x, https://a b", "x, https://doi.org/", "x, ftp://a",
    "x, https://doi.org/someone", "", " , https://",
])  # fmt: skip
def test_what_is_no_citation_is_refused(text):
    with pytest.raises(CunetError, match="expected a text and its address"):
        About("a name", "b", ("c",), "MIT", (text,))


@pytest.mark.parametrize("text", ["(Somewhere)", "A/B", "A\\B (x)"])
def test_what_is_no_author_is_refused(text):
    with pytest.raises(CunetError, match="--author.*expected a name"):
        About("a name", "b", ("c", text), "MIT")


def test_a_network_that_looks_at_the_whole_image_is_refused(path):
    net = network(depth=1)
    nan = (float("nan"),)
    net.normalization = Normalization((0.0,), (1.0,), nan, nan, per_image=True)
    with pytest.raises(CunetError, match="OUT.onnx --mirror"):
        bioimageio.write(net, path, about=ABOUT)
    assert not path.exists()


JUDGE = """
import sys
import numpy as np
from bioimageio.core import create_prediction_pipeline, load_model_description, test_description
from bioimageio.core.digest_spec import create_sample_for_model
from bioimageio.spec.model.v0_5 import TensorId

for path in sys.argv[1:]:
    summary = test_description(path)
    assert summary.status == "passed", summary.format()
    model = load_model_description(path)
    sample = create_sample_for_model(model, inputs={"image": np.load(f"{path}.npy")})
    with create_prediction_pipeline(model) as pipeline:
        whole = pipeline.predict_sample_without_blocking(sample)
        blocks = pipeline.predict_sample_with_blocking(sample)
    pages = [p.members[TensorId("probability")].data.values for p in (whole, blocks)]
    np.savez(f"{path}.npz", whole=pages[0], blocks=pages[1])
"""
JUDGED = {  # name: shape, and how many pixels at the border may differ
    "paper": ({"depth": 2, "channels": 3, "classes": 3}, 0),
    "same": ({"depth": 2, "padding": "same", "batch_norm": True, "sigmoid": True}, 24),
}


def test_bioimageio_accepts_them_and_predicts_the_same(tmp_path):
    """All packages in one process, since its imports take seconds."""
    pytest.importorskip("bioimageio.core")
    rng, paths, expected = np.random.default_rng(3), [], {}
    for name, (shape, _) in JUDGED.items():
        net = network(**shape)
        net.trained_on = SIZED if name == "paper" else UNKNOWN
        paths.append(str(tmp_path / f"{name}.zip"))
        bioimageio.write(net, paths[-1], about=ABOUT)
        image = rng.integers(0, 255, (1, net.shape.in_channels, 96, 128)).astype(np.float32)
        np.save(f"{paths[-1]}.npy", image)
        expected[name] = cunet.segment(image[0].transpose(1, 2, 0), net, 144).transpose(2, 0, 1)
    done = subprocess.run(
        [sys.executable, "-P", "-c", JUDGE, *paths],
        capture_output=True,
        text=True,
        encoding="utf-8",
        env=quiet_environment(tmp_path),
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for path, (name, (_, border)) in zip(paths, JUDGED.items(), strict=True):
        inside = slice(border, -border or None)
        with np.load(f"{path}.npz") as found:
            for way in ("whole", "blocks"):
                difference = np.abs(found[way][0] - expected[name])[:, inside, inside]
                assert difference.max() < 2e-5, (name, way)


VALIDATE = """
import sys
from bioimageio.spec import load_description
for path in sys.argv[1:]:
    found = load_description(path, perform_io_checks=False)
    print(found.validation_summary.status, isinstance(found.license, str), found.cite[1].doi)
"""


def test_bioimageio_accepts_every_license_and_citation(tmp_path):
    pytest.importorskip("bioimageio.spec")
    cite = ("Bee et al. https: and so on; http://dx.doi.org/10.1000/17", "b: https://x.org")
    paths = [str(tmp_path / f"{i}.bioimageio.zip") for i in range(2)]
    for path, license in zip(paths, ("cc-by-4.0", "proprietary"), strict=True):
        about = About("a name", "b", ("A. B (x (y))",), license, cite)
        bioimageio.write(network(depth=1), path, about=about)
    done = subprocess.run(
        [sys.executable, "-P", "-W", "ignore", "-c", VALIDATE, *paths],
        capture_output=True,
        text=True,
        env=quiet_environment(tmp_path),
    )
    expected = ["valid-format True 10.1000/17", "valid-format False 10.1000/17"]
    assert done.stdout.splitlines() == expected, done.stderr


def quiet_environment(folder):
    """What the program stores goes into this folder."""
    return os.environ | {"HOME": str(folder), "XDG_CACHE_HOME": str(folder), "NO_COLOR": "1"}
