"""Scores of objects over thresholds of their IoU, as in the Data Science Bowl 2018.

Objects of truth and finding are matched one to one: the pair of the highest IoU first; of equal
ones that of the lower truth number, then of the lower found number. At a threshold t a pair with
IoU >= t is a true positive (TP); what is left of the found is false positive (FP), what is left of
the truth false negative (FN). Above 1/2 no object can have two partners; at exactly 1/2 the order
decides which of two is taken, not how many pairs there are. With images i and thresholds t:

    kaggle_dsb2018_score            mean over i of the mean over t = 0.50, 0.55 ... 0.95 (10)
                                    of TP / (TP + FP + FN)
    report_mean_average_precision   mean over i of the mean over t = 0.50, 0.55 ... 1.00 (11)
                                    of TP / (TP + FP)

The second is plain precision: missed objects do not count in it, so it does not measure how many
were found; over the same thresholds it is never below the first. An image without objects in truth
and finding scores 1 in both, one where all objects are missed 0. Kaggle's own text has IoU > t;
that makes a difference only where an IoU is a multiple of 1/20.

t: objects of the truth, f: objects found.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cunet.metrics.curves import Counts
from cunet.metrics.overlap import Overlap

STEPS = 20  # thresholds are multiples of 1 / STEPS, and compared in whole numbers
LEVELS = tuple(range(STEPS // 2, STEPS + 1))
THRESHOLDS = tuple(level / STEPS for level in LEVELS)
KAGGLE_THRESHOLDS = 10  # the first ten of them


@dataclass(frozen=True)
class Tally:
    """What is counted of one image; `of` makes it.

    matched  (11,) TP at every threshold
    truth, found  how many objects there are
    pixels   in objects of both, of the found alone, of the truth alone
    """

    matched: np.ndarray
    truth: int
    found: int
    pixels: tuple[int, int, int]

    @classmethod
    def of(cls, truth: np.ndarray, found: np.ndarray) -> "Tally":
        """From two label images (H, W) of integers >= 0, 0 = background.

        Raises CunetError where they differ in size.
        """
        overlap = Overlap.of(truth, found)
        shared, unions = matches(overlap)
        matched = [np.count_nonzero(STEPS * shared >= level * unions) for level in LEVELS]
        sizes = len(overlap.truth), len(overlap.found)
        return cls(np.array(matched), *sizes, overlap.foreground())

    def kaggle_score(self) -> float:
        """The mean of TP / (TP + FP + FN) over the thresholds 0.50 ... 0.95."""
        tp = self.matched[:KAGGLE_THRESHOLDS]
        everything = self.truth + self.found - tp
        return float((tp / everything).mean()) if self._objects() else 1.0

    def report_score(self) -> float:
        """The mean of TP / (TP + FP) over the thresholds 0.50 ... 1.00."""
        return float((self.matched / max(1, self.found)).mean()) if self._objects() else 1.0

    def counts(self, step: int) -> Counts:
        """TP, FP and FN at a threshold, counted from 0; there are no true negatives."""
        tp = int(self.matched[step])
        return Counts(tp, self.found - tp, self.truth - tp, 0)

    def _objects(self) -> int:
        return self.truth + self.found


def matches(overlap: Overlap) -> tuple[np.ndarray, np.ndarray]:
    """The shared and the united pixels of the matched pairs with IoU >= 1/2.

    Those of them at or above a higher threshold are the matches there, since the best come first.
    """
    shared, unions = overlap.shared, overlap.unions()
    truth_free, found_free = np.ones(len(overlap.truth), bool), np.ones(len(overlap.found), bool)
    chosen = []
    for pair in np.flatnonzero(2 * shared >= unions):  # they stand in the order of their numbers
        # Two such pairs can have an object in common only if both IoU are exactly 1/2. So the
        # order of the numbers serves as the order of the IoU.
        row, column = overlap.rows[pair], overlap.columns[pair]
        if truth_free[row] and found_free[column]:
            truth_free[row] = found_free[column] = False
            chosen.append(pair)
    return shared[chosen], unions[chosen]


def summary(tallies: Sequence[Tally]) -> dict:
    """The scores of these images together; at least one.

    thresholds  a list of threshold, tp, fp, fn, precision, recall and f1, counted over all images
    pixel_...   precision, recall, f1 and iou of the pixels in objects, counted over all images
    Ratios with nothing in their denominator are NaN.
    """
    both, alone, missed = (sum(tally.pixels[i] for tally in tallies) for i in range(3))
    total = Tally(
        np.sum([tally.matched for tally in tallies], axis=0),
        sum(tally.truth for tally in tallies),
        sum(tally.found for tally in tallies),
        (both, alone, missed),
    )
    pixels = Counts(*total.pixels, 0)
    return {
        "images": len(tallies),
        "objects": total.truth,
        "found": total.found,
        "kaggle_dsb2018_score": float(np.mean([tally.kaggle_score() for tally in tallies])),
        "report_mean_average_precision": float(np.mean([t.report_score() for t in tallies])),
        "thresholds": [
            {"threshold": threshold, **_ratios(total.counts(step))}
            for step, threshold in enumerate(THRESHOLDS)
        ],
        "pixel_precision": pixels.precision(),
        "pixel_recall": pixels.recall(),
        "pixel_f1": pixels.f1(),
        "pixel_iou": pixels.iou(),
    }


def _ratios(counts: Counts) -> dict:
    return {
        "tp": counts.tp,
        "fp": counts.fp,
        "fn": counts.fn,
        "precision": counts.precision(),
        "recall": counts.recall(),
        "f1": counts.f1(),
    }
