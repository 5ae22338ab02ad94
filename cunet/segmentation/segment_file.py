"""From an image file to product files: probability, mask, labels, table ... - band by band.

Prob and mask are written as they are computed, so memory does not grow with the number of pages
nor, where rows of the image can be read one by one, with its height. The others need one page at a
time: about 10 bytes a pixel, 5 for the outline of the mask alone, and 40 where clumps are cut.
Every file appears complete or not at all.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cunet.data.values import NO_INTENSITY, standing_apart
from cunet.errors import DataError
from cunet.files import as_colour, as_grey, open_image
from cunet.files.frames import frames
from cunet.files.image_file import ImageFile
from cunet.metrics.pixel import ONE_CLASS
from cunet.net.unet import UNet
from cunet.segmentation.how import Found, How, Sink
from cunet.segmentation.products import make_sink
from cunet.segmentation.segment import bands
from cunet.segmentation.several import Several
from cunet.segmentation.stored import Stored
from cunet.segmentation.view import INVERTS, View, inverted_warning, view_of
from cunet.terminal import plural


@dataclass
class Summary:
    """The result: the share of pixels of each class, how many objects were found where a product
    shows them, and warnings for the user."""

    shares: list[float]
    warnings: list[str] = field(default_factory=list)
    objects: int | None = None


def check_image(image: ImageFile, net: UNet) -> ImageFile:
    """The image as the network takes it: three equal channels become one where it wants one,
    and one channel becomes three equal ones where it wants colours.

    DataError where it does not have the channels that the network was made for.
    """
    wanted = net.shape.in_channels
    if wanted == 1:
        image = as_grey(image, blank=False)
    elif wanted == 3:
        image = as_colour(image)
    if image.channels == wanted:
        return image
    if image.channels == 1 and image.axes.endswith("YX"):
        fix = f"save its {wanted} channels in one TIFF (axes CYX)"
    elif "S" not in image.axes:
        fix = f"save {wanted} of its channels, or pages instead of channels (axes ZYX)"
    else:
        fix = "save it in grey" if wanted == 1 else f"save it with {wanted} channels"
        fix += ", or give a --model trained on such images"
        if not image.path.suffix.lower().startswith(".png"):
            fix += "; if these are slices, not colours, save them with photometric='minisblack' "
            fix += "and axes ZYX"
    raise DataError(
        f"'{image.path}' has {plural(image.channels, 'channel')} (axes {image.axes}), the model "
        "was "
        f"made for {wanted}; {fix}"
    )


class Page(NamedTuple):
    """One page of an image as the network takes it: pixels (H, W, C); how many pages there are;
    what is worth saying of the file, what is doubtful in it, and in its range of values."""

    pixels: np.ndarray
    pages: int
    notes: list[str]
    doubts: list[str]
    range_warnings: list[str]

    @property
    def said(self) -> list[str]:
        """All of that, warnings marked as such."""
        warnings = (f"warning: {text}" for text in (*self.doubts, *self.range_warnings))
        return [*self.notes, *warnings]


def read_page(path: str | Path, page: int, net: UNet) -> Page:
    """Errors as in check_image, CunetError for a page that there is not."""
    with open_image(path) as file:
        file.check_page(page)
        image = check_image(file, net)
        ranges = range_warnings(image, net, page)
        return Page(image.read(page), image.pages, [*image.notes], [*image.doubts], [*ranges])


def segment_file(
    image: ImageFile,
    net: UNet,
    targets: dict[str, Path],
    how: How,
    pages: list[int] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    stored: Stored | None = None,
    several: Several | None = None,
) -> Summary:
    """Segment the pages of an open image (all by default) and write each product to its target.

    With two classes prob is the probability of class 1 and mask is 0 or 255. With more, prob has a
    plane per class and mask holds the most probable class. progress(rows done, rows in all) is
    called after every band. `stored` is the probability of an earlier call, which the network then
    does not compute again; `several` is the same network on the devices that share the tiles.
    """
    given = image
    image = check_image(image, net)
    shown = given if given.channels == 1 else image  # in products: grey stays grey
    pages = list(range(image.pages)) if pages is None else pages
    view = view_for(image, net, how)
    seen = view.image(image)
    chosen, left_out = view.frames(frames(image, pages))
    said = [*image.doubts, *filter(None, [chosen.note]), *left_out]
    said += filter(None, [view.warning])
    warnings = [f"{image.path.name}: {text}" for text in said]
    warnings += range_warnings(seen, net, pages[0], view)  # reads some rows, before room is taken

    def computed(number: int) -> Iterator[tuple[int, np.ndarray]]:
        name = f"'{image.path}' page {pages[number]}"
        applied = partial(
            bands, net=net, tile=how.tile, average=how.average, stride=how.stride, name=name,
            several=several,
        )  # fmt: skip
        rows = partial(seen.read_rows, pages[number])
        return view.bands(applied, rows, image.height, image.width, name)

    with ExitStack() as stack:
        probability = computed
        if stored is not None:
            probability = partial(stored.bands, stack.enter_context(open_image(stored.path)))
        found = Found(image.height, image.width, how.instances)
        sinks = [
            stack.enter_context(
                make_sink(product, path, shown, found, net.shape.classes, chosen, how, shown)
            )
            for product, path in targets.items()
        ]
        done = write_products(probability, pages, sinks, found, how.threshold, progress)
    done.warnings = warnings + done.warnings + one_class_warning(image.path, done.shares)
    return done


def write_products(
    probability: Callable[[int], Iterator[tuple[int, np.ndarray]]],
    pages: list[int],
    sinks: list[Sink],
    found: Found,
    threshold: float,
    progress: Callable[[int, int], None],
) -> Summary:
    """Give the sinks what they need of every page, and have them write their files.

    probability(number): (first row, probabilities (rows, W, K)) of the `number`-th of the pages,
    band by band. Products see the float32 numbers that prob stores, whatever computed them.
    """
    counts, rows_done, objects = np.zeros(256, np.int64), 0, None
    for number, page in enumerate(pages):
        for first, band in probability(number):
            band = band.astype(np.float32, copy=False)
            ids = classes(band, threshold)
            counts += np.bincount(ids.ravel(), minlength=len(counts))
            for sink in sinks:
                sink.band(number, first, band, ids)
            classes_here, rows_done = band.shape[2], rows_done + len(band)
            progress(rows_done, len(pages) * found.height)
        for sink in sinks:
            sink.page_done(number, page)
        if found.counted is not None:
            objects = (objects or 0) + found.counted
    for sink in sinks:
        sink.finish()
    shares = (counts[:classes_here] / counts.sum()).tolist()
    return Summary(shares, [note for sink in sinks for note in sink.notes], objects)


def classes(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Class ids (rows, W) uint8: class 1 above the threshold; of several classes the likeliest."""
    if probability.shape[2] == 2:
        return (probability[..., 1] > threshold).astype(np.uint8)
    return probability.argmax(axis=2).astype(np.uint8)


