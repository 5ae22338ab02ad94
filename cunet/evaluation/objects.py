"""Label images of what was found against those of the truth, as in the Data Science Bowl 2018."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from cunet.data.dsb2018 import kaggle_cells
from cunet.data.weight_map import components
from cunet.errors import DataError
from cunet.evaluation.label_files import Pair, array_pairs, find_pairs
from cunet.evaluation.sources import Source, is_path, label_pages, name_of, refuse_mixed
from cunet.files import open_image
from cunet.metrics.dsb2018 import Tally, summary
from cunet.threads import parallel


def evaluate_objects(
    pred: Source | Sequence[np.ndarray],
    truth: Source | Sequence[np.ndarray],
    progress: Callable[[int, int], None] | None = None,
) -> dict:
    """Scores of objects over thresholds of their IoU, as `cunet evaluate dsb --json` prints them.

    pred and truth are label images: arrays (H, W) or (images, H, W), or lists of (H, W) of several
    sizes; or two files (TIFF or PNG), or two folders of these with matching names; truth may be a
    folder in the layout of the Data Science Bowl. 0 is no object. Images that hold nothing but 0
    and 1, or 0 and 255, are masks, whose 4-connected components are the objects.
    progress(images done, images) is called after every image.

    Returns images, objects, found; kaggle_dsb2018_score, the mean over images and the IoU 0.50,
    0.55 ... 0.95 of TP / (TP + FP + FN); report_mean_average_precision, that of TP / (TP + FP) up
    to 1.00; "thresholds", for each tp, fp, fn, precision, recall and f1; pixel_precision,
    pixel_recall, pixel_f1, pixel_iou; not_predicted, images of truth without a prediction; and
    "per_image". The definitions are in cunet/metrics/dsb2018.py.

    Raises CunetError where files are missing, DataError where the contents are not valid or a
    prediction has no truth of its size.

        cunet.evaluate_objects("found/", "stage1_train/")["kaggle_dsb2018_score"]
    """
    refuse_mixed(pred, truth, "pred and truth")
    if is_path(pred):
        pairs, left_out, _ = find_pairs(Path(pred), Path(truth))
    else:
        pairs, left_out = array_pairs(pred, truth), 0
    return scores(pairs, left_out, progress)[0]


def scores(
    pairs: list[Pair], left_out: int = 0, progress: Callable[[int, int], None] | None = None
) -> tuple[dict, list[str]]:
    """The document of evaluate_objects, and what was noticed about the files.

    All images of a side are masks or none is, as an image of one numbered object holds 0 and 1 too.
    """
    done = iter(range(1, len(pairs) + 1))
    counted: list[tuple] = [()] * len(pairs)

    def one(i: int) -> None:
        found, truth, notes = read_pair(pairs[i])
        numbered = is_path(pairs[i].truth) and pairs[i].truth.is_dir()
        counted[i] = tallies(found, truth, numbered), notes
        if progress is not None:
            progress(next(done), len(pairs))

    with warnings.catch_warnings():  # all threads share the filters, which PngImage changes
        parallel(one, range(len(pairs)))
    notes = [note for _, said in counted for note in said]
    masks = tuple(all(any(key[side] for key in each) for each, _ in counted) for side in (0, 1))
    chosen = [each[masks] for each, _ in counted]
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


def _one_image(name: str, tally: Tally) -> dict:
    """What is known of one image; matched and f1 are those at IoU >= 0.5."""
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
    """(whether found, whether truth is taken as masks) -> what is counted of the pages so.

    Masks are possible where all pages hold 0 and 255, or 0 and 1; of the truth not if `numbered`.
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


def read_pair(pair: Pair) -> tuple[list[np.ndarray], list[np.ndarray], list[str]]:
    """The pages of what was found and of the truth, (H, W) integers, and what was noticed."""
    names = name_of(pair.pred, f"pred {pair.name}"), name_of(pair.truth, f"truth {pair.name}")
    pages, said = label_pages(pair.pred, names[0])
    notes = [f"{names[0]}: {note}" for note in said]
    if is_path(pair.truth) and pair.truth.is_dir():
        picture = pair.truth / "images" / f"{pair.truth.resolve().name}.png"
        shape = pages[0].shape
        if picture.is_file():
            with open_image(picture) as image:
                shape = image.height, image.width
        cells, said = kaggle_cells(pair.truth, shape)
        truth = [cells]
    else:
        truth, said = label_pages(pair.truth, names[1])
    notes += [f"{names[1]}: {note}" for note in said]
    if len(truth) != len(pages):
        raise DataError(
            f"'{names[0]}' has {len(pages)} page(s), '{names[1]}' has {len(truth)}; expected "
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
