"""The five scores of the ISBI 2012 challenge, of a stack and of every slice.

    key             what                                  over slices           over thresholds
    pixel_error     1 - F-score of white pixels           sums of tp, fp, fn    the lowest
    rand_error      1 - F-score of pairs of pixels        sums of tp, fp, fn    the lowest
    v_rand          the same after thinning               mean of F-scores      the highest
    v_info          information F-score, thinned          mean                  the highest
    warping_error   merge and split pixels / all pixels   sums                  the lowest, to 0.9

pixel_error, rand_error and warping_error are those of the paper's Table 1 (the board of 2012);
v_rand and v_info are those of the board since 2015. Every score is taken at its own best
threshold. The thresholds are added up, 0, 0.1, 0.2, 0.30000000000000004 ... 0.9999999999999999, and
white is where float64(p) > threshold, as in the organisers' program; of equal scores the lowest
threshold counts. Objects are the 4-connected components of white.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.ndimage import label

from cunet.errors import CunetError
from cunet.metrics.contingency import Contingency, f_score
from cunet.metrics.pixel import THRESHOLDS, PixelCounts
from cunet.metrics.thinning import thinned
from cunet.metrics.warping import KINDS, classify, count, warp
from cunet.threads import parallel

# Key, as the command line prints it: name, decimals worth printing, what it is
SCORES = {
    "pixel_error": ("pixel error", 4, "1 - F-score of white pixels"),
    "rand_error": ("Rand error", 4, "1 - F-score of pairs of pixels in one cell"),
    "warping_error": ("warping error", 6, "merge and split pixels / all pixels"),
    "v_rand": ("V_Rand", 4, "F-score of pairs, membranes thinned; mean over slices"),
    "v_info": ("V_Info", 4, "F-score of information, membranes thinned; mean over slices"),
}
KEYS = tuple(SCORES)
WARPING_THRESHOLDS = 10  # the warping error is computed at the thresholds 0 to 0.9 only
ERRORS = ("merge", "split")  # the kinds of the warping error


Part = tuple[tuple[int, int, int], float, float, dict[str, int]]


def at_threshold(probability: np.ndarray, truth: np.ndarray, step: int, radius: int = -1) -> Part:
    """What is counted of a slice at one of the THRESHOLDS: pairs, V_Rand, V_Info and the kinds of
    wrong pixels, which are empty from WARPING_THRESHOLDS on. Arguments: see Tally.of."""
    objects, _ = label(truth)
    threshold, probability = THRESHOLDS[step], probability.astype(np.float64)
    found = probability > threshold
    pairs = Contingency.of(objects, label(found)[0]).pairs()
    table = Contingency.of(objects, thinned(found))
    kinds = {}
    if step < WARPING_THRESHOLDS:
        kinds = count(classify(warp(probability, truth, threshold), found, radius))
    return pairs, table.rand_f_score(), table.information_f_score(), kinds


@dataclass(frozen=True)
class Tally:
    """What is counted of one slice at every threshold; `of` makes it. Scores are sums and means.

    pixels          white and found white
    pairs           (11,) tp, fp and fn of pairs of pixels
    v_rand, v_info  (11,) after thinning
    kinds           (10,) how many pixels of each kind of KINDS are wrong
    """

    pixels: PixelCounts
    pairs: list[tuple[int, int, int]]
    v_rand: np.ndarray
    v_info: np.ndarray
    kinds: list[dict[str, int]]

    @classmethod
    def of(cls, probability: np.ndarray, truth: np.ndarray, radius: int = -1) -> "Tally":
        """From the probability of cell (H, W) and truth (H, W) bool; radius: warping.classify."""
        steps = range(len(THRESHOLDS))
        return cls.joined(
            probability, truth, [at_threshold(probability, truth, i, radius) for i in steps]
        )

    @classmethod
    def joined(cls, probability: np.ndarray, truth: np.ndarray, parts: list[Part]) -> "Tally":
        """From what at_threshold counted of the slice at every threshold."""
        pixels = PixelCounts()
        pixels.add(probability, truth)
        pairs, v_rand, v_info, kinds = map(list, zip(*parts, strict=True))
        return cls(pixels, pairs, np.array(v_rand), np.array(v_info), kinds[:WARPING_THRESHOLDS])

    def document(self) -> dict[str, Any]:
        """The same for a JSON file, from which `read` makes an equal one."""
        arrays = {"v_rand": self.v_rand.tolist(), "v_info": self.v_info.tolist()}
        kinds = [[each[kind] for kind in KINDS] for each in self.kinds]
        pixels = self.pixels.document()
        return {"pixels": pixels, "pairs": self.pairs, **arrays, "kinds": kinds}

    @classmethod
    def read(cls, document: dict[str, Any]) -> "Tally":
        """The tally of a document(). ValueError, KeyError or TypeError where it is none."""
        pairs = _table(document["pairs"], (len(THRESHOLDS), 3), int)
        kinds = _table(document["kinds"], (WARPING_THRESHOLDS, len(KINDS)), int)
        v_rand, v_info = (
            np.array(_table([document[key]], (1, len(THRESHOLDS)), float)[0])
            for key in ("v_rand", "v_info")
        )
        return cls(
            PixelCounts.read(document["pixels"]),
            [(tp, fp, fn) for tp, fp, fn in pairs],
            v_rand,
            v_info,
            [dict(zip(KINDS, each, strict=True)) for each in kinds],
        )


def _table(rows: Any, shape: tuple[int, int], kind: type) -> list[list]:
    """Rows of a JSON file; ValueError or TypeError unless they have this shape and kind."""
    if len(rows) != shape[0] or any(len(row) != shape[1] for row in rows):
        raise ValueError(f"expected a table of {shape}")
    if any(type(value) is not kind for row in rows for value in row):
        raise TypeError(f"expected numbers of type {kind.__name__}")
    return rows


def evaluate(
    probability: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    radius: int = -1,
    progress: Callable[[int], None] | None = None,
) -> dict:
    """The scores of a stack: probability of cell from 0 to 1 and truth (bool), slices (H, W) each.

    Returns the five KEYS; "thresholds", the best one of each; "curves", each key at every
    threshold; "warping_pixels", how many pixels of each kind are left at the best threshold; and
    "per_slice", a list of the five with "slice", each at its own best threshold. radius: see
    warping.classify. progress(slices done) is called after every slice. Slices may differ in
    size. CunetError if a slice and its truth do. Source: the organisers' Trainable_Segmentation.
    """
    return scores(counted(probability, truth, radius, progress))


def counted(
    probability: Sequence[np.ndarray],
    truth: Sequence[np.ndarray],
    radius: int = -1,
    progress: Callable[[int], None] | None = None,
) -> list[Tally]:
    """What is counted of every slice; arguments and errors as of evaluate.

    Threads share the thresholds of all slices: pieces so small that nobody who interrupts it waits.
    """
    shapes = [[np.shape(page) for page in pages] for pages in (probability, truth)]
    if shapes[0] != shapes[1] or not shapes[0]:
        raise CunetError(
            "isbi2012: expected slices of probability and of truth, equal in number and shape, "
            f"found {shapes[0]} and {shapes[1]}"
        )
    if radius != -1 and radius < 1:
        raise CunetError(f"isbi2012 radius: expected -1 (the whole image) or 1 or more: {radius}")
    steps = range(len(THRESHOLDS))
    parts: list[list[Any]] = [[None] * len(steps) for _ in truth]
    left = [iter(reversed(steps)) for _ in truth]
    done = iter(range(1, len(truth) + 1))

    def one(place: tuple[int, int]) -> None:
        i, step = place
        parts[i][step] = at_threshold(probability[i], truth[i] > 0, step, radius)
        if next(left[i]) == 0 and progress is not None:
            progress(next(done))

    parallel(one, [(i, step) for i in range(len(truth)) for step in steps])
    slices = zip(probability, truth, parts, strict=True)
    return [Tally.joined(page, white > 0, counts) for page, white, counts in slices]


def scores(tallies: list[Tally]) -> dict:
    """The scores of these slices, as evaluate returns them."""
    each = [summary([tally]) for tally in tallies]
    per_slice = [{"slice": i} | {key: one[key] for key in KEYS} for i, one in enumerate(each)]
    return summary(tallies) | {"per_slice": per_slice}


def why_not(labels: Sequence[np.ndarray], classes: int, ignore: int, numbered: bool = False) -> str:
    """Why slices with these labels (H, W) have no such scores; empty if they have.

    numbered: the data set numbers its cells, which may touch each other.
    """
    if numbered:
        return (
            "they need labels in which membrane lies between any two cells, and here cells are "
            "distinguished by their numbers and may touch"
        )
    if classes != 2:
        return f"they are defined for two classes, cell and membrane, and these data have {classes}"
    if any((page == ignore).any() for page in labels):
        return (
            "they follow cells over the whole slice and need a label for every pixel, and some "
            "pixels are marked to be ignored"
        )
    return ""


def summary(tallies: list[Tally]) -> dict:
    """The scores of these slices together, as scores() returns them, without "per_slice"."""
    curves = curves_of(tallies)
    best = {
        key: int(np.argmax(curve) if key.startswith("v_") else np.argmin(curve))
        for key, curve in curves.items()
    }
    kinds = [tally.kinds[best["warping_error"]] for tally in tallies]
    return {
        **{key: curves[key][best[key]] for key in KEYS},
        "thresholds": {key: float(THRESHOLDS[best[key]]) for key in KEYS},
        "curves": {"threshold": THRESHOLDS.tolist()} | curves,
        "warping_pixels": {kind: sum(k[kind] for k in kinds) for kind in KINDS},
    }


def curves_of(tallies: list[Tally]) -> dict[str, list[float]]:
    """Each key at every threshold."""
    pixels = PixelCounts.sum(tally.pixels for tally in tallies)
    pairs = [f_score(*map(sum, zip(*each, strict=True)))
             for each in zip(*(tally.pairs for tally in tallies), strict=True)]  # fmt: skip
    wrong = [sum(tally.kinds[i][kind] for tally in tallies for kind in ERRORS)
             for i in range(WARPING_THRESHOLDS)]  # fmt: skip
    return {
        "pixel_error": (1 - pixels.f_scores()).tolist(),
        "rand_error": [1 - f for f in pairs],
        "warping_error": [number / pixels.pixels for number in wrong],
        "v_rand": np.mean([tally.v_rand for tally in tallies], axis=0).tolist(),
        "v_info": np.mean([tally.v_info for tally in tallies], axis=0).tolist(),
    }
