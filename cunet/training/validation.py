"""Scores of the held-out slices during a training."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from cunet.data.labels import IGNORE, cells
from cunet.data.mirror import reflect
from cunet.data.on_disk import BLOCK, OnDisk
from cunet.data.sums import OrderedSum
from cunet.metrics.pixel import ONE_CLASS, PixelCounts
from cunet.net.sizes import margin
from cunet.net.unet import UNet
from cunet.segmentation.tiling import (
    AVERAGES,
    average_views,
    check_probability,
    plan,
    segment,
    whole_tile,
)
from cunet.training.prepared import Prepared


def validate(net: UNet, prepared: Prepared) -> dict[str, Any]:
    """Scores on the held-out slices, each segmented whole: mean cross-entropy of the pixels, Dice
    of the white class at 0.5, pixel error and its threshold, and the only class predicted, if one
    is: 0 background, 1 foreground, else None. Slices on disk are segmented band by band."""
    counts, losses, pixels = PixelCounts(), 0.0, 0
    for i in prepared.held_out:
        image, labels = prepared.dataset.images[i], prepared.dataset.labels[i]
        if isinstance(image, OnDisk):
            loss, size = _in_bands(net, image, labels, counts)
        else:
            probability = segment(image, net, whole_tile(image, net.shape))
            picked = _picked(probability, labels, counts)
            loss, size = float(picked.sum(dtype=np.float64)), picked.size
        losses -= loss
        pixels += size
    share = counts.shares()[1]
    one_class = 1 if share > ONE_CLASS else 0 if share < 1 - ONE_CLASS else None
    return {
        "val_loss": losses / max(1, pixels),
        "val_dice": counts.dice(),
        "val_pixel_error": counts.pixel_error(),
        "val_threshold": counts.best_threshold(),
        "val_one_class": one_class,
    }


def _picked(probability: np.ndarray, labels: np.ndarray, counts: PixelCounts) -> np.ndarray:
    """The logarithms of the probabilities (H, W, K) of the true classes, of the pixels that count;
    these are added to counts."""
    counted = labels != IGNORE
    target = np.where(counted, labels, 0)[..., None].astype(np.intp)
    picked = np.take_along_axis(probability, target, axis=2)[..., 0][counted]
    counts.add(probability[..., 1:].sum(axis=2), cells(labels), counted)
    return np.log(np.maximum(picked, 1e-30))


def _in_bands(net: UNet, image: OnDisk, labels: Any, counts: PixelCounts) -> tuple[float, int]:
    """The sum of the logarithms over a slice on disk, as of one in memory, and their number."""
    size = int(labels.counts.sum() - labels.counts[IGNORE])
    total = OrderedSum(size, 1, np.dtype(net.dtype))
    for first, band in segmented(net, image):
        truth = labels[first : first + len(band)]
        step = max(1, BLOCK // band[0].size)
        for r in range(0, len(band), step):
            total.add(_picked(band[r : r + step], truth[r : r + step], counts)[:, None])
    return float(total.total[0]), size


def segmented(net: UNet, image: Any) -> Iterator[tuple[int, np.ndarray]]:
    """The probabilities of a slice on disk, band by band as tiling.bands has them: (first row,
    (rows, W, K)). Of the image one tile is read at a time."""
    shape, (height, width) = net.shape, image.shape[:2]
    tile, lost = whole_tile(image, shape), margin(shape.depth, shape.padding)
    down, across = (
        plan(side, shape.depth, tile, padding=shape.padding) for side in (height, width)
    )
    normalization = net.normalization.fitted(image.reader(), height)
    for source, top, end in down.pieces(height):
        rows, skip = reflect(source, down.tile, height), top - source - lost
        band = np.empty((end - top, width, shape.classes), net.dtype)
        for first, left, right in across.pieces(width):
            columns, aside = reflect(first, across.tile, width), left - first - lost
            r0, c0 = rows.min(), columns.min()
            read = image[r0 : rows.max() + 1, c0 : columns.max() + 1]
            pixels = normalization.apply(read, net.dtype)[rows[:, None] - r0, columns - c0]
            found = average_views(net, pixels, AVERAGES["none"])
            found = found[skip : skip + end - top, aside : aside + right - left]
            check_probability(found, pixels, f"image, rows {top} to {end - 1}", net)
            band[:, left:right] = found
        yield top, band
        del band  # before the next
