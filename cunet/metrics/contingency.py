"""Two segmentations of one slice compared object by object: Rand and information scores.

The contingency table c[i, j] counts the pixels that truth puts into object i and the proposal into
object j. Only pixels inside the truth's objects count ("foreground-restricted"). Where such a pixel
is background in the proposal (j = 0), it counts as an object of its own, of one pixel.

With a[i] = sum over j of c[i, j] (j = 0 among them), b[j] = sum over i of c[i, j] for j >= 1,
s = sum over i of c[i, 0], and n = sum of a:

    pairs in one object in both        tp      = sum c[i, j]^2 (j >= 1) + s
    ... in the proposal                tp + fp = sum b[j]^2 + s
    ... in the truth                   tp + fn = sum a[i]^2
    V_Rand                             2 tp / (2 tp + fp + fn), the F-score of the pairs
    V_Info                             2 I(A; B) / (H(A) + H(B)), natural logarithms

Source: Arganda-Carreras et al. 2015, Frontiers in Neuroanatomy 9:142; the form is that of the
challenge's board ("N2", since January 2015).
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Contingency:
    """The table of one slice in sparse form: counts c[i, j] with j >= 1, their j, and the sums."""

    counts: np.ndarray  # c[i, j] > 0, j >= 1
    truth_sizes: np.ndarray  # a[i] > 0
    found_sizes: np.ndarray  # b[j] > 0, inside the truth's objects
    singles: int  # s

    @classmethod
    def of(cls, truth: np.ndarray, found: np.ndarray) -> "Contingency":
        """From two label images (H, W) of integers, 0 = background."""
        inside = truth > 0
        a, b = _small(truth[inside]), _small(found[inside])
        both = b > 0
        pairs = a[both] * (int(b.max(initial=0)) + 1) + b[both]
        counts = np.unique(pairs, return_counts=True)[1]
        truth_sizes, found_sizes = (np.bincount(numbers) for numbers in (a, b[both]))
        return cls(
            counts,
            truth_sizes[truth_sizes > 0],
            found_sizes[found_sizes > 0],
            int(np.count_nonzero(~both)),
        )

    def pairs(self) -> tuple[int, int, int]:
        """tp, fp and fn, whole numbers that may be summed over slices."""
        tp = int((self.counts**2).sum()) + self.singles
        in_found = int((self.found_sizes**2).sum()) + self.singles
        in_truth = int((self.truth_sizes**2).sum())
        return tp, in_found - tp, in_truth - tp

    def rand_f_score(self) -> float:
        """V_Rand; 0 where the truth has no object."""
        return f_score(*self.pairs())

    def information_f_score(self) -> float:
        """V_Info; 0 where truth or proposal is a single object, which carries no information."""
        n = int(self.truth_sizes.sum())
        if n == 0:
            return 0.0

        def entropy(sizes: np.ndarray, singles: int) -> float:
            p = sizes / n
            return float(singles / n * np.log(n) - (p * np.log(p)).sum())

        h_truth = entropy(self.truth_sizes, 0)
        h_found = entropy(self.found_sizes, self.singles)
        if h_truth == 0 or h_found == 0:
            return 0.0
        return 2 * (h_truth + h_found - entropy(self.counts, self.singles)) / (h_truth + h_found)


def _small(numbers: np.ndarray) -> np.ndarray:
    """The numbers as int64, counted anew where they are large: sums list all up to the largest."""
    if numbers.size and numbers.max() > max(numbers.size, 1 << 16):
        known = np.unique(numbers[numbers > 0])
        return np.where(numbers > 0, np.searchsorted(known, numbers) + 1, 0)
    return numbers.astype(np.int64)


def f_score(tp: int, fp: int, fn: int) -> float:
    """2 tp / (2 tp + fp + fn); 0 where nothing was to be found and nothing was."""
    return 2 * tp / (2 * tp + fp + fn) if tp + fp + fn else 0.0