def view_for(image: ImageFile, net: UNet, how: How) -> View:
    """How the network sees an open image; errors as in view_of."""
    return view_of(
        net, image.calibration, image.height, image.width, how.pixel_size, how.rescale, how.invert,
        f"'{image.path}'",
    )  # fmt: skip


def range_warnings(
    image: ImageFile, net: UNet, page: int, view: View | None = None, advice: str = INVERTS
) -> list[str]:
    """Warnings where the image looks inverted, else where its intensities lie far from the training
    images', and where one value lies far from all others. image: as the network sees it; advice:
    what to do about an inverted one."""
    sample = image.sample(page).astype(np.float64)
    if not (np.abs(sample) < NO_INTENSITY).all():  # NaN is not
        return []  # an error that names the rows follows
    low, high = np.percentile(sample.reshape(-1, image.channels), (0.1, 99.9), axis=0)
    read = partial(image.read_window, page)
    # an inverted image has another range as well
    other = inverted_warning(net, read, image.height, image.width, view, advice)
    other = other or net.normalization.far_from_training(low, high) or ""
    texts = [other, standing_apart(sample, "some pixels")]
    if image.shows_no_data(page):
        texts.append(f"its metadata call {image.no_data:g} 'no data', which here counts as grey")
    return [f"{image.path.name}: {text}" for text in texts if text]


def one_class_warning(path: Path, shares: list[float]) -> list[str]:
    """A warning where (nearly) every pixel came out as one class."""
    largest = int(np.argmax(shares))
    if shares[largest] <= ONE_CLASS:
        return []
    return [
        f"{path.name}: {100 * shares[largest]:.1f} % of the pixels came out as class "
        f"{largest}; is the model trained long enough, and on images like this one?"
    ]
