"""The convolutions of a network as problems to time one by one: sizes alone, no data."""

from collections.abc import Iterator
from dataclasses import dataclass

from cunet.engines.gpu import first_layer
from cunet.net.figure1 import rows
from cunet.net.shape import Shape

TURN_SECONDS = 0.005  # that a graph is timed for


@dataclass(frozen=True)
class Problem:
    """A convolution of the network.

    side: of its input; channels: of each of its images; outer: the side of the skip, from whose
    centre the second image is cut (0: there is one image).
    """

    name: str
    up: bool
    side: int
    channels: tuple[int, ...]
    outputs: int
    flops: int
    outer: int = 0

    @property
    def out(self) -> int:
        """The side of its output."""
        return 2 * self.side if self.up else self.side - 2


def problems(width: int, depth: int, tile: int) -> Iterator[Problem]:
    """All convolutions that the tensor cores do, in the order in which data meets them."""
    table, channels = rows(Shape(width, depth), tile), 1
    skips: dict[str, int] = {}  # the side of each level's skip
    for row in table:
        side, _, outputs = row.shape
        level = row.name.partition(".")[0].replace("expand", "contract")
        if row.kind.startswith("up"):
            yield Problem(row.name, True, side // 2, (channels,), outputs, row.flops)
        elif row.kind.startswith("conv 3x3") and channels > first_layer.MAX_IMAGE_CHANNELS:
            pair = row.name.startswith("expand") and row.name.endswith("conv1")
            halves = (channels - outputs, outputs) if pair else (channels,)
            outer = skips[level] if pair else 0
            yield Problem(row.name, False, side + 2, halves, outputs, row.flops, outer)
        if row.name.endswith("conv2"):
            skips.setdefault(level, side)
        channels = outputs
