"""The results of a cross-validation: its runs, means and deviations, all slices as a stack."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.ndimage import label

from cunet.crossvalidation.protocol import caption
from cunet.crossvalidation.runs import CrossValidation
from cunet.crossvalidation.scores import (
    SCORES,
    Progress,
    counting,
    evaluate,
    limits,
    scores_of,
    together,
)
from cunet.crossvalidation.spread import statistics
from cunet.crossvalidation.stored import numbers, object_in, read_page, read_tallies
from cunet.data.dataset import Dataset
from cunet.data.labels import IGNORE, cells
from cunet.errors import CunetError, DataError
from cunet.files.atomic import write_text
from cunet.files.display import Display
from cunet.files.json_file import finite, json_text
from cunet.files.tiff_output import TiffOutput
from cunet.metrics import isbi2012
from cunet.segmentation.inputs import LONGEST_NAME


def collect(cv: CrossValidation, dataset: Dataset, progress: Progress) -> dict[str, Any]:
    """Put the predictions of all folds together, score them as one stack, write metrics.json.

    Returns the contents of that file. Every run must be scored.
    """
    found = [scores_of(cv, run) for run in cv.runs]
    document = _summary(cv, dataset, found)
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
        count = counting(progress, "all slices at once", number * len(slices), total)
        if tallies := known_tallies(found[: cv.folds], average, len(slices)):
            stack[average] = together(tallies, slices)
            count(len(slices))
        else:
            stack[average] = evaluate(_stack(cv, average, dataset), dataset, slices, count)
    document |= {"stack": stack}
    write_text(path, json_text(document) + "\n")
    return document


def known_tallies(runs: list[Any], average: str, slices: int) -> list[isbi2012.Tally] | None:
    """What was counted of every slice by the runs that held it out, from their scores.json; None
    where a file is of an older cunet, or does not add up to its scores."""
    found: list = [None] * slices
    for run in runs:
        tallies = read_tallies(run, average)
        if tallies is None or together(tallies, run["held_out"]) != run["scores"][average]:
            return None
        for i, tally in zip(run["held_out"], tallies, strict=True):
            found[i] = tally
    return found


def _summary(cv: CrossValidation, dataset: Dataset, scored: list[dict | None]) -> dict[str, Any]:
    """metrics.json without the scores of the whole stack; scored: the scores.json of every run."""
    entries: list[dict[str, Any]] = []
    slices = len(dataset.images)
    of_folds = [amounts(dataset, cv.held_out(run, slices)) for run in cv.runs[: cv.folds]]
    scores_wanted = {"pixel_error", "dice"} if limits(dataset) else set(SCORES)
    for run, found in zip(cv.runs, scored, strict=True):
        if found is None:
            raise DataError(f"run '{cv.folder(run)}' is not finished; resume '{cv.path}'")
        entry = {"fold": run.fold, "seed": run.seed, "run": run.name}
        entry |= {name: found[name] for name in ("model", "steps", "seconds", "held_out")}
        entry["scored"] = of_folds[run.fold]
        for average in cv.averages:
            scores = found["scores"][average]
            if lacking := scores_wanted - scores.keys():
                path = cv.folder(run) / "scores.json"
                what = f"{', '.join(sorted(lacking))} missing"
                raise DataError(f"'{path}' is damaged ({what}); remove it and resume '{cv.path}'")
            entry[average] = {key: scores[key] for key in (*SCORES, "thresholds") if key in scores}
        entries.append(entry)
    document = {
        "average": cv.average,
        "limits": limits(dataset),
        "seeds_of": cv.seeds_of,
        "scored": amounts(dataset, range(slices)),
        "runs": entries,
    }
    document |= statistics(entries, cv.averages, SCORES, cv.seeds_of)
    return document | {"protocol": caption(document, cv.average)}


def amounts(dataset: Dataset, slices: Sequence[int]) -> dict[str, Any]:
    """How many slices, pixels and true objects are scored of these slices, and what an object is.

    Pixels that are to be ignored do not count. Cells that no membrane parts are numbered.
    """
    pixels, objects, numbered = 0, 0, dataset.instances
    for i in slices:
        valid = dataset.labels[i] != IGNORE
        pixels += int(valid.sum())
        if numbered is None:
            objects += label(cells(dataset.labels[i]))[1]
        else:
            objects += int((np.unique(numbered[i][valid]) > 0).sum())
    what = "4-connected components of the true cells" if numbered is None else "numbered true cells"
    return {"slices": len(slices), "pixels": pixels, "objects": objects, "objects_are": what}


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
