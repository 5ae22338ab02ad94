"""Boxes of an array and the grid of blocks that it is cut into: which touch, and where."""

from collections.abc import Iterator
from itertools import product

Box = tuple[tuple[int, int], ...]  # first and behind the last, of every axis


def start_of(place: tuple[int, ...], size: tuple[int, ...]) -> list[int]:
    """Where the block at a place in a grid begins."""
    return [p * n for p, n in zip(place, size, strict=True)]


def places(box: Box, size: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    """The places in a grid of blocks of this size that a box touches."""
    return product(*(range(a // n, -(-b // n)) for (a, b), n in zip(box, size, strict=True)))


def cut(box: Box, start: list[int], size: tuple[int, ...]) -> Box:
    """What of a block lies in a box, counted from the block's start."""
    return tuple(
        (max(a - s, 0), min(b - s, n)) for (a, b), s, n in zip(box, start, size, strict=True)
    )


def within(box: Box, start: list[int], inside: Box) -> tuple[slice, ...]:
    """Where in the box lies what lies `inside` a block that begins at `start`."""
    return tuple(
        slice(s + a - first, s + b - first)
        for s, (a, b), (first, _) in zip(start, inside, box, strict=True)
    )
