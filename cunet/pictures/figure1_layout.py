"""Where the boxes of Fig. 1 stand: one for every image of the network, level by level.

A row is a level. From left to right a box stands far enough from the one before it for an arrow
between them, and for their labels not to meet; a pooled image stands below the image that it was
made of, and an up-sampled one above.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

FONT = 13  # pixels of the drawing, like all that follows
LETTER = 0.66 * FONT  # the widest that a digit or an average letter is, by font
TALLEST, WIDEST, SMALLEST = 140, 64, 2  # of boxes
ARROW, DOWN = 21, 30  # lengths of arrows between boxes, and between rows
LABEL = FONT + 4  # height of a line
EDGE = 12  # around the drawing
ROOTS = {1: "in proportion to", 2: "as the square root of", 4: "as the fourth root of"}


@dataclass
class Box:
    """One image of the network; x is its left edge, y its middle."""

    layer: str
    kind: str
    side: int
    channels: int
    copied: int = 0  # channels that came across
    x: float = 0
    y: float = 0
    width: float = 0
    height: float = 0

    @property
    def right(self) -> float:
        return self.x + self.width

    @property
    def middle(self) -> float:
        return self.x + self.width / 2

    @property
    def up_sampled(self) -> float:
        """The middle of the part that was not copied."""
        return self.middle + self.width * self.copied / self.channels / 2

    @property
    def half_label(self) -> float:
        """Half the width of the wider one of its labels."""
        return LETTER * max(len(str(self.channels)), len(f"{self.side}²")) / 2

    @property
    def half_height(self) -> float:
        """From its middle to its labels; an arrow must have room between them."""
        return max(self.height / 2, 8)


Levels = list[list[Box]]  # the boxes of every level, the first level first


def boxes_of(layers: Iterable[Mapping[str, Any]]) -> tuple[Levels, Levels, str, str]:
    """The boxes of the contracting path with the bottom level, and those of the expansive path, all
    in their places; then how heights and widths are drawn, in words."""
    left, right = _levels(layers)
    boxes = [box for level in (*left, *right) for box in level]
    tall, by_side = _scale([box.side for box in boxes], TALLEST)
    wide, by_channels = _scale([box.channels for box in boxes], WIDEST)
    for box in boxes:
        box.height, box.width = tall(box.side), wide(box.channels)
    _place(left, right)
    return left, right, by_side, by_channels


def _levels(layers: Iterable[Mapping[str, Any]]) -> tuple[Levels, Levels]:
    """The boxes of every level: those of the contracting path with the bottom one, and those of the
    expansive path. An up-sampled image is part of its concatenation."""
    left: Levels = [[]]
    right: Levels = []
    up = 0
    for layer in layers:
        name, (side, _, channels) = layer["name"], layer["shape"]
        box = Box(name, layer["kind"], side, channels)
        if name.endswith(".pool"):
            left.append([box])
        elif name.endswith(".up"):
            up = channels
            right.insert(0, [])
        elif name.startswith("expand") or name == "head":
            box.copied = channels - up if name.endswith(".concat") else 0
            right[0].append(box)
        else:
            left[-1].append(box)
    return left, right


def _scale(values: list[int], largest: float) -> tuple[Callable[[int], float], str]:
    """From a number to the pixels that it is drawn with, and that in words: the first one of ROOTS
    by which the smallest box can be seen."""
    ratio = min(values) / max(values)
    seen = (root for root in ROOTS if largest * ratio ** (1 / root) >= SMALLEST)
    root = next(seen, max(ROOTS))
    return lambda value: largest * (value / max(values)) ** (1 / root), ROOTS[root]


def _place(left: Levels, right: Levels) -> None:
    """Give every box its x and y."""
    first = left[0][0]
    first.x = EDGE + LETTER * len("input") + EDGE + max(0, first.half_label - first.width / 2)
    above = _row(left[0])
    for level in left[1:]:
        level[0].x += above.middle - level[0].middle
        above = _row(level)
    for level in reversed(right):
        level[0].x += above.middle - level[0].up_sampled
        above = _row(level)
    y = 0.0
    for i, level in enumerate(left):
        row = [*level, *(right[i] if i < len(right) else [])]
        half = max(box.half_height for box in row)
        y += half + LABEL + (DOWN if i else EDGE)
        for box in row:
            box.y = y
        y += half + LABEL


def _row(level: list[Box]) -> Box:
    """Place the boxes behind the first one; the last 3x3 convolution's, from which it goes on."""
    for before, box in zip(level, level[1:], strict=False):
        apart = before.half_label + box.half_label + LETTER / 2
        box.x = max(before.right + ARROW, before.middle + apart - box.width / 2)
    return level[2]
