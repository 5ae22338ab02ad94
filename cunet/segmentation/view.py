"""The image as the network is to see it: its pixels as large as those of the training, bright and
dark exchanged; and what a user must hear where it looks like neither.

Probabilities are scaled back, so that every product has the image's own pixels. H W C K: height,
width, channels and classes.
"""

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from cunet.data.polarity import Read, skewness
from cunet.data.resize import resize_probability, scale_image
from cunet.data.room import machine_memory
from cunet.data.values import check_values
from cunet.errors import CunetError, DeviceError
from cunet.files.calibration import Calibration
from cunet.files.frames import Frames
from cunet.files.image_file import ImageFile
from cunet.files.inverted import InvertedImage
from cunet.files.pixel_size import SQUARE, PixelSize
from cunet.net.unet import UNet
from cunet.terminal import size as in_words

FEWEST = 256 * 256  # pixels of an image: those of smaller ones have skewnesses of any sign
ROUNDED = 1.01  # times: sizes that differ by less are the same one, rounded
SMALLEST = 16  # pixels a side: what is scaled to fewer has no structure left
INVERTS = "cunet segment inverts it with --invert"  # what a user is told to do
RESCALE = "give --rescale"
Bands = Callable[..., Iterator[tuple[int, np.ndarray]]]


@dataclass(frozen=True)
class View:
    """How an image is shown to a network.

    to       (height, width) that it is scaled to; None: its own
    invert   whether bright and dark are exchanged first
    given    the size of its pixels that a user gave, where its file does not say the same
    made_by  all three, as a product's description has them
    said     the first, for the user; "" where nothing is scaled
    warning  what a user must hear of the pixel size, or ""
    """

    to: tuple[int, int] | None = None
    invert: bool = False
    made_by: str = ""
    said: str = ""
    warning: str = ""
    given: PixelSize | None = None

    def frames(self, frames: Frames) -> tuple[Frames, list[str]]:
        """Pages with the pixel size that products are to have, and what had to be left out."""
        if self.given is None:
            return frames, []
        calibration, notes = self.given.put_into(frames.calibration)
        return replace(frames, calibration=calibration), notes

    def image(self, image: ImageFile) -> ImageFile:
        """The image with its bright and dark as the network is to see them."""
        return InvertedImage(image) if self.invert else image

    def bands(
        self, bands: Bands, read_rows: Callable[[int, int], np.ndarray], height: int, width: int,
        name: str = "image",
    ) -> Iterator[tuple[int, np.ndarray]]:  # fmt: skip
        """(first row, probabilities (rows, W, K)) of an image of height x width, of which
        bands(read_rows, height, width) gives those of what the network sees."""
        if self.to is None:
            yield from bands(read_rows, height, width)
            return
        image = read_rows(0, height)
        check_values(image, name)
        image = scale_image(image, *self.to)
        parts = [part for _, part in bands(lambda r0, r1: image[r0:r1], *self.to)]
        yield 0, resize_probability(np.concatenate(parts), height, width)

    def skewness(self, read: Read, height: int, width: int) -> float:
        """That of the fine structure of what the network sees of an image of this size, of which
        read(r0, r1, c0, c1) returns the pixels."""
        if self.to is None:
            return skewness(read, height, width)
        down, across = height / self.to[0], width / self.to[1]

        def scaled(r0: int, r1: int, c0: int, c1: int) -> np.ndarray:
            r, c = (int(r0 * down), int(c0 * across))
            part = read(r, max(r + 1, int(r1 * down)), c, max(c + 1, int(c1 * across)))
            return scale_image(part, r1 - r0, c1 - c0)

        return skewness(scaled, *self.to)


def view_of(
    net: UNet, calibration: Calibration, height: int, width: int, pixel_size: str | None = None,
    rescale: bool = False, invert: bool = False, name: str = "the image", advice: str = RESCALE,
) -> View:  # fmt: skip
    """How the network sees an image of this calibration and size.

    pixel_size: what a user says of its pixels; advice: what to do where the network's are others.
    CunetError for rescale where a size is not known, and to next to nothing; DeviceError to what no
    memory holds.
    """
    own, given, other = own_size(pixel_size, calibration)
    known = net.trained_on.pixel_size
    inverts = ", inverted" if invert else ""
    inverts += f", pixel size {given}" if given else ""
    if rescale:
        own, known = _both(net, own, known, name)
        to = _scaled(own, known, height, width, net, name)
        if to == (height, width):
            return View(None, invert, inverts, warning=other, given=given)
        said = f"rescaled from {own} to {known} a pixel"
        more = f": {to[0]:,} x {to[1]:,} pixels (height x width) for the network"
        return View(to, invert, f"{inverts}, {said}", said + more, other, given)
    unlike = size_warning(net, own, pixel_size is not None, advice)
    warning = "; ".join(filter(None, (other, unlike)))
    return View(None, invert, inverts, warning=warning, given=given)


