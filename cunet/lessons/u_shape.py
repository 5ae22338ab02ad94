"""The U in characters, for the lesson `unet`: sizes watched in a network while it runs."""

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
    left: list[str] = []  # the line of each level as far as its skip
    side, column = tile, _middle(tile)
    for i in range(depth + 1):
        down = [side, at[f"contract{i}.conv1"], at[f"contract{i}.conv2"]]
        dash = "----" if i == depth else "-"
        left.append(" " * (column - _middle(side)) + dash.join(map(str, down)))
        column, side = _last_middle(left[i]), down[-1] // 2
    lines = [left[depth]]
    for i in reversed(range(depth)):
        up = [at[f"expand{i}.{layer}"] for layer in ("up", "conv1", "conv2")]
        crop = (at[f"contract{i}.conv2"] - up[0]) // 2
        column = _last_middle(lines[0])
        arrows = (" " * _last_middle(left[i]) + "v").ljust(column) + "^"
        skip = f"{crop}".center(column - _middle(up[0]) - len(left[i]) - 3, "-")
        lines = [f"{left[i]} {skip}> {'-'.join(map(str, up))}", arrows, *lines]
    named = (f"{width << i // 2:4}  " if i % 2 == 0 else " " * 6 for i in range(len(lines)))
    return "\n".join(map("".join, zip(named, lines, strict=True)))


def _middle(number: int) -> int:
    """Where the middle of a number is, in characters from its beginning."""
    return (len(str(number)) - 1) // 2


def _last_middle(line: str) -> int:
    """Where the middle of the last number of a line is."""
    last = line.rpartition("-")[2]
    return len(line) - len(last) + _middle(int(last))
