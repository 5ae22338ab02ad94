"""The networks that come with cunet: their bits and cards, and `cunet segment` without any run."""

import os
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import tifffile

import cunet
from cunet.data.dataset import sha256
from cunet.data.load import load
from cunet.data.synthetic import membranes
from cunet.metrics.pixel import PixelCounts
from cunet.models import record
from cunet.models.index import read_index
from cunet.models.names import IN_THE_BOX
from cunet.models.places import BOX
from cunet.net import checkpoint
from cunet.net.normalization import Normalization
from cunet.net.shape import Shape
from cunet.segmentation.segment import segment

ALL = pytest.mark.parametrize("name", IN_THE_BOX)
SHAPES = {"em": Shape(width=16), "nuclei": Shape(width=16, in_channels=3)}
WORDS = {
    "em": ("non-commercial", "Cardona", "Arganda-Carreras", "held out"),
    "nuclei": ("CC0", "Caicedo", "held out", "pixel size", "stained"),
}


@ALL
def test_its_weights_load_bit_for_bit(name):
    net = cunet.load(name)
    with np.load(BOX[name], allow_pickle=False) as file:
        for p in net.parameters():
            stored = file[p.name]
            assert stored.dtype == np.float16 and p.value.dtype == np.float32
            assert p.value.tobytes() == stored.astype(np.float32).tobytes(), p.name
            assert np.isfinite(p.value).all()
    assert net.shape == replace(SHAPES[name], dropout=net.shape.dropout)


def test_both_are_small():
    assert sum(path.stat().st_size for path in BOX.values()) <= 8e6


@ALL
def test_the_card_is_of_this_file(name):
    text = BOX[name].with_suffix(".md").read_text(encoding="utf-8")
    assert sha256(BOX[name]) in text
    parameters = sum(p.value.size for p in cunet.load(name).parameters())
    assert f"{parameters:,} parameters" in text
    steps = checkpoint.read_header(BOX[name])["progress"]["step"]
    assert f"{steps:,} steps" in text
    for word in WORDS[name]:
        assert word in text, word


@ALL
def test_record_and_index_are_of_this_file(name):
    known = record.read_record(BOX[name])
    assert not record.differs(BOX[name], known)
    entry = read_index().entries[name]
    assert (entry.file, entry.record.sha256) == (BOX[name].name, known.sha256)
    assert (entry.record.license, entry.record.made_for) == (known.license, known.made_for)


@pytest.mark.parametrize("old", ["bundled", "isbi2012"])
def test_its_earlier_names_are_still_names_of_em(old, run):
    assert checkpoint.model_file(old) == BOX["em"]
    assert cunet.Config(from_model=old).from_model == "em"
    assert run("models", "info", old)[1] == run("models", "info", "em")[1]


def test_half_is_the_nearest_float16(tmp_path):
    net = cunet.UNet(width=2, depth=1, seed=5)
    net.normalization = Normalization((3.0,), (7.0,), (0.5,), (9.0,))
    checkpoint.save(tmp_path / "half.npz", net, half=True)
    checkpoint.save(tmp_path / "full.npz", net)
    loaded = cunet.load(tmp_path / "half.npz")
    assert loaded.normalization == net.normalization and loaded.dtype == "float32"
    for p, q in zip(net.parameters(), loaded.parameters(), strict=True):
        assert np.array_equal(q.value, p.value.astype(np.float16))
        assert np.abs(q.value - p.value).max() <= np.abs(p.value).max() * 2**-11
    sizes = [(tmp_path / name).stat().st_size for name in ("half.npz", "full.npz")]
    assert sizes[0] < sizes[1]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


def test_segment_works_at_once_and_says_with_what(run, tmp_path):
    image = membranes(1, 100, 90, seed=1)[0][0]
    tifffile.imwrite("image.tif", image)
    code, _, err = run("segment", "image.tif")
    assert code == 0, err
    assert "taken for electron microscopy: model em" in err and "non-commercial" in err
    assert "another: --model nuclei" in err and "em.npz" in err
    found = tifffile.imread("image_prob.tif")
    expected = segment(image, cunet.load("em"))[..., 1]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    for name in ("em", "bundled", "isbi2012"):
        code, _, err = run("segment", "image.tif", "--model", name, "--out", name)
        assert code == 0 and f"model '{name}': license: non-commercial" in err
        again = tmp_path / name / "image_prob.tif"
        assert again.read_bytes() == Path("image_prob.tif").read_bytes()


def test_a_run_comes_before_the_networks_of_the_box(run, tmp_path):
    (tmp_path / "runs" / "mine-1").mkdir(parents=True)
    cunet.save(tmp_path / "runs" / "mine-1" / "last.npz", cunet.UNet(width=1, depth=1))
    tifffile.imwrite("image.tif", np.zeros((30, 30), np.uint8))
    code, _, err = run("segment", "image.tif")
    assert code == 0 and "mine-1" in err and "taken for" not in err


@pytest.mark.parametrize("name", ["em", "nuclei", "bundled"])
def test_a_file_of_that_name_is_meant_first(name, tmp_path):
    cunet.save(tmp_path / name, cunet.UNet(width=1, depth=1))
    assert cunet.load(name).shape.width == 1


@pytest.mark.skipif("CUNET_DATA" not in os.environ, reason="CUNET_DATA is not set")
def test_em_knows_what_it_was_trained_on():
    """Not a measure of quality, as it has seen these slices: that the right weights are there."""
    dataset = load(Path(os.environ["CUNET_DATA"]) / "isbi2012")
    net, counts = cunet.load("em"), PixelCounts()
    for i in (3, 22):
        counts.add(segment(dataset.images[i], net)[..., 1], dataset.labels[i] == 1)
    assert counts.pixel_error() < 0.06
    card = BOX["em"].with_suffix(".md").read_text(encoding="utf-8")
    for name in ("train-volume.tif", "train-labels.tif"):
        assert dataset.hashes[name][:12] in re.sub(r"\s", " ", card)
