"""`cunet evaluate ctc`: SEG, the segmentation score of the Cell Tracking Challenge."""

import math
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cunet.cli import common

if TYPE_CHECKING:
    import numpy as np


@click.command(short_help="the Cell Tracking Challenge: SEG of every cell")
@click.argument("result", type=click.Path(path_type=Path), metavar="RESULT_DIR")
@click.argument("truth", type=click.Path(path_type=Path), metavar="GT_DIR")
@click.option("--frames", help="Annotated frames by number: 92,96-102 (default: all). Of a range "
              "those that are annotated.")  # fmt: skip
@common.json_option
@common.quiet_option
def ctc(result, truth, frames, as_json, quiet):
    """SEG: the mean over all annotated cells of IoU with the one found that covers over half of it.

    RESULT_DIR holds mask007.tif, GT_DIR, such as 01_GT, holds SEG/man_seg007.tif, each one page of
    cell numbers, 0 for none. A cell of which nothing covers more than half scores 0. What is found
    where no cell is annotated costs nothing in SEG; in iou, of the pixels of all cells together, it
    does, also where the annotation is incomplete. A frame without cells has the SEG null.

    \b
    Examples:
      cunet evaluate ctc DIC-C2DH-HeLa/02_RES DIC-C2DH-HeLa/02_GT
      cunet evaluate ctc 01_RES 01_GT --frames 92,96-102 --json
    """
    from cunet.metrics.ctc import Frame, summary

    pairs = find_pairs(result, truth, frames)
    scored, values = {}, set()
    for number, files in pairs.items():
        cells, found = read_frame(*files)
        scored[number] = Frame.of(cells, found)
        values |= set(found[found > 0][:1].tolist())
    document = summary(list(scored.values()))
    document["per_frame"] = [{"frame": n, **summary([one])} for n, one in scored.items()]
    if as_json:
        common.print_json(document)
    elif not quiet:
        show(document)
    if one_object_each(list(document["per_frame"])):
        zero_255 = ", 0 and 255" if values == {255} else ""
        common.say(
            f"warning: no frame of '{result}' holds more than one object ({document['objects']} "
            f"are annotated): are these masks{zero_255}, not cell numbers? Number the cells first, "
            "as the product ctc of cunet segment does"
        )
    common.next_command(after(result, truth, frames), quiet)


def find_pairs(result: Path, truth: Path, frames: str | None) -> dict[int, tuple[Path, Path]]:
    """Frame number -> its annotation and its result file, of the chosen annotated frames.

    CunetError where a folder is not what it should be or a result is missing.
    """
    from cunet.data.ctc import annotations
    from cunet.data.dataset import listing
    from cunet.errors import CunetError

    for folder in (result, truth):
        if not folder.is_dir():
            what = "is a file" if folder.exists() else "is not there"
            raise CunetError(f"'{folder}' {what}; expected a folder. Check the path.")
    annotated = {int(digits): path for digits, path in annotations(truth).items()}
    if not annotated:
        whole = truth.resolve()
        near = whole.parent if whole.name == "SEG" else whole.with_name(whole.name + "_GT")
        hint = f" Did you mean '{near}'?" if annotations(near) else ""
        raise CunetError(
            f"'{truth}': expected annotations SEG/man_seg000.tif in it, found {listing(truth)}."
            f"{hint}"
        )
    chosen = chosen_frames(frames, list(annotated))
    files = [(re.fullmatch(r"mask(\d+)\.tif", p.name), p) for p in sorted(result.iterdir())]
    masks = {match[1]: path for match, path in files if match}
    pairs, missing = {}, []
    for number in chosen:
        digits = annotated[number].stem.removeprefix("man_seg")
        same = [path for other, path in masks.items() if int(other) == number]
        if digits not in masks and len(same) > 1:
            raise CunetError(
                f"'{same[0]}' and '{same[1]}' are both of frame {number}; keep one of them."
            )
        if same:
            pairs[number] = annotated[number], masks.get(digits, same[0])
        else:
            missing.append(digits)
    if missing:
        there = f"the folder holds {listing(result)}"
        if pairs:
            there = f"{len(pairs)} of {len(chosen)} are there: --frames {written(pairs)} for these"
        more = f", and {len(missing) - 1} more are missing" if len(missing) > 1 else ""
        raise CunetError(
            f"'{result}' has no mask{missing[0]}.tif for '{annotated[int(missing[0])]}'{more}; "
            f"{there}."
        )
    return pairs


def chosen_frames(text: str | None, annotated: Sequence[int]) -> list[int]:
    """92,96-102 -> these of the annotated frames, each once, in order.

    CunetError for a single frame that is not annotated, and for a range with none that is.
    """
    from cunet.errors import CunetError

    if text is None:
        return list(annotated)
    chosen: set[int] = set()
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        if not match or int(match[2] or match[1]) < int(match[1]):
            raise click.UsageError(f"--frames: expected 92,96-102, found '{text}'")
        first, last = int(match[1]), int(match[2] or match[1])
        inside = [number for number in annotated if first <= number <= last]
        if not inside:
            raise CunetError(
                f"--frames {text}: of {part.strip()} none is annotated; annotated are "
                f"{written(annotated)}."
            )
        chosen.update(inside)
    return [number for number in annotated if number in chosen]


def written(numbers: Sequence[int]) -> str:
    """Numbers as --frames takes them: 2,5,31-33."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ",".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)


def read_frame(truth: Path, found: Path) -> "tuple[np.ndarray, np.ndarray]":
    """The annotated and the found cell numbers (H, W) of one frame."""
    from cunet.data.ctc import read_cells
    from cunet.errors import DataError

    cells, results = read_cells(truth), read_cells(found)
    if cells.shape != results.shape:
        raise DataError(
            f"'{found}' is {results.shape[0]} x {results.shape[1]} but '{truth}' is "
            f"{cells.shape[0]} x {cells.shape[1]} (height x width); expected equal sizes. Are they "
            "of one sequence?"
        )
    return cells, results


def one_object_each(per_frame: list[dict]) -> bool:
    """Whether no frame holds two objects, though most of them should."""
    several = [one for one in per_frame if one["objects"] > 1]
    most = max(one["found"] for one in per_frame)
    return most == 1 and 2 * len(several) > len(per_frame)


def show(document: dict) -> None:
    """The scores as a table, on stdout: a line for every frame, then all together."""

    def line(name: str, one: dict) -> str:
        values = ["-" if math.isnan(one[key]) else f"{one[key]:.4f}" for key in ("SEG", "iou")]
        matched = f"{one['matched']}/{one['objects']}"
        return f"{name:<8}{values[0]:>8}{matched:>12}{one['found']:>9}{values[1]:>14}"

    click.echo(f"{'frame':<8}{'SEG':>8}{'matched':>12}{'found':>9}{'pixel IoU':>14}")
    for one in document["per_frame"]:
        click.echo(line(f"{one['frame']:03}", one))
    click.echo(line("all", document))


def after(result: Path, truth: Path, frames: str | None) -> str:
    """The command that scores the other sequence beside this one, or this one as JSON."""
    for path in sorted(truth.resolve().parent.glob("*_GT")):
        other = truth.with_name(path.name)
        masks = result.with_name(path.name.removesuffix("_GT") + "_RES")
        if path.name != truth.resolve().name and masks.is_dir():
            return shlex.join(["cunet", "evaluate", "ctc", str(masks), str(other)])
    again = ["cunet", "evaluate", "ctc", str(result), str(truth)]
    return shlex.join([*again, *(["--frames", frames] if frames else []), "--json"])
