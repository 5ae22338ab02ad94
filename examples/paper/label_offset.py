"""Where do the labels lie? Those of ISBI 2012 lie above the membranes that they mark.

Labels are compared with the images themselves: cells are bright and membranes dark, so that labels
and grey values correlate most where they lie on each other. No network is asked. A network that
learned from rotated and mirrored samples does not know which way is up, so it cannot learn an
offset: it finds membranes where they are, and half a pixel costs it pixel error.

    python examples/paper/label_offset.py isbi2012/ runs/isbi2012-crossval-1

prints the offset, measured for each fold on the slices that it trains on, and the scores of the
predictions of a cross-validation, as they are and moved to where the labels lie.
"""

import argparse
import sys

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter, shift

from cunet.crossvalidation.spread import deviation
from cunet.data.labels import cells
from cunet.data.load import load
from cunet.errors import CunetError
from cunet.metrics import isbi2012

KEYS = isbi2012.KEYS
FAR = 4  # pixels: the largest offset that is looked for


def offset(images: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """(down, right) in pixels by which labels lie beside what they mark, (0, 0) where they fit.

    images (n, H, W) bright where truth (n, H, W) is True. The highest correlation over all whole
    moves of the images, and the top of the parabola through it and its neighbours.
    """
    images = np.stack([gaussian_filter(image.astype(np.float64), 1) for image in images])
    inside = truth[:, FAR:-FAR, FAR:-FAR].ravel()
    height, width = images.shape[1:]
    moves = range(-FAR, FAR + 1)
    fit = np.empty((len(moves), len(moves)))
    for i, down in enumerate(moves):
        for j, right in enumerate(moves):
            rows, columns = (
                slice(FAR - down, height - FAR - down),
                slice(FAR - right, width - FAR - right),
            )
            fit[i, j] = np.corrcoef(inside, images[:, rows, columns].ravel())[0, 1]
    i, j = np.unravel_index(fit.argmax(), fit.shape)
    if min(i, j) == 0 or max(i, j) == 2 * FAR:
        sys.exit(f"error: no best fit within {FAR - 1} pixels; are cells bright in these images?")
    return moves[i] + top(*fit[i - 1 : i + 2, j]), moves[j] + top(*fit[i, j - 1 : j + 2])


def top(before: float, here: float, after: float) -> float:
    """Where the parabola through three neighbours is highest, counted from the middle one."""
    return float((before - after) / (2 * (before - 2 * here + after)))


def moved(prediction: np.ndarray, by: tuple[float, float]) -> np.ndarray:
    """Probabilities (n, H, W) moved down and right, bilinear."""
    return np.stack([shift(page, by, order=1, mode="nearest") for page in prediction])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", help="the data set: isbi2012/")
    parser.add_argument("run", help="folder of its cross-validation, of grey slices of one size")
    parser.add_argument("--folds", type=int, default=5, help="that it had (5)")
    given = parser.parse_args()
    try:
        dataset = load(given.data)
    except CunetError as error:
        sys.exit(f"error: {error}")
    prediction = tifffile.imread(f"{given.run}/prediction.tif")
    images = np.stack([np.asarray(image)[..., 0] for image in dataset.images])
    truth = np.stack([cells(labels) for labels in dataset.labels])
    if prediction.shape != truth.shape:
        sys.exit(f"error: {prediction.shape} predictions of {truth.shape} labels: of these data?")
    found: dict[str, list] = {"as they are": [], "moved": []}
    for fold in range(given.folds):
        held = np.arange(len(truth)) % given.folds == fold
        by = offset(images[~held], truth[~held])
        print(f"fold {fold}: labels lie {by[0]:+.2f} down, {by[1]:+.2f} right", flush=True)
        for name, pages in (
            ("as they are", prediction[held]),
            ("moved", moved(prediction[held], by)),
        ):
            found[name].append(isbi2012.evaluate(pages, truth[held]))
    print(f"\n{'predictions':<20}" + "".join(f"{key:>15}" for key in KEYS))
    for name, scores in found.items():
        values = {key: [one[key] for one in scores] for key in KEYS}
        print(f"{name + ', mean':<20}" + "".join(f"{np.mean(v):>15.6f}" for v in values.values()))
        print(f"{'  sd of folds':<20}" + "".join(f"{deviation(v):>15.6f}" for v in values.values()))


if __name__ == "__main__":
    main()
