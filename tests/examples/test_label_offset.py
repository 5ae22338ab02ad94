"""The offset of labels from what they mark, of fields whose offset is known."""

import sys

import numpy as np
import pytest
import tifffile
from example_scripts import example
from scipy.ndimage import gaussian_filter, shift

from cunet.metrics import isbi2012

label_offset = example("paper/label_offset.py")


def field(seed, side=160):
    """Smooth grey values of a deviation of 1, and of no preferred place."""
    noise = np.random.default_rng(seed).normal(size=(side, side))
    smooth = gaussian_filter(noise, 3)
    return smooth / smooth.std()


def stacks(by, pages=5):
    """Images (n, H, W) uint8, and truth that lies this far down and right of what it marks."""
    fields = [field(seed) for seed in range(pages)]
    middle = (slice(16, -16),) * 2
    images = np.stack([np.clip(128 + 50 * f[middle], 0, 255) for f in fields]).astype(np.uint8)
    return images, np.stack([shift(f, by, order=3)[middle] > -0.5 for f in fields])


@pytest.mark.parametrize("by", [(0, 0), (-0.6, -0.15), (1.4, -2.3)])
def test_the_offset_is_found(by):
    assert label_offset.offset(*stacks(by)) == pytest.approx(by, abs=0.06)


def test_labels_that_fit_nowhere_are_refused():
    images, truth = stacks((0, 0))
    with pytest.raises(SystemExit, match="no best fit within 3 pixels"):
        label_offset.offset(images, np.roll(truth, 9, axis=1))


def test_predictions_are_scored_as_they_are_and_moved(tmp_path, monkeypatch, capsys):
    images, truth = stacks((-0.8, 0.1))
    tifffile.imwrite(tmp_path / "train-volume.tif", images, photometric="minisblack")
    labels = np.where(truth, 255, 0).astype(np.uint8)
    tifffile.imwrite(tmp_path / "train-labels.tif", labels, photometric="minisblack")
    prediction = 1 / (1 + np.exp(-(images.astype(np.float32) - 103) / 5))
    tifffile.imwrite(tmp_path / "prediction.tif", prediction)
    line = ["label_offset.py", str(tmp_path), str(tmp_path), "--folds", "2"]
    monkeypatch.setattr(sys, "argv", line)
    label_offset.main()
    printed = capsys.readouterr().out.splitlines()
    assert [text[:7] for text in printed[:2]] == ["fold 0:", "fold 1:"]
    as_is, moved = (printed[i].split(",")[1].split()[1:] for i in (4, 6))
    expected = [isbi2012.evaluate(prediction[k::2], truth[k::2])["pixel_error"] for k in (0, 1)]
    assert float(as_is[0]) == pytest.approx(np.mean(expected), abs=1e-6)
    assert float(moved[0]) < 0.5 * float(as_is[0])
