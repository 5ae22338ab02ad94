"""The paper's network against that of a run: a fresh one is made, looked at and used.

The numbers are those of its filters, of one pass of noise through it, and of what its first
pooling makes of that; none is read from the settings alone.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from cunet.claims import facts
from cunet.claims.facts import ARCHITECTURE, Statement
from cunet.net.figure1 import rows
from cunet.net.shape import Shape
from cunet.net.sizes import fits, output_size
from cunet.net.tiles import smallest_tile
from cunet.net.unet import UNet
from cunet.terminal import plural

STANDARD_ERRORS = 5  # that the deviation of random filters may be away from what it should be


@dataclass(frozen=True)
class Check:
    """A statement of the paper, what this network has, and whether it is the same."""

    statement: Statement
    found: str
    holds: bool


@dataclass(frozen=True)
class Seen:
    """A fresh network, the outputs of its layers by name for one tile of noise, its filters."""

    net: UNet
    tile: int
    outputs: dict[str, np.ndarray]

    @property
    def filters(self) -> dict[str, np.ndarray]:
        """By the name of their layer, in the order in which data meets them."""
        ending = ".filters"
        all_of = self.net.parameters()
        return {p.name.removesuffix(ending): p.value for p in all_of if p.name.endswith(ending)}

    def of_size(self, side: int) -> dict[str, np.ndarray]:
        """The filters of side x side."""
        return {name: w for name, w in self.filters.items() if w.shape[0] == side}

    def side(self, layer: str) -> int:
        """Pixels of the side of a layer's output."""
        return int(self.outputs[layer].shape[1])


def checks(shape: Shape, tile: int, seed: int = 0) -> list[Check]:
    """What the paper says of its network, each compared with a network of this shape. tile: the
    side that the run trained with; seed: that of its weights."""
    seen = _look(shape, seed)
    found = {
        "layers": _layers(seen),
        "convolutions": _convolutions(seen),
        "pooling": _pooling(seen),
        "doubling": _doubling(seen),
        "halving": _halving(seen),
        "skips": _skips(seen),
        "sizes": _sizes(seen),
        "head": _head(seen),
        "even": _even(shape, tile),
        "initialisation": _initialisation(seen),
        "parameters": _parameters(seen),
    }
    return [
        Check(statement, found[name][0], bool(found[name][1]))
        for name, statement in ARCHITECTURE.items()
    ]


def _look(shape: Shape, seed: int) -> Seen:
    net, tile = UNet(**vars(shape), seed=seed), smallest_tile(shape.depth, shape.padding)
    noise = np.random.default_rng(seed).standard_normal((1, tile, tile, shape.in_channels))
    outputs: dict[str, np.ndarray] = {}

    def keep(name: str, y: Any) -> None:
        outputs[name] = np.asarray(y).copy()  # its array may be used again

    net(noise.astype(np.float32), remember=False, watch=keep)
    return Seen(net, tile, outputs)


def _layers(seen: Seen) -> tuple[str, bool]:
    count = len(seen.filters)
    return f"{count} layers with filters", count == facts.LAYERS


def _convolutions(seen: Seen) -> tuple[str, bool]:
    net, names = seen.net, list(seen.of_size(3))
    lost = seen.tile - seen.side("contract0.conv1")
    words = f"{plural(len(names), 'convolution')} of 3x3, each makes the image {lost} smaller"
    if net.shape.batch_norm:
        return f"{words}; batch normalization before each ReLU", False
    lowest = min(seen.outputs[name].min() for name in names)
    cut = sum((seen.outputs[name] == 0).mean() for name in names) / len(names)
    words += f"; no output is below {lowest:g}, {100 * cut:.0f} % are 0"
    two = len(names) == 2 * (2 * net.shape.depth + 1)
    return words, two and lost == 2 and lowest == 0 and cut > 0


