"""Per-pixel loss weights: class balance, and a high weight on the thin background between cells.

Two forms: eq. 2 of the paper, and the one the authors published in 2019 (Falk et al., Nature
Methods 16:67). `labels` (H, W) are class ids with 0 the background, `instances` (H, W) are cell ids
with 0 for no cell.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from scipy import ndimage

from cunet.data.labels import IGNORE
from cunet.errors import DataError

# Cells farther away than this many sigma do not count: the border term is down to
# exp(-6^2 / 2) = 1.5e-8 there.
REACH_IN_SIGMAS = 6


class Border(NamedTuple):
    """The border term: its height w0, and its width sigma in pixels."""

    w0: float
    sigma: float


# As the paper and the plugin of 2019 have it.
PAPER, FALK2019 = Border(10.0, 5.0), Border(50.0, 6.0)
FORMS = {"paper": PAPER, "falk2019": FALK2019}
FALLOFF = 10.0  # pixels in which the weight of background falls around cells, in falk2019


def reach_of(form: str, sigma: float | None = None) -> float:
    """From how far away cells count in the weight of a pixel, in pixels."""
    sigma = FORMS[form].sigma if sigma is None else sigma
    return REACH_IN_SIGMAS * (max(sigma, FALLOFF) if form == "falk2019" else sigma)


def components(mask: np.ndarray) -> np.ndarray:
    """Numbers the 4-connected components of mask (H, W) from 1; int32, 0 outside the mask."""
    return ndimage.label(mask)[0].astype(np.int32, copy=False)


def instances_of(pages: Sequence[np.ndarray], name: str) -> tuple[list[np.ndarray], bool]:
    """The cell ids (H, W) of the pages of a label file, and whether the file held masks.

    A file that holds nothing but 0 and 1, or 0 and 255, is a mask and its 4-connected components
    are the cells; anything else is cell ids already. Raises DataError, naming the file.
    """
    values = set().union(*(np.unique(page).tolist() for page in pages))
    if min(values) < 0:
        raise DataError(f"'{name}' holds the label {min(values)}; cell ids are 0, 1, 2 ...")
    if values <= {0, 1} or values <= {0, 255}:
        return [components(page > 0) for page in pages], True
    return list(pages), False


def cut_touching(instances: np.ndarray) -> np.ndarray:
    """Opens a gap of one pixel between touching cells: instances (H, W) with 0 in the gap.

    A pixel is cut if its north-west, north, north-east or west neighbour belongs to another cell,
    so of two cells only the later one in reading order loses pixels. This is the rule of the
    authors' 2019 plugin; the morphology of 2015 was not published.
    """
    instances = np.asarray(instances)
    height, width = instances.shape
    padded = np.zeros((height + 1, width + 2), instances.dtype)
    padded[1:, 1:-1] = instances
    cut = np.zeros(instances.shape, bool)
    for row, column in ((0, 0), (0, 1), (0, 2), (1, 0)):
        neighbour = padded[row : row + height, column : column + width]
        cut |= (neighbour > 0) & (neighbour != instances)
    return np.where(cut, 0, instances).astype(instances.dtype, copy=False)


def open_gaps(labels: np.ndarray, instances: np.ndarray, ignore: int = IGNORE) -> np.ndarray:
    """The labels (H, W) with the gap between touching cells made background; uint8."""
    return np.where(_gap(labels, instances) & (labels != ignore), 0, labels).astype(np.uint8)


def class_weights(labels: Iterable[np.ndarray], classes: int, ignore: int = IGNORE) -> np.ndarray:
    """w_c(k) = N / (K N_k) over the pixels of all labels that are not ignored; (K,) float64.

    Every class then has the same total weight; an absent class gets 0. Raises DataError for a label
    that is neither a class nor ignore.
    """
    counts = np.zeros(classes, np.int64)
    for label in labels:
        kept = np.asarray(label)[np.asarray(label) != ignore]
        _check_classes(kept, classes)
        counts += np.bincount(kept.ravel(), minlength=classes)
    return weights_of_counts(counts)


def weights_of_counts(counts: np.ndarray) -> np.ndarray:
    """The same from the number of pixels of each class, (K,)."""
    classes = len(counts)
    present = counts > 0
    return np.divide(counts.sum(), classes * counts, out=np.zeros(classes), where=present)


def two_distances(instances: np.ndarray, reach: float) -> tuple[np.ndarray, np.ndarray]:
    """Distances d1, d2 (H, W) to the nearest pixels of the nearest and of the second nearest cell.

    float64, in pixels; inf beyond reach, and where there is no such cell. Inside a cell d1 is 0.
    Each cell is measured in its own bounding box grown by reach: the time grows with the area of
    these boxes, not with cells times pixels.
    """
    instances = _small_ids(np.asarray(instances))
    first = np.full(instances.shape, np.inf)
    second = np.full(instances.shape, np.inf)
    margin = int(np.ceil(reach))
    for cell, box in enumerate(ndimage.find_objects(instances), start=1):
        if box is None:
            continue
        grown = tuple(slice(max(side.start - margin, 0), side.stop + margin) for side in box)
        distance = ndimage.distance_transform_edt(instances[grown] != cell)
        distance[distance > reach] = np.inf
        nearest, next_nearest = first[grown], second[grown]
        np.minimum(next_nearest, np.maximum(nearest, distance), out=next_nearest)
        np.minimum(nearest, distance, out=nearest)
    return first, second


def paper_map(
    labels: np.ndarray,
    instances: np.ndarray,
    class_weights: np.ndarray,
    w0: float = PAPER.w0,
    sigma: float = PAPER.sigma,
    ignore: int = IGNORE,
) -> np.ndarray:
    """Equation 2: w = w_c + w0 exp(-(d1 + d2)^2 / (2 sigma^2)); (H, W) float32.

    d1 and d2 are measured to the uncut cells. Only background has the border term, with the gap
    between touching cells; it is 0 where there are fewer than two cells. Ignored pixels weigh 0.
    Raises DataError.
    """
    _check_shapes(labels, instances)
    _check_classes(labels[labels != ignore], len(class_weights))
    table = np.zeros(256)
    table[: len(class_weights)] = class_weights
    background = (labels == 0) | _gap(labels, instances)
    weights = np.where(background, table[0], table[labels])
    first, second = two_distances(instances, REACH_IN_SIGMAS * sigma)
    weights += np.where(background, w0 * _bell(first + second, sigma), 0)
    return np.where(labels == ignore, 0, weights).astype(np.float32)


def falk2019_map(
    labels: np.ndarray,
    instances: np.ndarray,
    w0: float = FALK2019.w0,
    sigma: float = FALK2019.sigma,
    balance: float = 0.1,
    falloff: float = FALLOFF,
    ignore: int = IGNORE,
) -> np.ndarray:
    """The authors' form of 2019; (H, W) float32: 1 on cells, 0 on ignored pixels, on background

    v + (1 - v) exp(-d1^2 / (2 s^2)) + w0 exp(-(d1 + d2)^2 / (2 sigma^2)), v = balance, s = falloff.
    The constants are the defaults of their plugin, in pixels. The plugin sums the exponentials
    class by class; here all cells are one class. Raises DataError.
    """
    _check_shapes(labels, instances)
    background = (labels == 0) | _gap(labels, instances)
    first, second = two_distances(instances, REACH_IN_SIGMAS * max(sigma, falloff))
    weights = balance + (1 - balance) * _bell(first, falloff) + w0 * _bell(first + second, sigma)
    weights = np.where(background, weights, 1)
    return np.where(labels == ignore, 0, weights).astype(np.float32)


def _bell(distance: np.ndarray, sigma: float) -> np.ndarray:
    return np.exp(-(distance**2) / (2 * sigma**2))


def _gap(labels: np.ndarray, instances: np.ndarray) -> np.ndarray:
    _check_shapes(labels, instances)
    return (instances > 0) & (cut_touching(instances) == 0)


def _small_ids(instances: np.ndarray) -> np.ndarray:
    """Ids as int32 from 0, renumbered if large: find_objects lists every id up to the largest."""
    if instances.size and instances.max() > max(instances.size, 1 << 16):
        ids = np.unique(instances[instances > 0])
        instances = np.where(instances > 0, np.searchsorted(ids, instances) + 1, 0)
    return np.maximum(instances, 0).astype(np.int32, copy=False)


def _check_shapes(labels: np.ndarray, instances: np.ndarray) -> None:
    if labels.shape != instances.shape or labels.ndim != 2:
        raise DataError(
            "labels and instances must be two images (H, W) of one size, "
            f"found {labels.shape} and {instances.shape}"
        )


def _check_classes(labels: np.ndarray, classes: int) -> None:
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise DataError(
            f"labels must be class ids 0 to {classes - 1}, found {labels.min()} to {labels.max()}; "
            "renumber them, or mark pixels to leave out with 255"
        )
