"""SEG, the segmentation score of the Cell Tracking Challenge.

A found object S matches a reference object R if it holds more than half of it: |R and S| > |R| / 2.
At most one S does. The score of R is J = |R and S| / |R or S|, 0 where nothing matches, and SEG the
mean over all reference objects of all annotated frames, not a mean of means. Objects
found where nothing is annotated cost nothing; one that covers two reference objects may match both.
Source: Maska et al. 2014, Bioinformatics 30:1609, and the challenge's own program.

n: reference objects of a frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cunet.metrics.curves import Counts
from cunet.metrics.overlap import Overlap


@dataclass(frozen=True)
class Frame:
    """What is counted of one annotated frame; `of` makes it.

    scores  (n,) J of every reference object in the order of their numbers, 0 where unmatched
    found   how many objects were found in the frame
    pixels  both, found alone, reference alone
    """

    scores: np.ndarray
    found: int
    pixels: tuple[int, int, int]

    @classmethod
    def of(cls, truth: np.ndarray, found: np.ndarray) -> "Frame":
        """From the reference and the found cell numbers (H, W), 0 = none.

        Raises CunetError where they differ in size.
        """
        overlap = Overlap.of(truth, found)
        scores = np.zeros(len(overlap.truth))
        match = 2 * overlap.shared > overlap.truth_sizes[overlap.rows]
        scores[overlap.rows[match]] = overlap.shared[match] / overlap.unions()[match]
        return cls(scores, len(overlap.found), overlap.foreground())


def summary(frames: Sequence[Frame]) -> dict:
    """The scores of these frames together.

    SEG        the mean of J over all reference objects; NaN where there is none
    objects    reference objects; of these
    matched    ... have a match
    unmatched  ... have none
    found      objects found in these frames, whether anything is annotated there or not
    iou        intersection over union of all cells' pixels; NaN where there is no cell in either
    """
    scores = np.concatenate([np.zeros(0), *(frame.scores for frame in frames)])
    matched = int(np.count_nonzero(scores))
    both, alone, missed = (sum(frame.pixels[i] for frame in frames) for i in range(3))
    return {
        "SEG": float(scores.mean()) if len(scores) else float("nan"),
        "objects": len(scores),
        "matched": matched,
        "unmatched": len(scores) - matched,
        "found": sum(frame.found for frame in frames),
        "iou": Counts(both, alone, missed, 0).iou(),
    }
