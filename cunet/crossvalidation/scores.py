"""The results of a cross-validation: held-out predictions, their scores, mean and deviation.

A run is scored with last.npz, never best.npz, which was chosen on the held-out slices. Scoring adds
two files to its run folder:

held_out.npz  the predicted slices: "<average>/<slice>" (H, W) float32, the probability of class 1,
              or (H, W, K) with more than two classes
scores.json   their scores, and the SHA-256 of the model they are of
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from cunet.crossvalidation.runs import CrossValidation, Run
from cunet.crossvalidation.stored import has_pages, numbers, object_in, read_page, read_scores
from cunet.data.dataset import Dataset, sha256
from cunet.data.labels import IGNORE, cells
from cunet.errors import CunetError, DataError, NumericError
from cunet.files.atomic import write_npz, write_text
from cunet.files.display import Display
from cunet.files.json_file import finite, json_text
from cunet.files.tiff_output import TiffOutput
from cunet.metrics import isbi2012
from cunet.metrics.pixel import THRESHOLDS, PixelCounts
from cunet.net import checkpoint
from cunet.segmentation.inputs import LONGEST_NAME
from cunet.segmentation.tiling import segment, whole_tile

SCORES = (*isbi2012.KEYS, "dice")
Progress = Callable[[str, int, int], None]  # what is being done, how many are done, of how many


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
    counts = PixelCounts()
    for page, labels in zip(pages, truth, strict=True):
        cell = page if page.ndim == 2 else page[..., 1:].sum(axis=2)
        counts.add(cell, cells(labels), labels != IGNORE)
    dice = {"dice": counts.dice()}
    if limits(dataset):
        best = float(THRESHOLDS[counts.f_scores().argmax()])
        return {"pixel_error": counts.pixel_error(), "thresholds": {"pixel_error": best}} | dice
    white = [cells(labels) for labels in truth]
    result = isbi2012.evaluate(pages, white, progress=progress)
    for found, number in zip(result["per_slice"], slices, strict=True):
        found["slice"] = number
    return result | dice


def score_run(
    cv: CrossValidation, run: Run, dataset: Dataset, device: str, progress: Progress
) -> dict[str, Any]:
    """Segment and score the held-out slices of a finished run; the contents of scores.json."""
    folder = cv.folder(run)
    last = folder / "last.npz"
    header = checkpoint.read_progress(last)
    net = checkpoint.load(last, device)
    held_out = cv.held_out(run, len(dataset.images))
    pages: dict[str, np.ndarray] = {}
    total = len(held_out) * len(cv.averages)
    for average in cv.averages:
        for i in held_out:
            progress("segmenting slice", len(pages) + 1, total)
            image = dataset.images[i]
            try:
                found = segment(image, net, whole_tile(image, net.shape), average)
            except NumericError as error:
                raise NumericError(f"model '{last}', slice {i}: {error}") from error
            page = found[..., 1] if net.shape.classes == 2 else found
            pages[f"{average}/{i}"] = page.astype(np.float32)
    write_npz(folder / "held_out.npz", pages)
    scores = {}
    for number, average in enumerate(cv.averages):
        mine = [pages[f"{average}/{i}"] for i in held_out]
        counting = _counting(progress, "scored slice", number * len(held_out), total)
        scores[average] = evaluate(mine, dataset, held_out, counting)
    document = {"model": sha256(last), "steps": header["step"], "seconds": header["seconds"]}
    document |= {"held_out": held_out, "scores": scores}
    write_text(folder / "scores.json", json_text(document) + "\n")
    return document


def _counting(progress: Progress, doing: str, before: int, total: int) -> Callable[[int], None]:
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


def collect(cv: CrossValidation, dataset: Dataset, progress: Progress) -> dict[str, Any]:
    """Put the predictions of all folds together, score them as one stack, write metrics.json.

    Returns the contents of that file. Every run must be scored.
    """
    document = _summary(cv, dataset)
    path = cv.path / "metrics.json"
    predictions = prediction_files(cv, dataset)
    before = object_in(path)
    stack = before.pop("stack", None)
    stack = {a: numbers(stack.get(a)) for a in cv.averages} if isinstance(stack, dict) else {}
    known = bool(stack) and all(stack.values()) and before == finite(document)
    if known and all(file.is_file() for file in predictions):
        return document | {"stack": stack}  # nothing is left to do
    slices = range(len(dataset.images))
    path.unlink(missing_ok=True)  # it belongs to older predictions
    _write_predictions(cv, dataset, predictions, _stack(cv, cv.average, dataset))
    stack = {}
    for number, average in enumerate(cv.averages):
        total = len(slices) * len(cv.averages)
        counting = _counting(progress, "all slices at once", number * len(slices), total)
        stack[average] = evaluate(_stack(cv, average, dataset), dataset, slices, counting)
    document |= {"stack": stack}
    write_text(path, json_text(document) + "\n")
    return document


def _summary(cv: CrossValidation, dataset: Dataset) -> dict[str, Any]:
    """metrics.json without the scores of the whole stack."""
    entries = []
    scores_wanted = {"pixel_error", "dice"} if limits(dataset) else set(SCORES)
    for run in cv.runs:
        found = scores_of(cv, run)
        if found is None:
            raise DataError(f"run '{cv.folder(run)}' is not finished; resume '{cv.path}'")
        entry = {"fold": run.fold, "seed": run.seed, "run": run.name}
        entry |= {name: found[name] for name in ("model", "steps", "seconds", "held_out")}
        for average in cv.averages:
            scores = found["scores"][average]
            if lacking := scores_wanted - scores.keys():
                path = cv.folder(run) / "scores.json"
                what = f"{', '.join(sorted(lacking))} missing"
                raise DataError(f"'{path}' is damaged ({what}); remove it and resume '{cv.path}'")
            entry[average] = {key: scores[key] for key in (*SCORES, "thresholds") if key in scores}
        entries.append(entry)
    folds = entries[: cv.folds]
    seeds = [entry for entry in entries if entry["fold"] == 0]
    return {
        "average": cv.average,
        "limits": limits(dataset),
        "runs": entries,
        "mean": _over(folds, cv.averages, np.mean),
        "sd": _over(folds, cv.averages, _deviation),
        "seeds": {
            "mean": _over(seeds, cv.averages, np.mean),
            "sd": _over(seeds, cv.averages, _deviation),
        }
        if len(seeds) > 1
        else None,
    }


def _over(entries: list[dict], averages: list[str], statistic: Callable) -> dict:
    """A statistic over runs, for every average and score."""
    return {
        average: {
            key: float(statistic([entry[average][key] for entry in entries]))
            for key in SCORES
            if key in entries[0][average]
        }
        for average in averages
    }


def _deviation(values: list[float]) -> float:
    """The standard deviation estimated from a sample."""
    return float(np.std(values, ddof=1))


def _stack(cv: CrossValidation, average: str, dataset: Dataset) -> list[np.ndarray]:
    """The held-out prediction of every slice, from the folds of the first seed."""
    pages: list = [None] * len(dataset.images)
    for run in cv.runs[: cv.folds]:
        for i in cv.held_out(run, len(pages)):
            shape = dataset.images[i].shape[:2]
            shape += (len(dataset.class_names),) if len(dataset.class_names) > 2 else ()
            pages[i] = read_page(cv.folder(run) / "held_out.npz", f"{average}/{i}", shape)
    return pages


def prediction_files(cv: CrossValidation, dataset: Dataset) -> list[Path]:
    """prediction.tif with a page per slice, or predictions/<slice>.tif where sizes differ.

    Raises CunetError where the slices' names cannot be those of files.
    """
    if len({image.shape for image in dataset.images}) == 1:
        return [cv.path / "prediction.tif"]
    files = [cv.path / "predictions" / f"{name}.tif" for name in dataset.slice_names]
    often = Counter(files)
    for path, name in zip(files, dataset.slice_names, strict=True):
        if often[path] > 1:
            raise CunetError(
                f"two slices are named '{name}', and their predictions would be one file, "
                f"'{path}'. Rename an image and its labels."
            )
        if len(os.fsencode(path.name)) > LONGEST_NAME:
            raise CunetError(
                f"slice '{name}': its prediction would be a file whose name is longer than "
                f"{LONGEST_NAME} bytes. Rename the image and its labels."
            )
    return files


def _write_predictions(
    cv: CrossValidation, dataset: Dataset, files: list[Path], pages: list[np.ndarray]
) -> None:
    classes = len(dataset.class_names)
    for path in files:  # a slice may be named 01/t000
        path.parent.mkdir(parents=True, exist_ok=True)
    made = f"cunet crossval: every slice held out, {cv.folds} folds, average {cv.average}"
    each = len(pages) // len(files)
    for number, path in enumerate(files):
        mine = pages[number * each : (number + 1) * each]
        channels = 1 if classes == 2 else classes
        height, width = mine[0].shape[:2]
        with TiffOutput(
            path, each, height, width, np.float32, channels, description=made, display=Display(0, 1)
        ) as file:
            for k, page in enumerate(mine):
                file.write_rows(k, 0, page)
