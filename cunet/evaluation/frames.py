"""Frames of a cell sequence against their annotations: SEG of the Cell Tracking Challenge."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cunet.checks import arguments, array_or_path
from cunet.data.ctc import read_cells
from cunet.data.ctc_files import annotations, numbered, of_frame, only_annotations
from cunet.data.dataset import listing
from cunet.errors import CunetError, DataError
from cunet.evaluation.sources import (
    WARNING,
    Source,
    both_paths,
    coded_alike,
    is_path,
    label_pages,
    warn,
)
from cunet.files.pages import page_text
from cunet.metrics.ctc import Frame, summary
from cunet.terminal import plural

Files = dict[int, tuple[Path, Path]] | dict[int, tuple[np.ndarray, np.ndarray]]


@arguments(result=array_or_path, truth=array_or_path)
def evaluate_ctc(
    result: Source, truth: Source, frames: str | Sequence[int] | None = None
) -> dict[str, Any]:
    """SEG, the score of the Cell Tracking Challenge, as `cunet evaluate ctc --json` prints it.

    result and truth are two folders, with mask007.tif and SEG/man_seg007.tif, or two arrays (H, W)
    or (frames, H, W) of whole numbers; both hold cell numbers, 0 for none. frames: the annotated
    frames to score, such as [92, 96] or "92,96-102" (default: all); in arrays they count from 0.

    Returns "SEG", the mean over all annotated cells of the IoU with the found cell that covers more
    than half of it (0 where none does); the counts "objects", "matched", "unmatched" and "found";
    "iou", of the pixels of all cells together; and "per_frame", a list with the same for every
    frame. Scores are from 0 to 1; an undefined score is NaN. See cunet/metrics/ctc.py for the
    definitions.

    Raises CunetError where folders, files or frames are missing, DataError where the contents are
    not valid or do not fit together.

        cunet.evaluate_ctc("DIC-C2DH-HeLa/02_RES", "DIC-C2DH-HeLa/02_GT")["SEG"]
    """
    if is_path(result) or is_path(truth):
        paths = both_paths(result, truth, "result and truth")
        document, notes = scores(find_pairs(*paths, frames), str(result))
    else:
        document, notes = scores(array_pairs(result, truth, frames), "result")
    warn(notes)
    return document


def scores(pairs: Files, result: str) -> tuple[dict[str, Any], list[str]]:
    """The document of evaluate_ctc, and a warning where `result` seems to hold masks."""
    scored: dict[int, Frame] = {}
    values: set[int] = set()
    alike: list[str] = []
    for number, both in pairs.items():
        cells, found = read_frame(*both)
        scored[number] = Frame.of(cells, found)
        values |= set(found[found > 0][:1].tolist())
        alike += coded_alike(both[1], both[0])
    document = summary(list(scored.values()))
    document["per_frame"] = [{"frame": n, **summary([one])} for n, one in scored.items()]
    if not one_object_each(document["per_frame"]):
        return document, alike[:1]
    zero_255 = ", 0 and 255" if values == {255} else ""
    return document, alike[:1] + [
        f"{WARNING}no frame of '{result}' holds more than one object ({document['objects']} "
        f"are annotated): are these masks{zero_255}, not cell numbers? Number the cells first, "
        "as the product ctc of cunet segment does"
    ]


def array_pairs(result: Source, truth: Source, frames: str | Sequence[int] | None) -> Files:
    """Frame number -> its annotation and its result, from two stacks."""
    found, cells = label_pages(result, "result")[0], label_pages(truth, "truth")[0]
    if len(found) != len(cells):
        raise DataError(
            f"result has {plural(len(found), 'frame')}, truth has {len(cells)}; expected as "
            "many in both"
        )
    return {n: (cells[n], found[n]) for n in chosen_frames(frames, range(len(cells)))}


def find_pairs(result: Path, truth: Path, frames: str | Sequence[int] | None = None) -> Files:
    """Frame number -> its annotation and its result file, for the chosen annotated frames.

    CunetError where a folder, its annotations or a result is missing.
    """
    for folder in (result, truth):
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "is not there"
            raise CunetError(f"'{folder}' {what}; expected a folder. Check the path.")
    annotated = {int(digits): path for digits, path in only_annotations(truth).items()}
    if not annotated:
        whole = truth.resolve()
        near = whole.parent if whole.name == "SEG" else whole.parent / (whole.name + "_GT")
        hint = f" Did you mean '{near}'?" if annotations(near) else ""
        raise CunetError(
            f"'{truth}': expected annotations SEG/man_seg000.tif in it, found {listing(truth)}."
            f"{hint}"
        )
    chosen = chosen_frames(frames, list(annotated))
    masks = numbered(result, "mask")
    pairs, missing = {}, []
    for number in chosen:
        digits = re.sub(r"\D", "", annotated[number].stem)
        found = of_frame(masks, digits)
        if found is None:
            missing.append(digits)
        else:
            pairs[number] = annotated[number], found
    if missing:
        there = f"the folder holds {listing(result)}"
        if pairs:
            there = f"{len(pairs)} of {len(chosen)} are there: --frames {written(pairs)} for these"
        more = (
            f", and {plural(len(missing) - 1, 'more is', 'more are')} missing"
            if len(missing) > 1
            else ""
        )
        raise CunetError(
            f"'{result}' has no mask{missing[0]}.tif for '{annotated[int(missing[0])]}'{more}; "
            f"{there}."
        )
    return pairs


def chosen_frames(frames: str | Sequence[int] | None, annotated: Sequence[int]) -> list[int]:
    """92,96-102, or frame numbers -> those annotated frames, each once, in order.

    CunetError for a single frame that is not annotated, and for a range without annotated frames.
    """
    if frames is None:
        return list(annotated)
    text = page_text(frames, "frames") or ""
    chosen: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise CunetError(f"--frames: expected 92,96-102, found '{text}'")
        first, last = int(match[1]), int(match[2] or match[1])
        inside = [number for number in annotated if first <= number <= last]
        if not inside:
            raise CunetError(
                f"--frames {text}: of {part.strip()} none is annotated; annotated are "
                f"{written(annotated)}."
            )
        chosen.update(inside)
    return [number for number in annotated if number in chosen]


def written(numbers: Iterable[int]) -> str:
    """Numbers in the form of --frames: 2,5,31-33."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)


