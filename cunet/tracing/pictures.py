"""The pictures of a trace, as PNG or SVG inside the page. H W: height and width of a picture."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from cunet.pictures.colours import heat
from cunet.pictures.inline import data_address
from cunet.reporting.page import escape
from cunet.reporting.pictures import data_uri

SIDE = 104  # pixels of a channel's longer side on the page
LEVELS = 16  # of either colour: few, so that three hundred pictures are a small page
SATURATED = 99.5  # percentile of |value| from which on colours are full
BELOW, ABOVE = (120, 200, 255), (255, 170, 60)  # the colours of numbers below and above 0
DECADES = 6  # that a picture on a logarithmic scale shows


def signed_uri(plane: np.ndarray, side: int = SIDE) -> tuple[str, float]:
    """A channel (H, W) as a data URI, 0 black, numbers below and above in two colours; and the
    number at which these are full."""
    picture = Image.fromarray(plane.astype(np.float32))
    picture.thumbnail((side, side), Image.Resampling.BOX)
    small = np.asarray(picture)
    full = float(np.percentile(np.abs(small), SATURATED)) or float(np.abs(small).max())
    level = np.rint(np.clip(small / (full or 1.0), -1, 1) * LEVELS).astype(int) + LEVELS
    shown = Image.fromarray(level.astype(np.uint8), "P")
    shown.putpalette(_palette().tobytes())
    return data_address(shown, optimize=True), full


def _palette() -> np.ndarray:
    """(2 LEVELS + 1, 3) uint8 from BELOW over black to ABOVE."""
    share = np.abs(np.arange(-LEVELS, LEVELS + 1))[:, None] / LEVELS
    colour = np.where(np.arange(-LEVELS, LEVELS + 1)[:, None] < 0, BELOW, ABOVE)
    return np.rint(share**0.8 * colour).astype(np.uint8)


def decades_uri(magnitude: np.ndarray) -> str:
    """Magnitudes (H, W) on a logarithmic scale, DECADES below the largest dark, the largest bright;
    black what is 0."""
    largest = max(float(magnitude.max()), np.finfo(float).tiny)
    with np.errstate(divide="ignore"):
        decades = np.log10(magnitude / largest) + DECADES
    picture = heat(np.clip(decades, 0, DECADES), DECADES)
    picture[magnitude == 0] = 0
    return data_uri(picture)


def difference_uri(change: np.ndarray) -> str:
    """A change of probability (H, W) from -1 to 1, 0 black, in the colours of numbers below and
    above 0."""
    level = np.rint(np.clip(change, -1, 1) * LEVELS).astype(int) + LEVELS
    return data_uri(_palette()[level])


@dataclass(frozen=True)
class Box:
    """A rectangle on a picture: (first, last) rows and columns, and its class in the style."""

    rows: tuple[int, int]
    columns: tuple[int, int]
    kind: str


def boxed(uri: str, height: int, width: int, boxes: Sequence[Box], spoken: str) -> str:
    """A picture of height x width pixels with boxes drawn around pixels, as SVG; a box of one pixel
    becomes a cross, which can be seen."""
    drawn = []
    for box in boxes:
        (top, bottom), (left, right) = box.rows, box.columns
        if (top, left) == (bottom, right):
            y, x, arm = top + 0.5, left + 0.5, max(height, width) / 30
            path = f"M{x - arm} {y}H{x + arm}M{x} {y - arm}V{y + arm}"
            drawn.append(f'<path class="{box.kind}" d="{path}"/>')
            continue
        drawn.append(
            f'<rect class="{box.kind}" x="{left}" y="{top}" width="{right - left + 1}" '
            f'height="{bottom - top + 1}"/>'
        )
    return (
        f'<svg class="boxed" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(spoken)}"><image href="{uri}" width="{width}" height="{height}"/>'
        + "".join(drawn)
        + "</svg>"
    )
