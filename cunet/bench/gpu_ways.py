"""The ways in which a GPU's kernels can share a convolution's work: the one that cunet chooses, and
all others, for a benchmark that tries each."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from types import ModuleType
from typing import Any

from cunet.engines.gpu import box_tiles, cuda, tiles, weight_tiles

CHOOSERS = (tiles, box_tiles, weight_tiles)  # each has choose, choosing and its own sizes and ways
SHARES_OF_PARTS = (0.25, 0.5, 1, 2, 4)  # of the parts that the gradient of filters is summed in
# who was asked, for which sizes, and the way chosen
Asked = list[tuple[ModuleType, tuple[Any, ...], Any]]
Ways = Iterator[tuple[str, AbstractContextManager]]  # a name, and the context that has it chosen


@contextmanager
def remembering(asked: Asked) -> Iterator[None]:
    """Inside, every choice is made as always, and appended."""
    with ExitStack() as stack:
        for chooser in CHOOSERS:
            stack.enter_context(chooser.choosing(spy(chooser, chooser.choose.function, asked)))
        yield


def spy(chooser: ModuleType, choose: Callable, asked: Asked) -> Callable:
    """choose, which also appends what it was asked and what it chose."""

    def remembered(*sizes: Any) -> Any:
        way = choose(*sizes)
        asked.append((chooser, sizes, way))
        return way

    return remembered


def label(way: Any) -> str:
    """A way in a few characters: a tile or the name of a kernel, and how many parts are summed."""
    if isinstance(way, box_tiles.Cut):
        return f"box_{way.tile.filters}x{way.tile.pixels}/{way.parts}"
    if isinstance(way, weight_tiles.Cut):
        return f"{way.tile.name}/{way.parts}"
    tile, parts = way
    return f"{tile.rows}x{tile.columns}/{parts}"


def others(asked: Asked, numbers: tuple[int, ...]) -> Ways:
    """Every way that may be faster; numbers: of parts that tiles try."""
    if not asked:
        count = cuda.processors()
        for share in SHARES_OF_PARTS:
            yield f"x{share:g}", cuda.dividing_for(max(1, int(share * count)))
        return
    chooser, sizes, _ = asked[0]
    every = by_tiles(numbers, *sizes) if chooser is tiles else chooser.cuts(*sizes)
    for way in every:
        yield label(way), chooser.choosing(lambda *sizes, way=way: way)


def by_tiles(numbers: tuple[int, ...], pixels: int, channels: int, steps: int) -> Iterator[tuple]:
    """Every tile with every number of parts that may be faster."""
    for tile in tiles.available():
        grid = cuda.blocks(pixels, tile.rows) * cuda.blocks(channels, tile.columns)
        for parts in numbers:
            if parts == 1 or (parts <= steps // 4 and grid * (parts - 1) < 2 * cuda.processors()):
                yield tile, parts
