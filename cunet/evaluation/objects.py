"""Label images of a prediction against those of the truth, as in the Data Science Bowl 2018."""

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from cunet.checks import arguments, arrays_or_path, callback
from cunet.data.coding import refuse_mixed
from cunet.data.dsb2018 import image_file, kaggle_cells
from cunet.data.suspicion import ignoring, many_pieces
from cunet.data.weight_map import components
from cunet.errors import DataError
from cunet.evaluation.label_files import Pair, array_pairs, find_pairs
from cunet.evaluation.sources import (
    WARNING,
    Source,
    both_paths,
    coded_alike,
    is_path,
    label_pages,
    name_of,
    warn,
)
from cunet.files import open_image
from cunet.files.listing import images_of
from cunet.metrics.dsb2018 import Tally, summary
from cunet.terminal import plural
from cunet.threads import parallel


@arguments(pred=arrays_or_path, truth=arrays_or_path, progress=callback)
def evaluate_objects(
    pred: Source | Sequence[np.ndarray],
    truth: Source | Sequence[np.ndarray],
    progress: Callable[[int, int], None] | None = None,
    labels: str | None = None,
) -> dict[str, Any]:
    """Scores of objects over thresholds of their IoU, as `cunet evaluate dsb --json` prints them.

    pred and truth are label images: arrays of whole numbers (H, W) or (images, H, W), lists of such
    (H, W) of several sizes, two files (TIFF or PNG), or two folders of files with matching names;
    truth may be a folder in the layout of the Data Science Bowl. 0 is no object. If all images hold
    nothing but 0 and 1, or 0 and 255, they are masks, whose 4-connected components are the objects.
    progress(images done, images) is called after every image. With labels="instances" files in
    colours are read: each patch of one colour is an object, on black.

    Returns the counts "images", "objects" and "found"; "kaggle_dsb2018_score", the mean of
    TP / (TP + FP + FN) over the images and the IoU thresholds 0.50, 0.55 ... 0.95;
    "report_mean_average_precision", the mean of TP / (TP + FP) up to 1.00; "thresholds", a list
    with tp, fp, fn, precision, recall and f1 at each; "pixel_precision", "pixel_recall", "pixel_f1"
    and "pixel_iou"; "not_predicted", the number of images in truth without a prediction; and
    "per_image", a list. Scores are from 0 to 1. See cunet/metrics/dsb2018.py for the definitions.

    Raises CunetError where files are missing, DataError where the contents are not valid or a
    prediction has no truth of its size.

        cunet.evaluate_objects("found/", "stage1_train/")["kaggle_dsb2018_score"]
    """
    if is_path(pred) or is_path(truth):
        pairs, left_out, _ = find_pairs(*both_paths(pred, truth, "pred and truth"))
    else:
        pairs, left_out = array_pairs(pred, truth), 0
    document, notes = scores(pairs, left_out, progress, labels == "instances")
    warn(notes)
    return document


def scores(
    pairs: list[Pair],
    left_out: int = 0,
    progress: Callable[[int, int], None] | None = None,
    colours: bool = False,
) -> tuple[dict[str, Any], list[str]]:
    """The document of evaluate_objects, and what was noticed about the files.

    colours: files in colours number objects by them. The images of a side are all masks, or none
    is: an image of one numbered object looks like a mask.
    """
    done = iter(range(1, len(pairs) + 1))
    counted: list[Any] = [None] * len(pairs)

    def one(i: int) -> None:
        found, truth, notes = read_pair(pairs[i], colours)
        source = pairs[i].truth
        numbered = is_path(source) and source.is_dir()
        both = tallies(found, truth, numbered)
        torn = [
            not any(key[side] for key in both) and many_pieces(pages)
            for side, pages in enumerate((found, [] if numbered else truth))
        ]
        counted[i] = both, notes, torn
        if progress is not None:
            progress(next(done), len(pairs))

    with warnings.catch_warnings():  # all threads share the filters, which PngImage changes
        parallel(one, range(len(pairs)))
    noticed = [note for _, noticed, _ in counted for note in noticed]
    warned = [note for note in noticed if note.startswith(WARNING)]
    notes = [note for note in noticed if note not in warned[3:]]
    if len(warned) > 3:
        notes.append(f"{WARNING}{plural(len(warned) - 3, 'more file', 'more files')} like these")
    masks = tuple(all(any(key[side] for key in each) for each, _, _ in counted) for side in (0, 1))
    chosen = [each[masks] for each, _, _ in counted]
    notes += _no_objects(pairs, [torn for _, _, torn in counted])
    sides = (("PRED", lambda tally: tally.found), ("TRUTH", lambda tally: tally.truth))
    for (side, objects), mask in zip(sides, masks, strict=True):
        if mask and any(objects(tally) for pages in chosen for tally in pages):
            notes.append(f"{side} holds masks: their 4-connected components are the objects")
    named = {
        pair.name + (f"[{number}]" if len(pages) > 1 else ""): tally
        for pair, pages in zip(pairs, chosen, strict=True)
        for number, tally in enumerate(pages)
    }
    document = summary(list(named.values())) | {"not_predicted": left_out}
    document["per_image"] = [_one_image(name, tally) for name, tally in named.items()]
    return document, notes