def own_size(
    pixel_size: str | None, calibration: Calibration
) -> tuple[PixelSize | None, PixelSize | None, str]:
    """The size of an image's pixels: as a user gives it or, without, as its file has it; the one
    given again, None where the file says the same; a warning where it says another one."""
    filed = PixelSize.of(calibration)
    if pixel_size is None:
        return filed, None, ""
    given = PixelSize.parse(pixel_size)
    if filed is not None and given.is_like(filed, 1 + SQUARE):
        return given, None, ""
    if filed is None or given.is_like(filed, ROUNDED):
        return given, given, ""
    return given, given, f"its file says that its pixels measure {filed}; {given} counts, as given"


def size_warning(
    net: UNet, own: PixelSize | None, given: bool = False, advice: str = RESCALE
) -> str:
    """What to say where an image's pixels are far larger or smaller than those of the training, or
    where a size that was given cannot be compared; "" for nothing."""
    known = net.trained_on.pixel_size
    if net.resize is not None or known is None:
        why = "does not know that of its training images"
        if net.resize is not None:
            why = f"scales every image to {net.resize} x {net.resize} pixels"
        return f"the pixel size given changes no probability, as the network {why}" if given else ""
    if own is None or own.is_like(known):
        return ""
    return f"its pixels measure {own}, those that the network was trained on {known}: {advice}"


def inverted_warning(
    net: UNet, read: Read, height: int, width: int, view: View | None = None,
    advice: str = INVERTS, option: str = "--invert",
) -> str:  # fmt: skip
    """What to say where bright and dark look exchanged, "" where they do not.

    read(r0, r1, c0, c1): pixels of the image of this size, as they are shown to the network.
    """
    view = view or View()
    seen_height, seen_width = view.to or (height, width)
    if net.trained_on.skewness is None or seen_height * seen_width < FEWEST:
        return ""
    if not net.trained_on.looks_inverted(view.skewness(read, height, width)):
        return ""
    if view.invert:
        return f"looks inverted after {option}, but not before: leave {option} out"
    return f"looks inverted, dark where the training images are bright: {advice}"


def warn(text: str) -> None:
    """Say it to a user of Python, who called a function of cunet."""
    if text:
        warnings.warn(f"the image: {text}", stacklevel=4)


def refuse_by_blocks(rescale: bool, invert: bool) -> None:
    """CunetError for what a volume is not segmented with."""
    if rescale:
        raise CunetError(
            "--rescale: a volume is segmented block by block, as its pixels are; give --level with "
            "the resolution of an OME-Zarr that is nearest to the network's, or --out a folder, "
            "which segments the pages of a stack one by one"
        )
    if invert:
        raise CunetError(
            "--invert: a volume is segmented as it is stored; invert it first (Fiji: Edit > "
            "Invert), or give --out a folder, which segments the pages of a stack one by one"
        )


def _both(
    net: UNet, own: PixelSize | None, known: PixelSize | None, name: str
) -> tuple[PixelSize, PixelSize]:
    """Both sizes; CunetError where one is not known."""
    if net.resize is not None:
        raise CunetError(
            f"--rescale: this network scales every image to {net.resize} x {net.resize} pixels, "
            "whatever their size is; leave it out"
        )
    if known is None:
        raise CunetError(
            "--rescale: the network does not know the pixel size of its training images, or had "
            "several. Train one of yours with --pixel-size, or add it to your networks with its "
            "size: cunet models add MODEL --pixel-size 4nm. Or leave --rescale out, and scale the "
            "image until its objects are as large as those of the training"
        )
    if own is None:
        raise CunetError(
            f"--rescale: {name} does not say how large its pixels are; give --pixel-size, such as "
            "--pixel-size 8nm"
        )
    return own, known


def _scaled(
    own: PixelSize, known: PixelSize, height: int, width: int, net: UNet, name: str
) -> tuple[int, int]:
    """The (height, width) of an image with pixels of the network's size."""
    down, across = own.times(known)
    to = max(1, round(height * down)), max(1, round(width * across))
    said = f"{name}: rescaled from {own} to {known} a pixel it has {to[0]:,} x {to[1]:,} pixels"
    if min(to) < min(SMALLEST, height, width):
        raise CunetError(f"{said}, too few to segment; is the pixel size right?")
    channels, classes = net.shape.in_channels, net.shape.classes
    need = 4 * (
        to[0] * to[1] * (2 * channels + 2 * classes) + height * width * (channels + classes)
    )
    if need > machine_memory():
        raise DeviceError(
            f"{said}, about {in_words(need)} with its probabilities, and this machine has "
            f"{in_words(int(machine_memory()))}; is the pixel size right? Else segment parts of it"
        )
    return to
