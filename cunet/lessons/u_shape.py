"""The U in characters, for the lesson `unet`: sizes watched in a network while it runs."""

from collections.abc import Sequence

import numpy as np

from cunet.engines import definition
from cunet.net.unet import UNet


def sides(tile: int, depth: int) -> dict[str, int]:
    """The side of the image after every layer, watched in a real network of width 1."""
    found: dict[str, int] = {}
    x = np.zeros((1, tile, tile, 1), np.float32)
    net = UNet(width=1, depth=depth, engine=definition)
    net(x, remember=False, watch=lambda name, y: found.update({name: y.shape[1]}))
    return found


def picture(tile: int, depth: int, width: int) -> str:
    """The U in characters: a line for each level, its channels first, and one of arrows below."""
    at = sides(tile, depth)
    left, start = [], [0]
    for i in range(depth + 1):
        left.append((tile, at[f"contract{i}.conv1"], at[f"contract{i}.conv2"]))
        tile = left[i][-1] // 2
        start.append(start[i] + len(_dashed(left[i])) - 2 - _middle(tile))
    lines = [" " * start[depth] + _dashed(left[depth], "----")]
    for i in reversed(range(depth)):
        right = [at[f"expand{i}.{layer}"] for layer in ("up", "conv1", "conv2")]
        way_up = len(lines[0]) - 2
        lines.insert(0, " " * (start[i + 1] + _middle(left[i + 1][0])) + "v")
        lines[0] = lines[0].ljust(way_up) + "^"
        line, crop = " " * start[i] + _dashed(left[i]), (left[i][-1] - right[0]) // 2
        arrow = f"{crop}".center(way_up - _middle(right[0]) - len(line) - 3, "-")
        lines.insert(0, f"{line} {arrow}> {_dashed(right)}")
    named = (f"{width << i // 2:>8}  " if i % 2 == 0 else " " * 10 for i in range(len(lines)))
    return "channels\n" + "\n".join(map("".join, zip(named, lines, strict=True)))


def _dashed(numbers: Sequence[int], dash: str = "-") -> str:
    return dash.join(map(str, numbers))


def _middle(number: int) -> int:
    """Where the middle of a number is, in characters from its beginning."""
    return (len(str(number)) - 1) // 2