def _no_objects(pairs: list[Pair], torn: list[list[bool]]) -> list[str]:
    """A warning for each side whose numbers are several pieces each in some image."""
    warnings = []
    for side, name in enumerate(("PRED", "TRUTH")):
        images = [pair.name for pair, each in zip(pairs, torn, strict=True) if each[side]]
        if images:
            warnings.append(
                f"{WARNING}{name} {images[0]}{f' and {len(images) - 1} more' * (len(images) > 1)}: "
                "each number is several pieces, which objects are not: are these classes, or a "
                "mask with stray values? Number the objects, or save 0 and 255"
            )
    return warnings


def _one_image(name: str, tally: Tally) -> dict[str, Any]:
    """The scores of one image; matched and f1 are those at IoU >= 0.5."""
    counts = tally.counts(0)
    return {
        "image": name,
        "kaggle_dsb2018_score": tally.kaggle_score(),
        "report_mean_average_precision": tally.report_score(),
        "objects": tally.truth,
        "found": tally.found,
        "matched": counts.tp,
        "f1": counts.f1(),
    }


def tallies(
    found: list[np.ndarray], truth: list[np.ndarray], numbered: bool
) -> dict[tuple[bool, bool], list[Tally]]:
    """(found read as masks?, truth read as masks?) -> the counts of each page in that reading.

    Pages can be masks where all hold 0 and 255, or 0 and 1; those of truth not if `numbered`.
    """
    readings = []
    for pages, never in ((found, False), (truth, numbered)):
        binary = any(all(((p == 0) | (p == high)).all() for p in pages) for high in (1, 255))
        ways = {False: pages}
        if binary and not never:
            ways[True] = [components(page > 0) for page in pages]
        readings.append(ways)
    return {
        (a, b): [Tally.of(*both) for both in zip(readings[1][b], readings[0][a], strict=True)]
        for a in readings[0]
        for b in readings[1]
    }


def read_pair(
    pair: Pair, colours: bool = False
) -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    """The pages of prediction and truth, (H, W) integers, and what was noticed."""
    names = name_of(pair.pred, f"pred {pair.name}"), name_of(pair.truth, f"truth {pair.name}")
    pages, noticed = label_pages(pair.pred, names[0], colours)
    notes = [f"{names[0]}: {note}" for note in noticed]
    if is_path(pair.truth) and pair.truth.is_dir():
        shape = pages[0].shape
        if images_of(pair.truth / "images"):
            with open_image(image_file(pair.truth)) as image:
                shape = image.height, image.width
        nuclei = kaggle_cells(pair.truth, shape)
        refuse_mixed(nuclei.colours, "masks", True)
        if not nuclei.colours and any(page.any() for page in pages):
            raise DataError(
                f"'{pair.truth / 'masks'}' holds no mask, so that there is no truth for "
                f"'{names[0]}'. Remove this prediction; an image without any nucleus has a mask "
                "of zeros."
            )
        truth, noticed = [nuclei.cells], tuple(nuclei.notes)
    else:
        truth, noticed = label_pages(pair.truth, names[1], colours)
        notes += coded_alike(pair.pred, pair.truth)
        if ignoring(truth):
            notes.append(
                f"{WARNING}{names[1]}: 255 is several pieces, as where it means ignore, but counts "
                "as an object here. Take it out"
            )
    notes += [f"{names[1]}: {note}" for note in noticed]
    if len(truth) != len(pages):
        raise DataError(
            f"'{names[0]}' has {plural(len(pages), 'page')}, '{names[1]}' has {len(truth)}; "
            "expected "
            "as many in both."
        )
    for name, read in zip(names, (pages, truth), strict=True):
        if min(page.min() for page in read) < 0:
            raise DataError(f"'{name}' holds negative numbers; expected 0 and object numbers.")
    if pages[0].shape != truth[0].shape:
        height, width = truth[0].shape
        raise DataError(
            f"'{names[0]}' is {pages[0].shape[0]} x {pages[0].shape[1]} but '{names[1]}' is "
            f"{height} x {width} (height x width); expected equal sizes. Are they of one image?"
        )
    return pages, truth, notes