def read_frame(truth: Path | np.ndarray, found: Path | np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The annotated and the found cell numbers (H, W) of one frame."""
    cells, results = (read_cells(part) if is_path(part) else part for part in (truth, found))
    names = (found, truth) if is_path(found) else ("result", "truth")
    for name, numbers in zip(names, (results, cells), strict=True):
        if numbers.min() < 0:
            raise DataError(f"'{name}': expected cell numbers from 0 up, found {numbers.min()}")
    if cells.shape != results.shape:
        raise DataError(
            f"'{names[0]}' is {results.shape[0]} x {results.shape[1]} but '{names[1]}' is "
            f"{cells.shape[0]} x {cells.shape[1]} (height x width); expected equal sizes. Are they "
            "of one sequence?"
        )
    return cells, results


def one_object_each(per_frame: list[dict]) -> bool:
    """Whether no frame holds two objects, though most frames should."""
    several = [one for one in per_frame if one["objects"] > 1]
    most = max(one["found"] for one in per_frame)
    return most == 1 and 2 * len(several) > len(per_frame)


def next_sequence(result: Path, truth: Path) -> tuple[Path, Path] | None:
    """The results and the truth of the next sequence beside this one, 02_RES and 02_GT after 01_GT;
    None where there is none with results."""
    for path in sorted(truth.resolve().parent.glob("*_GT")):
        masks = result.with_name(path.name.removesuffix("_GT") + "_RES")
        if path.name > truth.resolve().name and masks.is_dir():
            return masks, truth.with_name(path.name)
    return None
