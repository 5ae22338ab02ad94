"""From an image file to product files: probability, mask, labels, overlay, ctc - band by band.

Prob and mask are written as they are computed, so memory does not grow with the number of pages
nor, where rows of the image can be read one by one, with its height. Labels, ctc and overlay need
one page at a time: about 10 bytes a pixel, 5 for the outline of the mask alone, and 40 where clumps
are cut. Every file appears complete or not at all.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from cunet.data.values import NO_INTENSITY, standing_apart
from cunet.errors import DataError
from cunet.files import as_grey
from cunet.files.frames import frames
from cunet.files.image_file import ImageFile
from cunet.metrics.pixel import ONE_CLASS
from cunet.net.unet import UNet
from cunet.segmentation.how import How
from cunet.segmentation.products import make_sink
from cunet.segmentation.tiling import bands
from cunet.terminal import plural


@dataclass
class Summary:
    """The result: the share of pixels of each class, and warnings for the user."""

    shares: list[float]
    warnings: list[str] = field(default_factory=list)


def check_image(image: ImageFile, net: UNet) -> ImageFile:
    """The image as the network takes it: three equal channels become one where it wants one.

    DataError where it does not have the channels that the network was made for.
    """
    wanted = net.shape.in_channels
    if wanted == 1:
        image = as_grey(image, blank=False)
    if image.channels == wanted:
        return image
    if image.channels == 1 and wanted == 3:
        fix = "save it in colour, with three equal channels"
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


def segment_file(
    image: ImageFile,
    net: UNet,
    targets: dict[str, Path],
    how: How,
    pages: list[int] | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Summary:
    """Segment the pages of an open image (all by default) and write each product to its target.

    With two classes prob is the probability of class 1 and mask is 0 or 255. With more, prob has a
    plane per class and mask holds the most probable class. progress(rows done, rows in all) is
    called after every band.
    """
    image = check_image(image, net)
    pages = list(range(image.pages)) if pages is None else pages
    counts, rows_done = np.zeros(net.shape.classes, np.int64), 0
    chosen = frames(image, pages)
    said = [*image.doubts, *filter(None, [chosen.note])]
    warnings = [f"{image.path.name}: {text}" for text in said]
    warnings += range_warnings(image, net, pages[0])  # reads some rows, before room is reserved
    with ExitStack() as stack:
        sinks = [
            stack.enter_context(make_sink(product, path, image, net, chosen, how))
            for product, path in targets.items()
        ]
        for number, page in enumerate(pages):
            pieces = bands(
                partial(image.read_rows, page),
                image.height,
                image.width,
                net,
                how.tile,
                how.average,
                how.stride,
                f"'{image.path}' page {page}",
            )
            for first, probability in pieces:
                found = classes(probability, how.threshold)
                counts += np.bincount(found.ravel(), minlength=net.shape.classes)
                for sink in sinks:
                    sink.band(number, first, probability, found)
                rows_done += len(probability)
                progress(rows_done, len(pages) * image.height)
            for sink in sinks:
                sink.page_done(number, page)
        for sink in sinks:
            sink.finish()
            warnings += sink.warnings
    shares = (counts / counts.sum()).tolist()
    return Summary(shares, warnings + one_class_warning(image, shares))


def classes(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Class ids (rows, W) uint8: class 1 above the threshold; of several classes the likeliest."""
    if probability.shape[2] == 2:
        return (probability[..., 1] > threshold).astype(np.uint8)
    return probability.argmax(axis=2).astype(np.uint8)


def range_warnings(image: ImageFile, net: UNet, page: int) -> list[str]:
    """Warnings where the image's intensities lie far from the training images', and where one value
    lies far from all others."""
    sample = image.sample(page).astype(np.float64)
    if not (np.abs(sample) < NO_INTENSITY).all():  # NaN is not
        return []  # an error that names the rows follows
    low, high = np.percentile(sample.reshape(-1, image.channels), (0.1, 99.9), axis=0)
    texts = [net.normalization.far_from_training(low, high), standing_apart(sample, "some pixels")]
    if image.no_data is not None and (sample == image.no_data).any():
        texts.append(f"its metadata call {image.no_data:g} 'no data', which here counts as grey")
    return [f"{image.path.name}: {text}" for text in texts if text]


def one_class_warning(image: ImageFile, shares: list[float]) -> list[str]:
    """A warning where (nearly) every pixel came out as one class."""
    largest = int(np.argmax(shares))
    if shares[largest] <= ONE_CLASS:
        return []
    return [
        f"{image.path.name}: {100 * shares[largest]:.1f} % of the pixels came out as class "
        f"{largest}; is the model trained long enough, and on images like this one?"
    ]
