"""Pixel error as the ISBI 2012 challenge defines it: 1 - the maximal F-score of the white class.

Probabilities are cut at the thresholds 0, 0.1 ... 1 (white where p > threshold); true and false
positives and negatives are summed over all slices before F is formed. It is not the fraction of
wrong pixels. Source: PixelError.java of the organisers' Trainable_Segmentation.

The counts are kept in a bin for each threshold, so they add up over slices of any size. All
thresholds of one map at once, with the curves over them, are in metrics/curves.py.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

# Added up in float64, as the organisers' loop does: 0.30000000000000004, ... 0.9999999999999999
THRESHOLDS = np.cumsum([0.0] + [0.1] * 10)
ONE_CLASS = 0.999  # share of pixels in one class above which a page is "one class only"


class PixelCounts:
    """Sums over slices, from which the scores follow; add() each slice."""

    def __init__(self) -> None:
        self.tp = np.zeros(len(THRESHOLDS), np.int64)  # white and found white, per threshold
        self.positive = np.zeros(len(THRESHOLDS), np.int64)  # found white
        self.white = 0
        self.pixels = 0

    @classmethod
    def sum(cls, parts: Iterable["PixelCounts"]) -> "PixelCounts":
        """The counts of several together."""
        total = cls()
        for part in parts:
            total.tp += part.tp
            total.positive += part.positive
            total.white += part.white
            total.pixels += part.pixels
        return total

    def document(self) -> dict[str, Any]:
        """The same for a JSON file, from which `read` makes an equal one."""
        return {name: np.asarray(value).tolist() for name, value in vars(self).items()}

    @classmethod
    def read(cls, document: dict[str, Any]) -> "PixelCounts":
        """The counts of a document(). ValueError, KeyError or TypeError where it is none."""
        counts = cls()
        for name, empty in vars(counts).items():
            value = np.array(document[name])
            if value.shape != np.shape(empty) or value.dtype != np.int64 or value.min() < 0:
                raise ValueError(f"{name} is no count")
            setattr(counts, name, value if value.ndim else int(value))
        return counts

    def add(
        self, probability: np.ndarray, white: np.ndarray, counted: np.ndarray | None = None
    ) -> None:
        """One slice: probability of white (H, W), truth (H, W) bool, which pixels count."""
        if counted is not None:
            probability, white = probability[counted], white[counted]
        # Every pixel falls into one bin; sums from the right count the pixels with p > threshold.
        # Compared in float64, since float32(0.1) is above 0.1.
        values = probability.ravel().astype(np.float64, copy=False)
        bins = np.searchsorted(THRESHOLDS, values, side="left")
        for target, weights in ((self.positive, None), (self.tp, white.ravel())):
            in_bin = np.bincount(bins, weights, len(THRESHOLDS) + 1).astype(np.int64)
            target += in_bin[::-1].cumsum()[::-1][1:]
        self.white += int(white.sum())
        self.pixels += white.size

    def f_scores(self) -> np.ndarray:
        """F of white at each threshold; 1 where there is neither white truth nor white found."""
        fp, fn = self.positive - self.tp, self.white - self.tp
        bottom = 2 * self.tp + fp + fn
        return np.where(bottom == 0, 1.0, 2 * self.tp / np.maximum(bottom, 1))

    def precisions(self) -> np.ndarray:
        """TP / (TP + FP) at each threshold; NaN where nothing is found white."""
        return np.where(self.positive == 0, np.nan, self.tp / np.maximum(self.positive, 1))

    def recalls(self) -> np.ndarray:
        """TP / (TP + FN) at each threshold; NaN where no pixel is white."""
        return self.tp / self.white if self.white else np.full(len(self.tp), np.nan)

    def pixel_error(self) -> float:
        """1 - the best F-score."""
        return float(1 - self.f_scores().max())

    def best_threshold(self) -> float:
        """The threshold of the best F-score to one decimal, the lowest of several."""
        return round(float(THRESHOLDS[self.f_scores().argmax()]), 1)

    def dice(self) -> float:
        """F of white at threshold 0.5."""
        return float(self.f_scores()[5])

    def shares(self) -> tuple[float, float]:
        """The fractions of pixels that are white and that are found white at 0.5."""
        return self.white / max(1, self.pixels), float(self.positive[5] / max(1, self.pixels))


BLUR_SIGMAS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)  # pixels; the best of them is the baseline


def baselines(images: list[np.ndarray], cells: list[np.ndarray]) -> dict[str, float]:
    """Pixel errors without a network: of the image itself, blurred as helps most, and of all white.

    images (H, W, 1) uint8, cells (H, W) bool.
    """
    from scipy.ndimage import gaussian_filter

    blurred = []
    for sigma in BLUR_SIGMAS:
        counts = PixelCounts()
        for image, white in zip(images, cells, strict=True):
            grey = image[..., 0].astype(np.float32) / 255
            counts.add(gaussian_filter(grey, sigma) if sigma else grey, white)
        blurred.append(counts.pixel_error())
    white_only = PixelCounts()
    for white in cells:
        white_only.add(np.ones(white.shape, np.float32), white)
    return {"blurred image": min(blurred), "all white": white_only.pixel_error()}
