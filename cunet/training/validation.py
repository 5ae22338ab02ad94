"""Scores of the held-out slices during a training."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from cunet.data.labels import IGNORE, cells
from cunet.data.on_disk import BLOCK, OnDisk
from cunet.data.sums import OrderedSum
from cunet.metrics.pixel import ONE_CLASS, PixelCounts
from cunet.net.unet import UNet
from cunet.segmentation.segment import bands, segment
from cunet.segmentation.tiling import whole_tile
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
    """The probabilities of a slice on disk, band by band as segment.bands has them."""

    def rows(r0: int, r1: int) -> np.ndarray:
        return image[r0:r1]

    height, width = image.shape[:2]
    return bands(rows, height, width, net, whole_tile(image, net.shape))
