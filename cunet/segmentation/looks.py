"""Of which kind an image is, by its look: a kind that a network comes with cunet for, or none.

A few windows of an image are looked at, each at the scale of its own grey values. H W C are the
height, width and channels of a window; g is its grey picture, from 0 (the darkest hundredth of the
pixels) to 1 (the brightest), smoothed by one pixel.

    electron microscopy   mid grey, with dark lines as thin as membranes at 4 nm a pixel: closing g
                          by 9 x 9 pixels fills them. Much of its variation is finer than 8 pixels,
                          but not nearly all of it, as in differential interference contrast
    fluorescence          most pixels at the dark end, and a tail of bright, smooth objects
    stained               coloured, green the weakest, on a bright ground

The limits lie in the gaps that were found between the 60 slices of ISBI 2012, the 530 images of the
Data Science Bowl 2018, and the sequences DIC-C2DH-HeLa and PhC-C2DH-U373 of the Cell Tracking
Challenge, which are none of the three. What lies outside them is of no kind, such as the few images
in bright field of the Data Science Bowl, in which the network fails: a wrong network, taken without
a word, is worse than a question. What is to be inverted or rescaled is looked at as the network
will see it.
"""

from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from cunet.data.resize import scale_image
from cunet.errors import DataError
from cunet.files import as_grey
from cunet.files.image_file import ImageFile
from cunet.files.inverted import InvertedImage

SIDE = 512  # pixels of a window
SMALLEST = 32  # pixels of a side; less shows too little
PAGES = 3  # of a stack, evenly spread
LINE = 9  # pixels; what is narrower is filled by closing
COLOURED = 0.06  # mean difference of the channels
STAINED = "a stained section"
EM = "electron microscopy"
FLUORESCENCE = "fluorescence"
KINDS = (EM, FLUORESCENCE, STAINED)
UNKNOWN = ""
INVERTED_EM = "inverted electron microscopy"  # of no network until it is inverted


class Look(NamedTuple):
    """What is measured of a window; grey values are from 0 to 1.

    colour   mean difference between the strongest and the weakest channel
    green    how far the mean of green lies above the lower of red and blue
    light    the mean of the brightest channel
    median, skew, dark   of g: its median, its skewness, and the share of it below 1/4
    noise    what smoothing takes away, over the deviation of g
    fine     the share of the variance of g that is finer than 8 pixels
    lines    what closing fills on the mean, over the deviation of g
    sign     the same over what opening takes away: above 1 where lines are dark
    """

    colour: float
    green: float
    light: float
    median: float
    skew: float
    dark: float
    noise: float
    fine: float
    lines: float
    sign: float

    @property
    def kind(self) -> str:
        """One of KINDS, or UNKNOWN."""
        if self.colour > COLOURED:
            stained = self.green < 0.01 and self.light > 0.75 and self.median > 0.4
            return STAINED if stained and self.noise < 0.3 else UNKNOWN
        if self.noise > 0.6:
            return UNKNOWN
        if self.median < 0.25 and self.dark > 0.5 and self.skew > 0.4:
            return FLUORESCENCE
        thin_dark_lines = self.lines > 0.35 and self.sign > 1.02 and 0.3 < self.fine < 0.75
        if 0.4 < self.median < 0.75 and abs(self.skew) < 0.9 and thin_dark_lines:
            return EM
        return UNKNOWN


