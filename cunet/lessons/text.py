"""A lesson on a terminal: paragraphs broken into lines, arrays side by side, pictures made of
characters."""

import inspect
import textwrap
from collections.abc import Iterable, Sequence
from functools import singledispatch

import numpy as np

from cunet.lessons.parts import (
    Arrays,
    Block,
    Check,
    Formula,
    Heading,
    Lines,
    Part,
    Picture,
    Table,
    Text,
)

WIDTH = 88  # characters of a line of text
ROUNDING = 1e-9  # what double precision leaves of sums that cancel
INK = " .:-=+*#%@"  # from low to high


def text(parts: Iterable[Part]) -> str:
    """The parts as lines of text, an empty one between two of them."""
    return "\n\n".join(_shown(part).rstrip("\n") for part in parts) + "\n"


@singledispatch
def _shown(part: Part) -> str:
    raise TypeError(f"a lesson has no {type(part).__name__}")


@_shown.register
def _(part: Heading) -> str:
    return f"{part.text}\n{'-' * len(part.text)}"


@_shown.register
def _(part: Text) -> str:
    return textwrap.fill(part.text, WIDTH)


@_shown.register
def _(part: Formula) -> str:
    return textwrap.indent(inspect.cleandoc(part.plain), "    ")


@_shown.register
def _(part: Arrays) -> str:
    columns = []
    for name, array in part.arrays.items():
        rows = [" ".join(map(number, row)) for row in np.atleast_2d(array)]
        columns.append((name.replace("_", " "), rows))
    return beside(columns)


@_shown.register
def _(part: Picture) -> str:
    columns = []
    for name, image in part.images.items():
        scaled = np.clip((image - part.low) / (part.high - part.low), 0, 1) * (len(INK) - 1)
        rows = ["|" + "".join(INK[int(round(v))] for v in row) + "|" for row in scaled]
        columns.append((name.replace("_", " "), rows))
    return beside(columns)


@_shown.register
def _(part: Lines) -> str:
    module, _, name = part.of.partition(":")
    lines = [f"{module.replace('.', '/')}.py, {name}:" if name else part.of]
    for code, why in part.steps:
        lines += ["", textwrap.indent(inspect.cleandoc(code), "    ")]
        lines += textwrap.wrap(why, WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6)
    return "\n".join(lines)


@_shown.register
def _(part: Table) -> str:
    rows = [part.head, *part.rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = [_row(row, widths) for row in rows]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


@_shown.register
def _(part: Block) -> str:
    return textwrap.indent(part.text, "  ")


@_shown.register
def _(part: Check) -> str:
    return f"{part.what}: largest difference {part.error:.0e} (at most {part.limit:g}): ok"


def number(value: float) -> str:
    """A number of an array, to three digits; what rounding leaves of 0 is 0."""
    return f"{0.0 if abs(value) < ROUNDING else value:5.3g}"


def beside(columns: Sequence[tuple[str, list[str]]]) -> str:
    """Columns of lines next to each other under their names."""
    blocks = []
    for name, rows in columns:
        width = max(len(line) for line in (name, *rows))
        blocks.append([line.center(width) for line in (name, *rows)])
    height = max(len(block) for block in blocks)
    for block in blocks:
        block += [" " * len(block[0])] * (height - len(block))
    lines = ["   ".join(line).rstrip() for line in zip(*blocks, strict=True)]
    return textwrap.indent("\n".join(lines), "  ")


def _row(cells: Sequence[str], widths: Sequence[int]) -> str:
    """The first cell at the left of its column, the others at the right of theirs."""
    first, *others = (
        cell.rjust(width) if column else cell.ljust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join([first, *others]).rstrip()
