"""The network that comes with cunet: its bits, its card, and `cunet segment` without any run."""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import tifffile

import cunet
from cunet.data.dataset import sha256
from cunet.data.load import load
from cunet.data.synthetic import membranes
from cunet.metrics.pixel import PixelCounts
from cunet.net import checkpoint
from cunet.net.normalization import Normalization
from cunet.net.shape import Shape
from cunet.segmentation.segment import segment

CARD = checkpoint.BUNDLED.with_suffix(".md")


def test_its_weights_load_bit_for_bit():
    net = cunet.load("bundled")
    with np.load(checkpoint.BUNDLED, allow_pickle=False) as file:
        for p in net.parameters():
            stored = file[p.name]
            assert stored.dtype == np.float16 and p.value.dtype == np.float32
            assert p.value.tobytes() == stored.astype(np.float32).tobytes(), p.name
            assert np.isfinite(p.value).all()
    assert net.shape == Shape(width=16, dropout=net.shape.dropout)
    assert checkpoint.BUNDLED.stat().st_size < 4e6


def test_the_card_is_of_this_file():
    text = CARD.read_text(encoding="utf-8")
    assert sha256(checkpoint.BUNDLED) in text
    parameters = sum(p.value.size for p in cunet.load("bundled").parameters())
    assert f"{parameters:,} parameters" in text
    steps = checkpoint.read_header(checkpoint.BUNDLED)["progress"]["step"]
    assert f"{steps:,} steps" in text
    for word in ("non-commercial", "Cardona", "Arganda-Carreras", "held out"):
        assert word in text, word


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
    image = membranes(1, 60, 52, seed=1)[0][0]
    tifffile.imwrite("image.tif", image)
    code, _, err = run("segment", "image.tif")
    assert code == 0, err
    assert "the bundled network" in err and "non-commercial" in err and "isbi2012.npz" in err
    found = tifffile.imread("image_prob.tif")
    expected = segment(image, cunet.load("bundled"))[..., 1]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    code, _, err = run("segment", "image.tif", "--model", "bundled", "--out", "again")
    assert code == 0 and "the bundled network" in err
    assert (tmp_path / "again" / "image_prob.tif").read_bytes() == Path(
        "image_prob.tif"
    ).read_bytes()


def test_a_run_comes_before_the_bundled_network(run, tmp_path):
    (tmp_path / "runs" / "mine-1").mkdir(parents=True)
    cunet.save(tmp_path / "runs" / "mine-1" / "last.npz", cunet.UNet(width=1, depth=1))
    tifffile.imwrite("image.tif", np.zeros((30, 30), np.uint8))
    code, _, err = run("segment", "image.tif")
    assert code == 0 and "mine-1" in err and "the bundled network" not in err


def test_a_file_of_that_name_is_meant_first(run, tmp_path):
    cunet.save(tmp_path / "bundled", cunet.UNet(width=1, depth=1))
    assert cunet.load("bundled").shape.width == 1


@pytest.mark.skipif("CUNET_DATA" not in os.environ, reason="CUNET_DATA is not set")
def test_it_knows_what_it_was_trained_on():
    """Not a measure of quality, as it has seen these slices: that the right weights are there."""
    dataset = load(Path(os.environ["CUNET_DATA"]) / "isbi2012")
    net, counts = cunet.load("bundled"), PixelCounts()
    for i in (3, 22):
        counts.add(segment(dataset.images[i], net)[..., 1], dataset.labels[i] == 1)
    assert counts.pixel_error() < 0.06
    card = CARD.read_text(encoding="utf-8")
    for name in ("train-volume.tif", "train-labels.tif"):
        assert dataset.hashes[name][:12] in re.sub(r"\s", " ", card)
