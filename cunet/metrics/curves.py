"""A probability map against a binary truth: scores at one threshold, and curves over all of them.

A pixel is found white where its probability is above the threshold, compared in float64. Of the
pixels that count, TP are white and found white, FP found but not white, FN white but not found, TN
neither. A ratio with nothing in its denominator is NaN: recall and both areas where no pixel is
white, precision where none is found, the false positive rate and its area where all are white.

metrics/pixel.py counts the same pixels in another way: at the eleven fixed thresholds of the
ISBI 2012 challenge, in bins that add up over slices without keeping a pixel. Here the pixels are
sorted, which takes all of them at once and gives every threshold that makes a difference.

n: pixels that count; T: distinct probabilities among them, of any number of pixels each.
"""

from dataclasses import dataclass

import numpy as np

MAX_POINTS = 200  # of a curve that is listed or drawn


@dataclass(frozen=True)
class Counts:
    """Pixels by truth and finding at one threshold, and the scores that follow from them."""

    tp: int
    fp: int
    fn: int
    tn: int

    def precision(self) -> float:
        """TP / (TP + FP): the share of the found that is white."""
        return _ratio(self.tp, self.tp + self.fp)

    def recall(self) -> float:
        """TP / (TP + FN): the share of the white that is found; the true positive rate."""
        return _ratio(self.tp, self.tp + self.fn)

    def false_positive_rate(self) -> float:
        """FP / (FP + TN): the share of what is not white that is found."""
        return _ratio(self.fp, self.fp + self.tn)

    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN): the harmonic mean of precision and recall, also called Dice."""
        return _ratio(2 * self.tp, 2 * self.tp + self.fp + self.fn)

    def iou(self) -> float:
        """TP / (TP + FP + FN): intersection over union of the white and the found."""
        return _ratio(self.tp, self.tp + self.fp + self.fn)

    def accuracy(self) -> float:
        """(TP + TN) / n: the share of pixels that are right."""
        return _ratio(self.tp + self.tn, self.tp + self.fp + self.fn + self.tn)


@dataclass(frozen=True)
class Sweep:
    """What is found at every threshold, from nothing to everything; `sweep` makes it.

    thresholds  (T + 1,) float64, falling: the distinct probabilities, then -inf. At the first
                nothing is found, at each further one the next lower probability is found as well,
                at -inf everything. Each stands for all thresholds down to the next.
    tp, fp      (T + 1,) int64, rising: the white and the other pixels found there
    """

    thresholds: np.ndarray
    tp: np.ndarray
    fp: np.ndarray

    @property
    def positives(self) -> int:
        """White pixels."""
        return int(self.tp[-1])

    @property
    def negatives(self) -> int:
        """Pixels that are not white."""
        return int(self.fp[-1])

    def at(self, threshold: float) -> Counts:
        """The counts where white is probability > threshold."""
        rising = self.thresholds[:-1][::-1]
        above = len(rising) - np.searchsorted(rising, float(threshold), side="right")
        tp, fp = int(self.tp[above]), int(self.fp[above])
        return Counts(tp, fp, self.positives - tp, self.negatives - fp)

    def auc_roc(self) -> float:
        """The area under the true over the false positive rate, by trapezoids over all thresholds.

        It is the probability that a white pixel is given more than one that is not white, where
        equal probabilities count half.
        """
        doubled = int((np.diff(self.fp) * (self.tp[1:] + self.tp[:-1])).sum())  # exact: integers
        return _ratio(doubled, 2 * self.positives * self.negatives)

    def average_precision(self) -> float:
        """The sum of (R_n - R_(n-1)) P_n over all thresholds, falling; nothing is interpolated."""
        return _ratio(float((np.diff(self.tp) * self._precision()).sum()), self.positives)

    def pr_curve(self, limit: int = MAX_POINTS) -> list[dict[str, float]]:
        """The precision-recall curve, recall rising; without the point where nothing is found.

        Its points are those of `roc_curve`. Dictionaries of threshold, precision and recall.
        """
        chosen = self._chosen(limit)[1:]
        precision, recall = self._precision()[chosen - 1], _rate(self.tp[chosen], self.positives)
        return _listed(threshold=self.thresholds[chosen], precision=precision, recall=recall)

    def roc_curve(self, limit: int = MAX_POINTS) -> list[dict[str, float]]:
        """The ROC curve from (0, 0) to (1, 1) in at most `limit` points, evenly along its length.

        Dictionaries of threshold, false_positive_rate and true_positive_rate.
        """
        chosen = self._chosen(limit)
        return _listed(
            threshold=self.thresholds[chosen],
            false_positive_rate=_rate(self.fp[chosen], self.negatives),
            true_positive_rate=_rate(self.tp[chosen], self.positives),
        )

    def _precision(self) -> np.ndarray:
        """(T,): at every threshold but the first, where nothing is found."""
        return self.tp[1:] / (self.tp[1:] + self.fp[1:])

    def _chosen(self, limit: int) -> np.ndarray:
        """Which thresholds to list: all, or `limit` at equal steps of the sum of both rates.

        Equal steps among the thresholds would spend nearly all points near 0 and 1, where the
        probabilities of a trained network crowd.
        """
        if len(self.thresholds) <= limit:
            return np.arange(len(self.thresholds))
        length = self.tp / max(1, self.positives) + self.fp / max(1, self.negatives)
        return np.unique(np.searchsorted(length, np.linspace(0, length[-1], limit)))


def sweep(probability: np.ndarray, truth: np.ndarray, counted: np.ndarray | None = None) -> Sweep:
    """Counts what is found at every threshold, by sorting the pixels once.

    probability  of white; numbers of any shape, taken as they are (a uint8 map has thresholds up
                 to 255)
    truth        bool, the same shape: which pixels are white
    counted      bool, the same shape: which pixels count; all by default

    Raises ValueError for other shapes or types and for NaN and infinity. Needs up to 50 bytes of
    memory a pixel, and some 3 seconds for 8 million of them.
    """
    probability, truth = np.asarray(probability), np.asarray(truth)
    for name, mask in (("truth", truth), ("counted", counted)):
        if mask is not None and (mask.dtype != bool or mask.shape != probability.shape):
            raise ValueError(
                f"{name} is {mask.dtype} {mask.shape}; expected bool {probability.shape}, as the "
                "probability"
            )
    if counted is not None:
        probability, truth = probability[counted], truth[counted]
    values, white = probability.ravel(), truth.ravel()
    if not np.isfinite(values).all():
        raise ValueError("probability holds NaN or infinity; expected finite numbers")
    order = np.argsort(values)[::-1]
    values, white = values[order], white[order]
    del order  # the largest array
    # the last pixel of every run of equal probabilities: ties are one step
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))[: len(values)]
    tp = np.append(0, np.cumsum(white, dtype=np.int64)[ends])
    fp = np.append(0, ends + 1) - tp
    return Sweep(np.append(values[ends].astype(np.float64), -np.inf), tp, fp)


def _ratio(top: float, bottom: float) -> float:
    return top / bottom if bottom else float("nan")


def _rate(counts: np.ndarray, total: int) -> np.ndarray:
    """Shares of a total; NaN where the total is 0."""
    return counts / total if total else np.full(len(counts), np.nan)


def _listed(**columns: np.ndarray) -> list[dict[str, float]]:
    """Columns of equal length as a list of rows."""
    rows = zip(*(column.tolist() for column in columns.values()), strict=True)
    return [dict(zip(columns, row, strict=True)) for row in rows]
