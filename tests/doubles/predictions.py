"""Predictions and truths to score: a probability stack, and an image of numbered cells."""

import numpy as np


def stack(pages=5, height=12, width=9, seed=1):
    """Probabilities (pages, H, W) float32 and a truth of 0 and 255."""
    rng = np.random.default_rng(seed)
    white = rng.random((pages, height, width)) < 0.6
    probability = 0.7 * rng.random(white.shape) + 0.3 * white
    return probability.astype(np.float32), np.where(white, 255, 0).astype(np.uint8)


def cells(seed=0, side=40, dtype=np.uint16):
    """About a dozen rectangles with numbers that have gaps; they may touch."""
    rng = np.random.default_rng(seed)
    image = np.zeros((side, side), dtype)
    for number in range(3, 40, 3):
        r, c = rng.integers(0, side - 9, 2)
        image[r : r + rng.integers(4, 9), c : c + rng.integers(4, 9)] = number
    return image