def look_at(window: np.ndarray) -> Look | None:
    """What is to be seen in a window (H, W, C) of one or three channels; None where that is
    nothing: it is too small, or of one value."""
    if min(window.shape[:2]) < SMALLEST:
        return None
    x = np.asarray(window, np.float32)
    finite = np.isfinite(x)
    if not finite.all():  # refused by whoever segments it, with a better reason
        x = np.where(finite, x, np.median(x[finite]) if finite.any() else 0)
    colours = _stretched(x)
    if colours is None:
        return None
    channels = colours.mean((0, 1))
    spread = float((colours.max(2) - colours.min(2)).mean())
    green = float(channels[1] - min(channels[0], channels[2])) if len(channels) == 3 else 0.0
    grey = _stretched(colours.mean(2))
    if grey is None:
        return None
    g = ndimage.gaussian_filter(grey, 1)
    deviation = float(g.std())
    filled = float((ndimage.grey_closing(g, (LINE, LINE)) - g).mean())
    taken = float((g - ndimage.grey_opening(g, (LINE, LINE))).mean())
    if not deviation > 0 or not taken > 0:
        return None
    return Look(
        colour=spread,
        green=green,
        light=float(channels.max()),
        median=float(np.median(grey)),
        skew=float(((g - g.mean()) ** 3).mean()) / deviation**3,
        dark=float((g < 0.25).mean()),
        noise=float((grey - g).std()) / deviation,
        fine=float((g - ndimage.gaussian_filter(g, 8)).var()) / deviation**2,
        lines=filled / deviation,
        sign=filled / taken,
    )


def kinds_in(
    image: ImageFile, invert: bool = False, times: tuple[float, float] | None = None
) -> Counter[str]:
    """How many windows of an open image are of which kind; those that show nothing do not count.

    invert: bright and dark are exchanged first. times: how many times as high and wide the image
    will be to the network for electron microscopy, where it is rescaled. DataError where it has
    channels that are neither grey nor colours.
    """
    image = as_grey(image, blank=False)
    if image.channels not in (1, 3):
        raise DataError(
            f"'{image.path}' has {image.channels} channels (axes {image.axes}), the networks that "
            "come with cunet take grey images, nuclei also colours; save one of the channels, or "
            "give a --model made for them"
        )
    shown = InvertedImage(image) if invert else image
    kinds = (_kind(shown.read_window(*place), times) for place in _places(shown))
    return Counter(kind for kind in kinds if kind is not None)


def _kind(window: np.ndarray, times: tuple[float, float] | None) -> str | None:
    """That of a window (H, W, C); None where there is nothing to see."""
    look = look_at(window)
    if look is None or look.kind != UNKNOWN:
        return look and look.kind
    if times is not None:
        # as much as gives a window of the usual size; EM alone has a size to be rescaled to
        sides = zip(window.shape[:2], times, strict=True)
        spans = [_span(size, 0.5, max(1, round(SIDE / ratio))) for size, ratio in sides]
        part = window[slice(*spans[0]), slice(*spans[1])]
        sides = zip(part.shape[:2], times, strict=True)
        seen = look_at(scale_image(part, *(max(1, round(n * ratio)) for n, ratio in sides)))
        if seen is not None and seen.kind == EM:
            return EM
    negative = look_at(-window.astype(np.float32))
    return INVERTED_EM if negative is not None and negative.kind == EM else UNKNOWN


def _places(image: ImageFile) -> Iterator[tuple[int, int, int, int, int]]:
    """Page, rows and columns of the windows: the middle of some pages and, of a large page, the
    middles of its quarters."""
    for page in sorted({round((image.pages - 1) * k / (PAGES + 1)) for k in range(1, PAGES + 1)}):
        quarters = [0.25, 0.75] if min(image.height, image.width) >= 4 * SIDE else []
        for down, across in ((0.5, 0.5), *((y, x) for y in quarters for x in quarters)):
            r0, r1 = _span(image.height, down)
            c0, c1 = _span(image.width, across)
            yield page, r0, r1, c0, c1


def _span(size: int, middle: float, most: int = SIDE) -> tuple[int, int]:
    """First and last + 1 of the pixels of a window around a place, from 0 to 1, of a side."""
    first = min(max(round(size * middle) - most // 2, 0), max(size - most, 0))
    return first, min(first + most, size)


def _stretched(x: np.ndarray) -> np.ndarray | None:
    """x from 0 to 1 between its first and its last hundredth; None where these are equal."""
    low, high = np.percentile(x, [1, 99])
    return np.clip((x - low) / (high - low), 0, 1) if high > low else None
