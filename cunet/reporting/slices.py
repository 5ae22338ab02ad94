"""A slice segmented for the report, and all that is counted in it. H W: its height and width."""

import math
from dataclasses import dataclass

import numpy as np

from cunet.data.dataset import Dataset
from cunet.data.labels import IGNORE, cells
from cunet.metrics import ctc, dsb2018
from cunet.metrics.classes import confusion, mean_iou
from cunet.metrics.curves import Counts
from cunet.metrics.pixel import PixelCounts
from cunet.segmentation.instances import Instances
from cunet.segmentation.objects import find


@dataclass(frozen=True)
class Cells:
    """The cells of a slice, where the data set numbers them.

    truth, found  (H, W) cell numbers, 0 = none; found are the 4-connected components of probability
                  above 0.5
    frame         what the Cell Tracking Challenge counts
    pixels        cell pixels that are found, except those to be ignored
    tally         what the Data Science Bowl counts; None where some pixels are to be ignored, since
                  what is found there is neither right nor wrong
    """

    truth: np.ndarray
    found: np.ndarray
    frame: ctc.Frame
    pixels: Counts
    tally: dsb2018.Tally | None

    @classmethod
    def of(cls, white: np.ndarray, labels: np.ndarray, truth: np.ndarray) -> "Cells":
        """From the probability of white, the class ids and the true cell numbers, (H, W) each."""
        mask, counted = white > 0.5, labels != IGNORE
        found, true = find(mask, Instances()), cells(labels)
        tp, fp = int((mask & true).sum()), int((mask & counted & ~true).sum())
        fn, tn = int((true & ~mask).sum()), int((counted & ~mask & ~true).sum())
        tally = dsb2018.Tally.of(truth, found) if counted.all() else None
        return cls(truth, found, ctc.Frame.of(truth, found), Counts(tp, fp, fn, tn), tally)


@dataclass(frozen=True)
class Segmented:
    """The slice `index` of a data set as the network sees it.

    white    (H, W) probability of every class but the first
    counts   what is found white over the thresholds
    classes  (H, W) uint8 the most probable class, and the confusion matrix (K, K); None of two
    cells    None where the data set does not number them
    """

    index: int
    name: str
    white: np.ndarray
    counts: PixelCounts
    classes: np.ndarray | None
    matrix: np.ndarray | None
    cells: Cells | None

    @classmethod
    def of(cls, dataset: Dataset, index: int, probability: np.ndarray) -> "Segmented":
        """From the probability (H, W, K) of the classes."""
        labels, classes, matrix, objects = dataset.labels[index], None, None, None
        white, counted = probability[..., 1:].sum(axis=2), labels != IGNORE
        counts = PixelCounts()
        counts.add(white, cells(labels), counted)
        count = len(dataset.class_names)
        if count > 2:
            classes = probability.argmax(axis=2).astype(np.uint8)
            matrix = confusion(classes, labels, count, counted)
        if dataset.instances is not None:
            objects = Cells.of(white, labels, dataset.instances[index])
        name = dataset.slice_names[index]
        return cls(index, name, white, counts, classes, matrix, objects)

    @property
    def value(self) -> float:
        """The score by which slices are put in order; see `measure`."""
        if self.cells is not None:
            return ctc.summary([self.cells.frame])["SEG"]
        return self.counts.dice() if self.matrix is None else mean_iou(self.matrix)

    @property
    def measure(self) -> str:
        """The name of that score."""
        if self.cells is not None:
            return "SEG"
        return "Dice" if self.matrix is None else "mean IoU"


def in_order(slices: list[Segmented]) -> list[Segmented]:
    """From the lowest score to the highest; those without one at the end."""
    return sorted(slices, key=lambda one: (math.isnan(one.value), one.value, one.index))
