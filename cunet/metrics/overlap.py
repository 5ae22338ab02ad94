"""Two label images of one picture: which objects share how many pixels.

t: objects of the truth, f: objects found, k: pairs of them that share a pixel. Objects stand in the
order of their numbers; the numbers may have gaps and be of any size.
"""

from dataclasses import dataclass

import numpy as np

from cunet.errors import CunetError


@dataclass(frozen=True)
class Overlap:
    """The table of shared pixels in sparse form, without the background; `of` makes it.

    truth, found              (t,), (f,): the objects' numbers, rising
    truth_sizes, found_sizes  (t,), (f,): their pixels
    rows, columns             (k,): the places of a pair in truth and in found, in this order
    shared                    (k,): the pixels that lie in both, > 0
    """

    truth: np.ndarray
    found: np.ndarray
    truth_sizes: np.ndarray
    found_sizes: np.ndarray
    rows: np.ndarray
    columns: np.ndarray
    shared: np.ndarray

    @classmethod
    def of(cls, truth: np.ndarray, found: np.ndarray) -> "Overlap":
        """From two label images (H, W) of integers >= 0, 0 = background.

        Raises CunetError where they differ in size.
        """
        if truth.shape != found.shape:
            raise CunetError(
                f"label images: expected two of one size, found {truth.shape} and {found.shape}"
            )
        a, b = truth.ravel(), found.ravel()
        # runs of equal pixels along the rows are far fewer than pixels to be sorted
        new = np.append(True, (a[1:] != a[:-1]) | (b[1:] != b[:-1]))[: a.size]
        starts = np.flatnonzero(new)
        lengths = np.diff(np.append(starts, a.size))
        numbers, sizes, places = [], [], []
        for values in (a[starts], b[starts]):
            inside = values > 0
            known, place = np.unique(values[inside], return_inverse=True)
            numbers.append(known)
            sizes.append(_sums(place, lengths[inside], len(known)))
            places.append(np.full(len(values), -1))
            places[-1][inside] = place
        row, column = places
        both = (row >= 0) & (column >= 0)
        pairs = row[both] * max(1, len(numbers[1])) + column[both]
        pair, place = np.unique(pairs, return_inverse=True)
        shared = _sums(place, lengths[both], len(pair))
        rows, columns = np.divmod(pair, max(1, len(numbers[1])))
        return cls(numbers[0], numbers[1], sizes[0], sizes[1], rows, columns, shared)

    def unions(self) -> np.ndarray:
        """The pixels of either object of each pair, (k,)."""
        return self.truth_sizes[self.rows] + self.found_sizes[self.columns] - self.shared

    def foreground(self) -> tuple[int, int, int]:
        """Pixels in objects of both images, of what is found alone, and of the truth alone."""
        both = int(self.shared.sum())
        return both, int(self.found_sizes.sum()) - both, int(self.truth_sizes.sum()) - both


def _sums(place: np.ndarray, lengths: np.ndarray, count: int) -> np.ndarray:
    """The sum of the lengths at each place, int64; exact, as sums below 2^53 are in float64."""
    return np.bincount(place, lengths, count).astype(np.int64)