def _pooling(seen: Seen) -> tuple[str, bool]:
    image, pool = seen.outputs[_last(0)], seen.net.levels[0].pool
    if pool is None:
        return "no pooling", False
    pooled = np.asarray(pool(image)[0])
    n, h, w, c = image.shape
    wanted = image.reshape(n, h // 2, 2, w // 2, 2, c).max((2, 4))
    same = pooled.shape == wanted.shape and bool((pooled == wanted).all())
    sides = f"{h} -> {pooled.shape[1]} pixels"
    how = "every" if same else "not every"
    return f"{sides}; {how} output is the largest of its 2x2 inputs", same


def _doubling(seen: Seen) -> tuple[str, bool]:
    depth = seen.net.shape.depth
    widths = [seen.filters[_last(i)].shape[3] for i in range(depth + 1)]
    doubled = all(b == 2 * a for a, b in zip(widths, widths[1:], strict=False))
    return ", ".join(map(str, widths)), doubled


def _halving(seen: Seen) -> tuple[str, bool]:
    ups = [w.shape[2:] for name, w in seen.filters.items() if name.endswith(".up")]
    sizes = {w.shape[:2] for name, w in seen.filters.items() if name.endswith(".up")}
    words = ", ".join(f"{a} -> {b}" for a, b in ups)
    if ups and min(y.min() for name, y in seen.outputs.items() if name.endswith(".up")) >= 0:
        words += "; a ReLU after each, of which the paper says nothing"
    return words, sizes == {(2, 2)} and all(a == 2 * b for a, b in ups)


def _skips(seen: Seen) -> tuple[str, bool]:
    crops, joined = [], []
    for i in range(seen.net.shape.depth):
        up, skip = (seen.filters[name].shape[3] for name in (f"expand{i}.up", _last(i)))
        joined.append(seen.filters[f"expand{i}.conv1"].shape[2] == up + skip)
        crops.append((seen.side(_last(i)) - seen.side(f"expand{i}.up")) // 2)
    words = f"cropped by {', '.join(map(str, crops))} pixels on each side, from the top down"
    return words if any(crops) else "concatenated whole: nothing is cropped", (
        all(joined) and all(crop > 0 for crop in crops)
    )


def _last(i: int) -> str:
    return f"contract{i}.conv2"


def _sizes(seen: Seen) -> tuple[str, bool]:
    shape, out = seen.net.shape, seen.side("head")
    small = f"{seen.tile} -> {out} measured"
    if not fits(facts.TILE_IN, shape.depth, shape.padding):
        return f"{facts.TILE_IN} does not fit; {small}", False
    large = output_size(facts.TILE_IN, shape.depth, shape.padding)
    same = large == facts.TILE_OUT and out == output_size(seen.tile, shape.depth, shape.padding)
    return f"{facts.TILE_IN} -> {large}; {small}", same


def _head(seen: Seen) -> tuple[str, bool]:
    rows_, columns, channels, outputs = seen.filters["head"].shape
    words = f"{rows_}x{columns}, {channels} channels to {plural(outputs, 'output')}"
    wanted = (1, 1, facts.CHANNELS, seen.net.shape.classes)
    return words, (rows_, columns, channels, outputs) == wanted


def _even(shape: Shape, tile: int) -> tuple[str, bool]:
    table = rows(shape, tile)
    sides = [a.shape[0] for a, b in zip(table, table[1:], strict=False) if b.name.endswith(".pool")]
    words = f"tile {tile}: poolings of {', '.join(map(str, sides))} pixels"
    return words, all(side % 2 == 0 for side in sides)


def _initialisation(seen: Seen) -> tuple[str, bool]:
    ratios, good = [], True
    for name, w in seen.filters.items():
        incoming = w.shape[2] if name.endswith(".up") else w[..., 0].size
        deviation = float(np.sqrt(np.mean(np.square(w, dtype=np.float64))))
        ratios.append(deviation / np.sqrt(2 / incoming))
        good &= abs(ratios[-1] - 1) < STANDARD_ERRORS / np.sqrt(2 * w.size)
    return (
        f"measured over wanted deviation: {min(ratios):.3f} to {max(ratios):.3f} in "
        f"{plural(len(ratios), 'layer')}",
        good,
    )


def _parameters(seen: Seen) -> tuple[str, bool]:
    count = sum(p.value.size for p in seen.net.parameters())
    return f"{count:,}", count == facts.PARAMETERS
