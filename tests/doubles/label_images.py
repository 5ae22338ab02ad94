"""Small images of numbered objects: drawn as text, and at random."""

import numpy as np


def row(text):
    """Label image (1, W): a letter or digit for every pixel, a dot for background."""
    return np.array([[0 if c == "." else int(c, 36) for c in text]], np.uint16)


def random_labels(rng, side=10, numbers=(1, 2, 5, 9)):
    """Blocks of numbers, so that objects overlap much, with some pixels changed."""
    blocks = rng.choice([0, *numbers], (side // 2, side // 2))
    image = np.kron(blocks, np.ones((2, 2), int))
    change = rng.random(image.shape) < 0.1
    return np.where(change, rng.choice([0, *numbers], image.shape), image)


def noisy(rng, image):
    """The image with numbers of another one at some pixels: none, or up to every second."""
    return np.where(rng.random(image.shape) < rng.random() / 2, random_labels(rng), image)


def discs(count, seed=0, side=64):
    """Numbered discs (side, side) uint16 that neither overlap nor touch."""
    rng, found = np.random.default_rng(seed), np.zeros((side, side), np.uint16)
    rows, columns = np.mgrid[:side, :side]
    while found.max() < count:
        row, column = rng.integers(6, side - 6, 2)
        distance = np.hypot(rows - row, columns - column)
        if not found[distance < 7].any():
            found[distance < 4] = found.max() + 1
    return found
