"""How ImageJ and Fiji show a TIFF when they open it: the range of values, the colours, the names.

Without it they stretch the first page from its lowest value to its highest, so that class ids look
black and a pale page looks like a strong one. Other programs read the same pixels as before: the
colour table is the tag that ImageJ itself writes beside grey values, and they ignore it there.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

_COLOUR_MAP = 320  # the tag
_TABLE = 256  # colours that ImageJ has for the values of a range
_MOST_NAMED = 10_000  # planes; names beyond are not worth their bytes


@dataclass(frozen=True)
class Display:
    """Values from `lowest`, black, to `highest`, white; or as the `colours` (256, 3) uint8, which
    are spread over that range.

        Display(0, 1)                               # probabilities
        Display(0, 255, class_colours(256))         # class k in the k-th colour
    """

    lowest: float
    highest: float
    colours: np.ndarray | None = None


def for_numbers(highest: int, colours: np.ndarray) -> Display:
    """For objects up to this number: each in a colour of its own up to 255, beyond that numbers
    that follow each other share one, and the lowest may look like background."""
    return Display(0, max(_TABLE - 1, highest), colours)


def write_options(
    display: Display | None, planes: int, channels: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """(keywords, metadata) with which tifffile's writer stores it in an ImageJ TIFF of so many
    planes, whose channels are classes, each shown in grey by itself."""
    if display is None:
        return {}, {}
    limits = [float(display.lowest), float(display.highest)]
    metadata: dict[str, Any] = dict(zip(("min", "max"), limits, strict=True))
    keywords: dict[str, Any] = {}
    if display.colours is not None:
        table = tuple((257 * display.colours.T.astype(int)).ravel().tolist())  # 257 * 255 = 65,535
        keywords["extratags"] = [(_COLOUR_MAP, "H", 3 * _TABLE, table, True)]
    if channels > 1:
        grey = np.tile(np.arange(_TABLE, dtype=np.uint8), (3, 1))
        metadata |= {"mode": "grayscale", "Ranges": limits * channels, "LUTs": [grey] * channels}
        if planes <= _MOST_NAMED:
            metadata["Labels"] = [f"class {plane % channels}" for plane in range(planes)]
    return keywords, metadata
