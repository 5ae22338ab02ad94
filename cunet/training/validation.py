"""Scores of the held-out slices during a training."""

from typing import Any

import numpy as np

from cunet.data.labels import IGNORE, cells
from cunet.metrics.pixel import ONE_CLASS, PixelCounts
from cunet.net.unet import UNet
from cunet.segmentation.segment import segment
from cunet.segmentation.tiling import whole_tile
from cunet.training.prepared import Prepared


def validate(net: UNet, prepared: Prepared) -> dict[str, Any]:
    """Scores on the held-out slices, each segmented whole: mean cross-entropy of the pixels, Dice
    of the white class at 0.5, pixel error and its threshold, and the only class predicted, if one
    is: 0 background, 1 foreground, else None."""
    counts, losses, pixels = PixelCounts(), 0.0, 0
    for i in prepared.held_out:
        image, labels = prepared.dataset.images[i], prepared.dataset.labels[i]
        probability = segment(image, net, whole_tile(image, net.shape))
        counted = labels != IGNORE
        target = np.where(counted, labels, 0)[..., None].astype(np.intp)
        picked = np.take_along_axis(probability, target, axis=2)[..., 0][counted]
        losses -= float(np.log(np.maximum(picked, 1e-30)).sum(dtype=np.float64))
        pixels += picked.size
        counts.add(probability[..., 1:].sum(axis=2), cells(labels), counted)
    share = counts.shares()[1]
    one_class = 1 if share > ONE_CLASS else 0 if share < 1 - ONE_CLASS else None
    return {
        "val_loss": losses / max(1, pixels),
        "val_dice": counts.dice(),
        "val_pixel_error": counts.pixel_error(),
        "val_threshold": counts.best_threshold(),
        "val_one_class": one_class,
    }
