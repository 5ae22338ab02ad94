"""A probability of cell interior against its truth: the five scores of the ISBI 2012 challenge."""

from collections.abc import Callable

from cunet.errors import DataError
from cunet.evaluation.probability import Pair, read_pair
from cunet.evaluation.sources import Source, warn
from cunet.metrics.isbi2012 import evaluate


def evaluate_isbi(
    prob: Source,
    truth: Source,
    pages: str | list[int] | None = None,
    radius: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> dict:
    """The scores of the ISBI 2012 challenge, as `cunet evaluate isbi --json` prints them.

    prob is the probability of cell interior (white): a TIFF or PNG file, or an array (H, W) or
    (pages, H, W), or what cunet.segment returns, of whose classes class 1 is taken. Floating point
    is from 0 to 1, integers are divided by the largest of their type. truth is a file or an array
    of 0 for membrane and 255 (or 1) for interior. pages are those of truth, counted from 0, such as
    [0, 5] or "0,5,10-12" (all by default); prob has just these, or as many as truth. radius in
    pixels: splits are looked for in a window of 2 radius + 1 (by default in the whole image, as the
    challenge does). progress(slices done, slices) is called after every slice.

    Returns pixel_error, rand_error, warping_error, v_rand and v_info, each at the threshold of 0,
    0.1 ... 1 that suits it best; "thresholds", these; "curves", each score at every threshold;
    "warping_pixels", pixels of wrong topology by kind; "per_slice", the five of every slice. The
    definitions are those of the organisers' program: see cunet/metrics/isbi2012.py.

    Raises CunetError for a missing file or page, DataError where the contents are not valid, the
    two do not fit together, or pixels of truth are to be ignored.

        scores = cunet.evaluate_isbi(cunet.segment(image, net), labels)
        scores["v_rand"], scores["thresholds"]["v_rand"]
    """
    pair = read_pair(prob, truth, pages)
    warn(pair.notes)
    return scores(pair, radius, progress)


def scores(
    pair: Pair, radius: int | None = None, progress: Callable[[int, int], None] | None = None
) -> dict:
    """The document of evaluate_isbi for pages that were read; its slices are pages of the truth."""
    if pair.counted is not None:
        raise DataError(
            f"'{pair.truth}' has ignored pixels (255 beside class ids); these scores follow cells "
            "over the whole slice and need a label for every pixel. `cunet evaluate pixels` can "
            "leave pixels out."
        )
    total = len(pair.pages)
    told = None if progress is None else lambda done: progress(done, total)
    found = evaluate(pair.probability, pair.white, -1 if radius is None else radius, told)
    for one in found["per_slice"]:
        one["slice"] = pair.pages[one["slice"]]
    return found
