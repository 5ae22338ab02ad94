"""The synthetic stack: what a network can learn from it and a threshold cannot."""

import numpy as np
import pytest
from scipy import ndimage

from cunet.data.synthetic import membranes


def pixel_error(probability, labels):
    """1 - the best F-score of white over the thresholds 0, 0.1 ... 1."""
    scores = []
    for threshold in np.arange(11) / 10:
        white, truth = probability > threshold, labels > 0
        scores.append(2 * (white & truth).sum() / (white.sum() + truth.sum()))
    return 1 - max(scores)


@pytest.fixture(scope="module")
def stack():
    return membranes(6, 192, 200, seed=4)


def test_shapes_and_values(stack):
    images, labels = stack
    assert images.shape == labels.shape == (6, 192, 200)
    assert images.dtype == labels.dtype == np.uint8
    assert set(np.unique(labels)) == {0, 255}
    assert np.mean((images == 0) | (images == 255)) < 0.01


def test_the_seed_decides(stack):
    again, other = membranes(6, 192, 200, seed=4), membranes(6, 192, 200, seed=5)
    assert all(np.array_equal(a, b) for a, b in zip(stack, again, strict=True))
    assert not np.array_equal(stack[1], other[1])


def test_cells_and_membranes_have_the_shares_of_real_ones(stack):
    _, labels = stack
    assert 0.72 < (labels > 0).mean() < 0.84
    for section in labels:
        ids, count = ndimage.label(section)
        sizes = np.bincount(ids.ravel())[1:]
        assert 20 < count < 120
        assert sizes.max() < section.size / 4  # membranes are closed
        # Nowhere but where they meet are membranes more than 4 pixels wide.
        assert (ndimage.distance_transform_edt(section == 0) > 3).mean() < 0.01


def test_cells_drift_from_section_to_section(stack):
    _, labels = stack
    same = [(a == b).mean() for a, b in zip(labels[:-1], labels[1:], strict=True)]
    far = (labels[0] == labels[-1]).mean()
    assert far + 0.05 < np.mean(same) < 0.97


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_blurred_image_finds_the_membranes(seed):
    images, labels = membranes(4, 256, 256, seed)
    assert images[labels == 0].mean() < images[labels > 0].mean() - 25
    for sigma in (0.01, 0.5, 1, 2, 3):
        blurred = ndimage.gaussian_filter(images / 255, (0, sigma, sigma))
        assert pixel_error(blurred, labels) > 0.09
