"""Which network that comes with cunet is made for an image, by the look of the image.

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
a word, is worse than a question.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from cunet.errors import CunetError, DataError
from cunet.files import as_grey, open_image
from cunet.files.image_file import ImageFile
from cunet.models.places import BOX
from cunet.models.record import read_record

SIDE = 512  # pixels of a window
SMALLEST = 32  # pixels of a side; less shows too little
PAGES = 3  # of a stack, evenly spread
LINE = 9  # pixels; what is narrower is filled by closing
COLOURED = 0.06  # mean difference of the channels
STAINED = "a stained section"
MODELS = {"electron microscopy": "em", "fluorescence": "nuclei", STAINED: "nuclei"}
UNKNOWN = ""


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
        """One of MODELS, or UNKNOWN."""
        if self.colour > COLOURED:
            stained = self.green < 0.01 and self.light > 0.75 and self.median > 0.4
            return STAINED if stained and self.noise < 0.3 else UNKNOWN
        if self.noise > 0.6:
            return UNKNOWN
        if self.median < 0.25 and self.dark > 0.5 and self.skew > 0.4:
            return "fluorescence"
        thin_dark_lines = self.lines > 0.35 and self.sign > 1.02 and 0.3 < self.fine < 0.75
        if 0.4 < self.median < 0.75 and abs(self.skew) < 0.9 and thin_dark_lines:
            return "electron microscopy"
        return UNKNOWN


@dataclass(frozen=True)
class Choice:
    """The network for some images, by its name, and a line for the user that says why."""

    model: str
    said: str


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


def kinds_in(image: ImageFile) -> Counter[str]:
    """How many windows of an open image are of which kind; those that show nothing do not count.

    DataError where it has channels that are neither grey nor colours.
    """
    image = as_grey(image, blank=False)
    if image.channels not in (1, 3):
        raise DataError(
            f"'{image.path}' has {image.channels} channels (axes {image.axes}), the networks that "
            "come with cunet take grey images, nuclei also colours; save one of the channels, or "
            "give a --model made for them"
        )
    looks = (look_at(image.read_window(*place)) for place in _places(image))
    return Counter(look.kind for look in looks if look is not None)


def for_files(files: Iterable[str | Path]) -> Choice:
    """The network for image files; errors as in `choice`, and where one cannot be read."""
    found = {}
    for file in files:
        with open_image(file) as image:
            found[str(file)] = kinds_in(image)
    return choice(found)


def choice(found: Mapping[str, Counter[str]]) -> Choice:
    """The network for images, from the kinds of their windows by the name of each image.

    CunetError where half of the windows or more are of no kind, and where images are of several.
    """
    all_kinds = sum(found.values(), Counter[str]())
    known = Counter({kind: n for kind, n in all_kinds.items() if kind != UNKNOWN})
    first = dict[str, tuple[str, str]]()
    for name, kinds in found.items():
        for kind in filter(None, kinds):
            first.setdefault(MODELS[kind], (name, kind))
    if len(first) > 1:
        both = " and ".join(f"'{name}' looks like {kind}" for name, kind in first.values())
        raise CunetError(
            f"{both}: no network that comes with cunet is for both, and no run of use is below "
            f"runs/. {_ways()}"
        )
    if 2 * known.total() <= all_kinds.total():
        first_odd = next((name for name, seen in found.items() if UNKNOWN in seen or not seen), "")
        raise CunetError(
            f"'{first_odd}' looks like neither EM nor nuclei, and no run of use is below runs/. "
            f"{_ways()}"
        )
    (model,) = first
    others = " or ".join(name for name in BOX if name != model)
    what = " and ".join(sorted(known))
    record = read_record(BOX[model])
    terms = f" ({record.license})" if record else ""
    said = f"taken for {what}: model {_purpose(model)}{terms}; another: --model {others}"
    odd = sum(set(seen) == {UNKNOWN} for seen in found.values() if seen)
    said += f"; {odd} of {len(found)} images look like neither" if odd else ""
    said += "; expect errors in stained sections, see its card" if STAINED in known else ""
    return Choice(model, said)


def _ways() -> str:
    """What to type instead."""
    given = "; ".join(f"--model {_purpose(name)}" for name in BOX)
    return f"Say which to use: {given}; or train your own: cunet train --data FOLDER"


def _purpose(name: str) -> str:
    """The name of a network that comes with cunet, and what it is for."""
    record = read_record(BOX[name])
    return f"{name}, for {record.made_for}" if record else name


def _places(image: ImageFile) -> Iterator[tuple[int, int, int, int, int]]:
    """Page, rows and columns of the windows: the middle of some pages and, of a large page, the
    middles of its quarters."""
    for page in sorted({round((image.pages - 1) * k / (PAGES + 1)) for k in range(1, PAGES + 1)}):
        quarters = [0.25, 0.75] if min(image.height, image.width) >= 4 * SIDE else []
        for down, across in ((0.5, 0.5), *((y, x) for y in quarters for x in quarters)):
            r0, r1 = _span(image.height, down)
            c0, c1 = _span(image.width, across)
            yield page, r0, r1, c0, c1


def _span(size: int, middle: float) -> tuple[int, int]:
    """First and last + 1 of the pixels of a window around a place, from 0 to 1, of a side."""
    first = min(max(round(size * middle) - SIDE // 2, 0), max(size - SIDE, 0))
    return first, min(first + SIDE, size)


def _stretched(x: np.ndarray) -> np.ndarray | None:
    """x from 0 to 1 between its first and its last hundredth; None where these are equal."""
    low, high = np.percentile(x, [1, 99])
    return np.clip((x - low) / (high - low), 0, 1) if high > low else None
