"""The held-out slices of a run: predicted, and scored.

A run is scored with last.npz, never best.npz, which was chosen on the held-out slices. Scoring adds
two files to its run folder:

held_out.npz  the predicted slices: "<average>/<slice>" (H, W) float32, the probability of class 1,
              or (H, W, K) with more than two classes
scores.json   their scores, the SHA-256 of the model they are of, and what was counted of each
              slice at every threshold: the scores of all folds together follow from these counts,
              so that no slice is counted twice
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from cunet.crossvalidation.protocol import Run
from cunet.crossvalidation.runs import CrossValidation
from cunet.crossvalidation.stored import (
    has_pages,
    read_scores,
)
from cunet.data.dataset import Dataset, sha256
from cunet.data.labels import IGNORE, cells
from cunet.errors import NumericError
from cunet.files.atomic import write_npz, write_text
from cunet.files.json_file import json_text
from cunet.metrics import isbi2012
from cunet.metrics.pixel import THRESHOLDS, PixelCounts
from cunet.net import checkpoint
from cunet.segmentation.segment import segment
from cunet.segmentation.tiling import whole_tile

SCORES = (*isbi2012.KEYS, "dice")
Progress = Callable[[str, int, int], None]  # what is being done, how many are done, of how many
Seen = dict[int, tuple[np.ndarray, isbi2012.Tally]]  # by slice: its probability, what was counted


def limits(dataset: Dataset) -> str | None:
    """Why only pixel error and Dice can be computed; None where all scores can."""
    if dataset.instances:
        return "cells touch, and these scores take what touches for one"
    return isbi2012.why_not(dataset.labels, len(dataset.class_names), IGNORE) or None


def evaluate(
    pages: list[np.ndarray],
    dataset: Dataset,
    slices: Iterable[int],
    progress: Callable[[int], None] = lambda done: None,
) -> dict[str, Any]:
    """The scores of the predicted pages (H, W[, K]) of these slices together: pixel_error, dice,
    thresholds and, unless limits() has a reason, all that cunet.metrics.isbi2012 returns."""
    truth = [dataset.labels[i] for i in slices]
    if not limits(dataset):
        white = [cells(labels) for labels in truth]
        return together(isbi2012.counted(pages, white, progress=progress), slices)
    counts = PixelCounts()
    for page, labels in zip(pages, truth, strict=True):
        cell = page if page.ndim == 2 else page[..., 1:].sum(axis=2)
        counts.add(cell, cells(labels), labels != IGNORE)
    best = float(THRESHOLDS[counts.f_scores().argmax()])
    scores = {"pixel_error": counts.pixel_error(), "thresholds": {"pixel_error": best}}
    return scores | {"dice": counts.dice()}


def together(tallies: list[isbi2012.Tally], slices: Iterable[int]) -> dict[str, Any]:
    """The scores of slices of which this was counted, as evaluate() returns them."""
    result = isbi2012.scores(tallies)
    for found, number in zip(result["per_slice"], slices, strict=True):
        found["slice"] = number
    return result | {"dice": PixelCounts.sum(tally.pixels for tally in tallies).dice()}


def score_run(
    cv: CrossValidation,
    run: Run,
    dataset: Dataset,
    device: str,
    progress: Progress,
    seen: Seen | None = None,
) -> dict[str, Any]:
    """Segment and score the held-out slices of a finished run; the contents of scores.json.

    seen: slices that were segmented with last.npz and counted a moment ago, from one view.
    """
    folder, seen = cv.folder(run), seen or {}
    last = folder / "last.npz"
    header = checkpoint.read_progress(last)
    net = checkpoint.load(last, device)
    held_out = cv.held_out(run, len(dataset.images))
    pages: dict[str, np.ndarray] = {}
    total = len(held_out) * len(cv.averages)
    for average in cv.averages:
        for i in held_out:
            progress("segmenting slice", len(pages) + 1, total)
            if average == "none" and i in seen:
                pages[f"{average}/{i}"] = seen[i][0]
                continue
            image = dataset.images[i]
            try:
                found = segment(image, net, whole_tile(image, net.shape), average)
            except NumericError as error:
                raise NumericError(f"model '{last}', slice {i}: {error}") from error
            page = found[..., 1] if net.shape.classes == 2 else found
            pages[f"{average}/{i}"] = page.astype(np.float32)
    write_npz(folder / "held_out.npz", pages)
    scores, counts = {}, {}
    for number, average in enumerate(cv.averages):
        mine = [pages[f"{average}/{i}"] for i in held_out]
        count = counting(progress, "scoring slice", number * len(held_out), total)
        if limits(dataset):
            scores[average] = evaluate(mine, dataset, held_out, count)
            continue
        if average == "none" and seen.keys() >= set(held_out):
            tallies = [seen[i][1] for i in held_out]
        else:
            white = [cells(dataset.labels[i]) for i in held_out]
            tallies = isbi2012.counted(mine, white, progress=count)
        scores[average] = together(tallies, held_out)
        counts[average] = [tally.document() for tally in tallies]
    document = {"model": sha256(last), "steps": header["step"], "seconds": header["seconds"]}
    document |= {"held_out": held_out, "scores": scores, "counts": counts}
    write_text(folder / "scores.json", json_text(document) + "\n")
    return document


def counting(progress: Progress, doing: str, before: int, total: int) -> Callable[[int], None]:
    """A progress callback for evaluate() that counts on from `before`, of `total`."""
    return lambda done: progress(doing, before + done, total)


def scores_of(cv: CrossValidation, run: Run) -> dict[str, Any] | None:
    """The contents of a run's scores.json; None where it must be trained or scored (again)."""
    folder = cv.folder(run)
    found = read_scores(folder / "scores.json", cv.averages)
    if found is None or found["steps"] != cv.config.steps:
        return None
    wanted = [f"{average}/{i}" for average in cv.averages for i in found["held_out"]]
    if not has_pages(folder / "held_out.npz", wanted) or not (folder / "last.npz").is_file():
        return None
    return found if found["model"] == sha256(folder / "last.npz") else None
