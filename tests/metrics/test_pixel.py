"""The pixel error against a loop over single pixels."""

import numpy as np
import pytest
from pixel_loops import counted_directly

from cunet.metrics.pixel import PixelCounts


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_pixel_error_against_a_loop(dtype):
    rng, counts, slices = np.random.default_rng(0), PixelCounts(), []
    for _ in range(3):
        probability = rng.random((9, 11)).astype(dtype)
        probability[0, :] = np.arange(11) / 10  # just on the thresholds
        white = rng.random((9, 11)) < probability
        counted = rng.random((9, 11)) < 0.8
        slices.append((probability, white, counted))
        counts.add(*slices[-1])
    scores, threshold = [], 0.0
    for i in range(11):
        tp, fp, fn = counted_directly(slices, threshold)
        precision, recall = tp / (tp + fp) if fp else 1, tp / (tp + fn)
        both = precision + recall
        scores.append(2 * precision * recall / both if both and tp else 0)
        assert counts.f_scores()[i] == pytest.approx(scores[-1], abs=1e-12), threshold
        threshold += 0.1
    assert counts.pixel_error() == pytest.approx(1 - max(scores), abs=1e-12)
    assert counts.best_threshold() == pytest.approx(np.argmax(scores) / 10)
    assert counts.dice() == pytest.approx(scores[5], abs=1e-12)
    pixels = sum(int(c.sum()) for *_, c in slices)
    whites = sum(int(w[c].sum()) for _, w, c in slices)
    tp, fp, _ = counted_directly(slices, 0.5)
    assert counts.shares() == pytest.approx((whites / pixels, (tp + fp) / pixels))


@pytest.mark.parametrize(
    "probability,white,error",
    [(0.9, 1, 0), (0.9, 0, 0), (0.05, 1, 0), (0.0, 1, 1), (1.0, 1, 0), (0.0, 0, 0)],
)
def test_the_pixel_error_of_flat_slices(probability, white, error):
    counts = PixelCounts()
    counts.add(np.full((3, 4), probability), np.full((3, 4), bool(white)))
    assert counts.pixel_error() == error
