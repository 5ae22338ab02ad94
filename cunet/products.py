"""From an image file to product files: probability, mask, labels, overlay - band by band.

Prob and mask are written as they are computed, so memory does not grow with the number of pages
nor, where rows of the image can be read one by one, with its height. Labels and overlay need one
page of the mask. Every file appears complete or not at all.
"""

import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cunet.data.images import ImageFile, TiffOutput, write_png
from cunet.errors import CunetError, DataError
from cunet.tiling import bands
from cunet.unet import UNet

PRODUCTS = ("prob", "mask", "labels", "overlay")
ENDINGS = {"prob": ".tif", "mask": ".tif", "labels": ".tif", "overlay": ".png"}
OUTLINE = (230, 159, 0)  # orange: told apart from gray values with any colour vision


@dataclass(frozen=True)
class How:
    """How to segment: see `cunet segment --help`."""

    tile: int = 572
    average: str = "none"
    stride: str = "exact"
    threshold: float = 0.5
    description: str = ""


@dataclass
class Summary:
    """What came out: the share of pixels of each class, and what a person should hear."""

    shares: list[float]
    warnings: list[str] = field(default_factory=list)


def check_image(image: ImageFile, net: UNet) -> None:
    """DataError where the image has not the channels the network was made for."""
    if image.channels != net.in_channels:
        raise DataError(
            f"'{image.path}' has {image.channels} channel(s) (axes {image.axes}), the model was "
            f"made for {net.in_channels}; give an image with {net.in_channels} channel(s)"
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

    Two classes: prob is the probability of class 1, mask 0 or 255. More: prob has a plane per
    class, mask holds the most probable class. progress(rows done, rows in all) is told of bands.
    """
    check_image(image, net)
    pages = list(range(image.pages)) if pages is None else pages
    counts, rows_done = np.zeros(net.classes, np.int64), 0
    with ExitStack() as stack:
        sinks = [
            stack.enter_context(make_sink(product, path, image, net, len(pages), how))
            for product, path in targets.items()
        ]
        warnings = range_warnings(image, net, pages[0])
        for number, page in enumerate(pages):
            pieces = bands(
                lambda r0, r1, page=page: image.read_rows(page, r0, r1),
                image.height,
                image.width,
                net,
                how.tile,
                how.average,
                how.stride,
            )
            for first, probability in pieces:
                found = classes(probability, how.threshold)
                counts += np.bincount(found.ravel(), minlength=net.classes)
                for sink in sinks:
                    sink.band(number, first, probability, found)
                rows_done += len(probability)
                progress(rows_done, len(pages) * image.height)
            for sink in sinks:
                sink.page_done(number, page)
        for sink in sinks:
            sink.finish()
    shares = (counts / counts.sum()).tolist()
    return Summary(shares, warnings + one_class_warning(image, shares))


def classes(probability: np.ndarray, threshold: float) -> np.ndarray:
    """Class ids (rows, W) uint8: class 1 above the threshold, or of more the most probable."""
    if probability.shape[2] == 2:
        return (probability[..., 1] > threshold).astype(np.uint8)
    return probability.argmax(axis=2).astype(np.uint8)


def range_warnings(image: ImageFile, net: UNet, page: int) -> list[str]:
    """A warning where the image's intensities lie far from the training images'."""
    rows = np.unique(np.linspace(0, image.height - 1, 48).astype(int))
    sample = np.concatenate([image.read_rows(page, r, r + 1) for r in rows]).astype(np.float64)
    if not np.isfinite(sample).all():
        raise DataError(f"'{image.path}' page {page} holds NaN or infinity; clean it first")
    low, high = np.percentile(sample.reshape(-1, image.channels), (0.1, 99.9), axis=0)
    text = net.normalization.far_from_training(low, high)
    return [f"{image.path.name}: {text}"] if text else []


def one_class_warning(image: ImageFile, shares: list[float]) -> list[str]:
    """A warning where (nearly) every pixel came out as one class."""
    largest = int(np.argmax(shares))
    if shares[largest] <= 0.999:
        return []
    return [
        f"{image.path.name}: {100 * shares[largest]:.1f} % of the pixels came out as class "
        f"{largest}; is the model trained long enough, and on images like this one?"
    ]


def make_sink(product: str, path: Path, image: ImageFile, net: UNet, pages: int, how: How):
    """What writes one product to one file."""
    if path.suffix.lower() == ".png" and product in ("prob", "mask", "labels"):
        if product == "prob" or pages > 1:
            raise CunetError(
                f"'{path}': {product} of {pages} page(s) cannot be a PNG; use a name ending in .tif"
            )
        return PagePng(product, path, image, net)
    if product == "overlay":
        return Overlay(path, image, pages)
    if product == "labels":
        return Labels(path, image, net, pages, how)
    return Tiff(product, path, image, net, pages, how)


class Sink:
    """Receives bands of a page, then page_done, at last finish; removes its file on an error."""

    def __init__(self, path: Path, image: ImageFile):
        self.path, self.image = path, image
        self.page = np.zeros((0, 0), np.uint8)

    def band(self, number: int, first: int, probability: np.ndarray, found: np.ndarray) -> None:
        """Collect the classes of one page."""
        if first == 0:
            self.page = np.empty((self.image.height, self.image.width), np.uint8)
        self.page[first : first + len(found)] = found

    def page_done(self, number: int, page: int) -> None:
        """Page `page` of the image, the `number`-th of those asked for, is complete."""

    def finish(self) -> None:
        """All pages are complete."""

    def __enter__(self):
        return self

    def __exit__(self, *error: object) -> None:
        """Nothing is held open."""


class Tiff(Sink):
    """prob or mask: written band by band."""

    def __init__(self, product: str, path: Path, image: ImageFile, net: UNet, pages: int, how: How):
        super().__init__(path, image)
        self.prob, self.two = product == "prob", net.classes == 2
        self.file = TiffOutput(
            path,
            pages,
            image.height,
            image.width,
            np.float32 if self.prob else np.uint8,
            net.classes if self.prob and not self.two else 1,
            image.calibration,
            how.description,
        )

    def band(self, number: int, first: int, probability: np.ndarray, found: np.ndarray) -> None:
        if self.prob:
            block = (probability[..., 1] if self.two else probability).astype(np.float32)
        else:
            block = found * np.uint8(255) if self.two else found
        self.file.write_rows(number, first, block)

    def __exit__(self, *error: object) -> None:
        self.file.__exit__(*error)


class PagePng(Sink):
    """mask or labels of a single page as PNG."""

    def __init__(self, product: str, path: Path, image: ImageFile, net: UNet):
        super().__init__(path, image)
        self.labels, self.two = product == "labels", net.classes == 2

    def finish(self) -> None:
        if self.labels:
            numbered = numbers(self.page)
            if numbered.max(initial=0) > 65535:
                raise CunetError(f"'{self.path}': over 65,535 labels do not fit a PNG; use .tif")
            write_png(self.path, numbered.astype(np.uint16))
        else:
            write_png(self.path, self.page * np.uint8(255) if self.two else self.page)


class Labels(Sink):
    """Numbered components per page; uint16, or uint32 where a page has more than 65,535.

    Which one is known when the last page is done, so until then the masks wait in a file, a bit
    for a pixel.
    """

    def __init__(self, path: Path, image: ImageFile, net: UNet, pages: int, how: How):
        super().__init__(path, image)
        self.pages, self.how, self.most = pages, how, 0
        self.bits = tempfile.TemporaryFile(dir=path.parent)

    def page_done(self, number: int, page: int) -> None:
        self.most = max(self.most, int(numbers(self.page).max(initial=0)))
        self.bits.write(np.packbits(self.page > 0).tobytes())

    def finish(self) -> None:
        height, width = self.image.height, self.image.width
        dtype = np.uint16 if self.most <= 65535 else np.uint32
        output = TiffOutput(
            self.path, self.pages, height, width, dtype, 1, self.image.calibration,
            self.how.description,
        )  # fmt: skip
        self.bits.seek(0)
        with output:
            for number in range(self.pages):
                packed = np.frombuffer(self.bits.read(-(-height * width // 8)), np.uint8)
                mask = np.unpackbits(packed, count=height * width).reshape(height, width)
                output.write_rows(number, 0, numbers(mask).astype(dtype))

    def __exit__(self, *error: object) -> None:
        self.bits.close()


class Overlay(Sink):
    """The outline of the mask drawn on the image: a PNG for each page."""

    def __init__(self, path: Path, image: ImageFile, pages: int):
        super().__init__(path, image)
        self.several = pages > 1

    def page_done(self, number: int, page: int) -> None:
        gray = self.image.read(page)[..., :3].astype(np.float32).mean(axis=2)
        low, high = np.percentile(gray, (0.5, 99.5))
        scaled = np.clip((gray - low) / max(high - low, 1e-9), 0, 1) * 255
        picture = np.repeat(scaled.astype(np.uint8)[..., None], 3, axis=2)
        picture[outline(self.page)] = OUTLINE
        name = f"{self.path.stem}_{page:04}{self.path.suffix}" if self.several else self.path.name
        write_png(self.path.with_name(name), picture)


def outline(found: np.ndarray) -> np.ndarray:
    """The pixels (H, W) bool of each class > 0 that touch another class above, below or beside."""
    edge = np.zeros(found.shape, bool)
    down, across = found[1:] != found[:-1], found[:, 1:] != found[:, :-1]
    edge[1:] |= down
    edge[:-1] |= down
    edge[:, 1:] |= across
    edge[:, :-1] |= across
    return edge & (found > 0)


def numbers(mask: np.ndarray) -> np.ndarray:
    """The 4-connected components of mask > 0, numbered from 1; int32."""
    from cunet.data.weight_map import components

    return components(mask > 0)
