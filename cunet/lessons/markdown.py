"""A lesson as Markdown, for the book and for notebooks: formulas between $$, pictures inside."""

import html
import inspect
import re
from collections.abc import Iterable
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
from cunet.lessons.text import number, numeric
from cunet.lessons.text import text as plain
from cunet.pictures.inline import data_address

SIDE = 240  # pixels that a picture takes on the page, at least
LITERAL = {ord(c): f"&#{ord(c)};" for c in "\\*_<$"}  # what has a meaning in Markdown


def markdown(parts: Iterable[Part]) -> str:
    """The parts as Markdown, an empty line between two of them."""
    return "\n\n".join(_shown(part) for part in parts) + "\n"


@singledispatch
def _shown(part: Part) -> str:
    raise TypeError(f"a lesson has no {type(part).__name__}")


@_shown.register
def _(part: Heading) -> str:
    return f"## {part.text}"


@_shown.register
def _(part: Text) -> str:
    return prose(part.text)


@_shown.register
def _(part: Formula) -> str:
    return f"$$\n{inspect.cleandoc(part.latex)}\n$$"


@_shown.register
def _(part: Arrays) -> str:
    """Every array is a table of its own; they stand side by side where the page is wide enough."""
    tables = []
    for name, array in part.arrays.items():
        rows = "".join(
            "<tr>" + "".join(f"<td>{number(value).strip()}</td>" for value in row) + "</tr>"
            for row in np.atleast_2d(array)
        )
        caption = f"<figcaption>{_shown_name(name)}</figcaption>"
        tables.append(f'<figure>{caption}<table class="numbers">{rows}</table></figure>')
    return f'<div class="arrays">{"".join(tables)}</div>'


@_shown.register
def _(part: Picture) -> str:
    figures = []
    for name, image in part.images.items():
        scaled = np.clip((image - part.low) / (part.high - part.low), 0, 1)
        times = max(1, -(-SIDE // max(image.shape)))
        height, width = (times * side for side in image.shape)
        shown, source = _shown_name(name), _png(scaled)
        picture = f'<img src="{source}" width="{width}" height="{height}" alt="{shown}">'
        figures.append(f"<figure>{picture}<figcaption>{shown}</figcaption></figure>")
    return f'<div class="arrays">{"".join(figures)}</div>'


@_shown.register
def _(part: Lines) -> str:
    module, _, name = part.of.partition(":")
    blocks = [f"`{module.replace('.', '/')}.py`, `{name}`:" if name else f"`{part.of}`:"]
    for code, why in part.steps:
        blocks += [f"```python\n{code}\n```", prose(why)]
    return "\n\n".join(blocks)


@_shown.register
def _(part: Table) -> str:
    head, *rows = (
        [prose(cell).replace("|", "&#124;") for cell in row] for row in (part.head, *part.rows)
    )
    rule = ["--:" if right else ":--" for right in numeric(part)]
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, rule, *rows))


@_shown.register
def _(part: Block) -> str:
    return f"```text\n{part.text.rstrip()}\n```"


@_shown.register
def _(part: Check) -> str:
    return prose(plain([part]).strip())


def prose(words: str) -> str:
    """Words outside of `code` that mean themselves: 2*3*4 is no emphasis, a < b no tag."""
    code = re.split(r"(`[^`]*`)", words)
    code[::2] = [outside.translate(LITERAL) for outside in code[::2]]
    return "".join(code)


def _shown_name(name: str) -> str:
    return html.escape(name.replace("_", " "))


def _png(image: np.ndarray) -> str:
    """An image (H, W) from 0, white, to 1, black, as the address of a PNG in itself."""
    from PIL import Image

    return data_address(Image.fromarray(np.uint8(np.rint(255 * (1 - image)))))
