"""A probability of cell interior against its truth: the five scores of the ISBI 2012 challenge."""

from collections.abc import Callable
from typing import Any

from cunet.checks import arguments, array_or_path, callback, whole
from cunet.errors import DataError
from cunet.evaluation.probability import Pair, read_pair
from cunet.evaluation.sources import Source, warn
from cunet.metrics.isbi2012 import evaluate


@arguments(prob=array_or_path, truth=array_or_path, radius=whole, progress=callback)
def evaluate_isbi(
    prob: Source,
    truth: Source,
    pages: str | list[int] | None = None,
    radius: int | None = None,
    progress: Callable[[int, int], None] | None = None,
    labels: str | None = None,
) -> dict[str, Any]:
    """The scores of the ISBI 2012 challenge, as `cunet evaluate isbi --json` prints them.

    prob is the probability of cell interior (white): a TIFF or PNG file, an array (H, W) or
    (pages, H, W), or the result of cunet.segment (H, W, 2), of which class 1 is taken. Floating
    point values are from 0 to 1; integers are divided by the largest of their type. truth is a file
    or an array, 0 for membrane and 255 (or 1) for interior, or numbered cells; labels, "instances",
    "classes" or "neurons" (ISBI 2013), says which where it is not plain. pages: the pages of truth
    to score, counted from 0, such as [0, 5] or "0,5,10-12" (default: all); prob has just these
    pages, or as many as truth. radius, in pixels: splits are looked for in a window of 2 radius + 1
    (default: in the whole image, as the challenge does). progress(slices done, slices) is called
    after every slice.

    Returns "pixel_error", "rand_error", "warping_error", "v_rand" and "v_info", each at its best
    threshold of 0, 0.1 ... 1; "thresholds", the best one for each; "curves", each score at every
    threshold; "warping_pixels", the pixels of wrong topology by kind; and "per_slice", a list with
    the five scores of every slice. Errors are shares from 0 (perfect) to 1, v_rand and v_info go
    from 0 to 1 (perfect). The definitions are those of the organisers' program: see
    cunet/metrics/isbi2012.py.

    Raises CunetError for a missing file or page, DataError where the contents are not valid, the
    two do not fit together, or truth has ignored pixels.

        scores = cunet.evaluate_isbi(cunet.segment(image, net), labels)
        scores["v_rand"], scores["thresholds"]["v_rand"]
    """
    pair = read_pair(prob, truth, pages, labels)
    warn(pair.notes)
    return scores(pair, radius, progress)


def scores(
    pair: Pair, radius: int | None = None, progress: Callable[[int, int], None] | None = None
) -> dict[str, Any]:
    """The document of evaluate_isbi for pages already read; slices are numbered as in truth."""
    if pair.counted is not None:
        raise DataError(
            f"'{pair.truth}' has ignored pixels (255 beside class ids); these scores follow cells "
            "over the whole slice and need a label for every pixel. `cunet evaluate pixels` can "
            "leave pixels out."
        )
    total = len(pair.pages)
    counted = None if progress is None else lambda done: progress(done, total)
    pages = [*pair.probability], [*pair.white]
    found = evaluate(*pages, -1 if radius is None else radius, counted)
    for one in found["per_slice"]:
        one["slice"] = pair.pages[one["slice"]]
    return found
