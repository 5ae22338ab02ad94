"""A lesson on a terminal: paragraphs broken into lines, arrays side by side, pictures made of
characters."""

import re
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
TOGETHER = re.compile(r"\[[^][]*\]|`[^`]*`")  # y[p, q] and `code` are not broken into two lines
NUMBER = re.compile(r"[-+]?\d|nan$|[-+]?inf$")  # how a cell with a number begins


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
    return "\n".join(wrapped(part.text))


@_shown.register
def _(part: Formula) -> str:
    return textwrap.indent(textwrap.dedent(part.plain).strip("\n"), "    ")


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
        lines += ["", textwrap.indent(code, "    "), *wrapped(why, " " * 6)]
    return "\n".join(lines)


@_shown.register
def _(part: Table) -> str:
    columns = []
    for cells, right in zip(zip(part.head, *part.rows, strict=True), numeric(part), strict=True):
        width = max(map(len, cells))
        columns.append([cell.rjust(width) if right else cell.ljust(width) for cell in cells])
    lines = ["  ".join(row).rstrip() for row in zip(*columns, strict=True)]
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])


@_shown.register
def _(part: Block) -> str:
    return textwrap.indent(part.text, "  ")


@_shown.register
def _(part: Check) -> str:
    error = f"{part.error:.0e}" if part.error else "0"
    return f"{part.what}: largest difference {error} (at most {part.limit:g}): ok"


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


def numeric(table: Table) -> list[bool]:
    """Which columns hold numbers, and stand at the right."""
    return [
        all(NUMBER.match(c) for c in filter(None, cells)) for cells in zip(*table.rows, strict=True)
    ]


def wrapped(words: str, indent: str = "") -> list[str]:
    """The lines of a paragraph."""
    glued = TOGETHER.sub(lambda found: found[0].replace(" ", "\0"), words)
    lines = textwrap.wrap(
        glued, WIDTH, initial_indent=indent, subsequent_indent=indent, break_on_hyphens=False
    )
    return [line.replace("\0", " ") for line in lines]
