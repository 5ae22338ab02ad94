"""How long the ISBI 2012 metrics take, part by part.

    python examples/benchmarks/metrics.py PROB.tif TRUTH.tif

PROB: probability of cell, TRUTH: 0 and 255, of equal pages. All threads are used, each for one
slice. Numba compiles before the clock starts.
"""

import sys
import time

import numpy as np
from scipy.ndimage import label

from cunet.evaluation.probability import read_pair
from cunet.metrics.contingency import Contingency
from cunet.metrics.isbi2012 import WARPING_THRESHOLDS, Tally, evaluate
from cunet.metrics.pixel import THRESHOLDS, PixelCounts
from cunet.metrics.thinning import thinned
from cunet.metrics.warping import classify, warp
from cunet.threads import get_threads, parallel


def pixel(probability: np.ndarray, truth: np.ndarray) -> None:
    PixelCounts().add(probability, truth)


def rand(probability: np.ndarray, truth: np.ndarray) -> None:
    objects, _ = label(truth)
    for threshold in THRESHOLDS:
        Contingency.of(objects, label(probability > threshold)[0]).pairs()


def thinned_scores(probability: np.ndarray, truth: np.ndarray) -> None:
    objects, _ = label(truth)
    for threshold in THRESHOLDS:
        table = Contingency.of(objects, thinned(probability > threshold))
        table.rand_f_score(), table.information_f_score()


def warping(probability: np.ndarray, truth: np.ndarray) -> None:
    for threshold in THRESHOLDS[:WARPING_THRESHOLDS]:
        classify(warp(probability, truth, threshold), probability > threshold)


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    pair = read_pair(*sys.argv[1:])
    probability, truth = pair.probability.astype(np.float64), pair.white
    Tally.of(probability[0], truth[0])
    slices = range(len(truth))
    print(f"{len(truth)} slices of {truth.shape[1]} x {truth.shape[2]}, {get_threads()} threads")
    for part in (pixel, rand, thinned_scores, warping):
        start = time.perf_counter()
        parallel(lambda i, part=part: part(probability[i], truth[i]), slices)
        print(f"{part.__name__:<16}{time.perf_counter() - start:8.1f} s")
    start = time.perf_counter()
    evaluate(probability, truth)
    print(f"{'all together':<16}{time.perf_counter() - start:8.1f} s")


if __name__ == "__main__":
    main()
