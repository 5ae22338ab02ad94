"""What a lesson is made of. A lesson yields these in the order in which they are read; how they
look on a terminal is in text.py, on a page in markdown.py.

Texts are plain English with `code` between backticks, and know no lines: whoever shows them breaks
them.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cunet.errors import CheckError
from cunet.net.gradcheck import difference


@dataclass(frozen=True)
class Heading:
    """The title of what follows."""

    text: str


@dataclass(frozen=True)
class Text:
    """A paragraph."""

    text: str


@dataclass(frozen=True)
class Formula:
    """A formula as it is typed, in one line or several, and in LaTeX."""

    plain: str
    latex: str


@dataclass(frozen=True)
class Arrays:
    """Small arrays (H, W) or (W) as numbers, side by side under their names, in which _ is a
    space."""

    arrays: dict[str, np.ndarray]


@dataclass(frozen=True)
class Picture:
    """Arrays (H, W) as pictures, side by side under their names; `low` is blank, `high` black."""

    images: dict[str, np.ndarray]
    low: float
    high: float


@dataclass(frozen=True)
class Lines:
    """Lines of the code of `of` ("cunet.ops.conv:backward"), each as it stands there but for the
    indentation and a comment behind it, with the reason for it."""

    of: str
    steps: Sequence[tuple[str, str]]


@dataclass(frozen=True)
class Table:
    """Rows of text under their heads; columns of numbers stand at the right."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Block:
    """Lines of characters that are shown as they are."""

    text: str


@dataclass(frozen=True)
class Check:
    """Two results that must agree: how far they are apart, and how far they may be.

    Raises CheckError where they are further apart.
    """

    what: str
    error: float
    limit: float

    def __post_init__(self) -> None:
        if not self.error <= self.limit:  # NaN is not
            raise CheckError(
                f"lesson: {self.what}: expected a difference of at most {self.limit:g}, found "
                f"{self.error:.1e}"
            )


Part = Heading | Text | Formula | Arrays | Picture | Lines | Table | Block | Check
Parts = Iterator[Part]


def measured(loss: Callable[[], float], x: np.ndarray, step: float = 1e-4) -> np.ndarray:
    """dL/dx by finite differences: (L(v + step) - L(v - step)) / (2 step) for every element v of
    x, which loss reads and which is put back."""
    return np.reshape([difference(loss, x, i, step) for i in np.ndindex(x.shape)], x.shape)


def apart(*arrays: Any) -> float:
    """The largest difference of any of the arrays from the first."""
    return max(float(np.abs(np.subtract(array, arrays[0])).max()) for array in arrays[1:])
