"""Where Winograd's convolution is cut for threads: strips of tile rows, chunks of channels.

All cuts depend on the shapes alone, never on the number of threads, so that every sum is formed in
the same order.
"""

import itertools
from collections.abc import Iterator

import numpy as np

from cunet.engines.cpu.winograd_tiles import PATCH

STRIP_BYTES = 6 << 20  # V and M of a strip: measured best from width 16 to 64
CHUNK_CHANNELS = 128  # in the schedule for deep layers
FILTERS_PER_THREAD = 8192  # fewer are not worth a thread of their own
MAX_GROUPS = 8  # of strips, each with its own partial sum of dU

Strip = tuple[int, int, int]  # an image, and the first and the end of its tile rows
Channels = tuple[np.ndarray, slice, slice]  # an image, its channels, their place among all images'


def shares(c: int, k: int) -> list[slice]:
    """C channels in up to eight slices, each of enough filters (C, K) to be worth a thread."""
    number = max(1, min(8, c, c * k // FILTERS_PER_THREAD))
    return [slice(c * i // number, c * (i + 1) // number) for i in range(number)]


def deep(tiles: int, c: int, k: int) -> bool:
    """Whether U is so much larger than V and M that it should never exist whole."""
    return c * k >= 8 * CHUNK_CHANNELS * CHUNK_CHANNELS and tiles * (c + k) < 4 * c * k


def strips(n: int, down: int, across: int, channels: int, itemsize: int) -> list[Strip]:
    """The strips of N images, each of about STRIP_BYTES; an even number of them for each image
    that has rows of tiles enough."""
    row = PATCH * PATCH * across * channels * itemsize
    number = -(-down // max(1, STRIP_BYTES // row))
    number = min(down, number + number % 2)
    edges = [down * i // number for i in range(number + 1)]
    return [(i, a, b) for i in range(n) for a, b in itertools.pairwise(edges)]


def grouped(pieces: list[Strip]) -> list[list[Strip]]:
    """The pieces in at most MAX_GROUPS runs of about equal length."""
    number = min(MAX_GROUPS, len(pieces))
    edges = [len(pieces) * i // number for i in range(number + 1)]
    return [pieces[a:b] for a, b in itertools.pairwise(edges)]


def chunks_of(images: tuple[np.ndarray, ...]) -> Iterator[Channels]:
    """The channels of all images, CHUNK_CHANNELS at a time."""
    return channels_of(images, CHUNK_CHANNELS)


def channels_of(images: tuple[np.ndarray, ...], step: int | None = None) -> Iterator[Channels]:
    """The channels of all images, `step` at a time; None: those of an image at once."""
    done = 0
    for image in images:
        for c in range(0, image.shape[3], step or image.shape[3]):
            stop = min(image.shape[3], c + (step or image.shape[3]))
            yield image, slice(c, stop), slice(done + c, done + stop)
        done += image.shape[3]
