"""`cunet evaluate ctc`: SEG, the segmentation score of the Cell Tracking Challenge."""

import math
from pathlib import Path

import click

from cunet.cli import common
from cunet.terminal import shell_line


@click.command(short_help="the Cell Tracking Challenge: SEG of every cell")
@click.argument("result", type=click.Path(path_type=Path), metavar="RESULT_DIR")
@click.argument("truth", type=click.Path(path_type=Path), metavar="GT_DIR")
@click.option("--frames", help="Annotated frames by number: 92,96-102 (default: all). A range "
              "means its annotated frames.")  # fmt: skip
@common.json_option
@common.quiet_option
def ctc(result, truth, frames, as_json, quiet):
    """SEG: the mean IoU of annotated cells with the found cells that cover more than half of them.

    RESULT_DIR holds mask007.tif ...; GT_DIR, such as 01_GT, holds SEG/man_seg007.tif ... Each file
    is one page of cell numbers, 0 for none. An annotated cell that no found cell covers by more
    than half scores 0. Found cells without an annotation do not lower SEG; they lower iou, which is
    of the pixels of all cells together, even where the annotation is incomplete. A frame without
    annotated cells has SEG null.

    \b
    Examples:
      cunet evaluate ctc DIC-C2DH-HeLa/02_RES DIC-C2DH-HeLa/02_GT
      cunet evaluate ctc 01_RES 01_GT --frames 92,96-102 --json
    """
    from cunet.evaluation.frames import find_pairs, scores

    with common.busy(f"comparing {result} with {truth}", quiet):
        document, notes = scores(find_pairs(result, truth, frames), str(result))
    if as_json:
        common.print_json(document)
    elif not quiet:
        show(document)
    common.notes(notes, quiet)
    common.next_command(after(result, truth, frames), quiet)


def show(document: dict) -> None:
    """Print the scores as a table on stdout: a line for every frame, then all together."""

    def line(name: str, one: dict) -> str:
        values = ["-" if math.isnan(one[key]) else f"{one[key]:.4f}" for key in ("SEG", "iou")]
        matched = f"{one['matched']}/{one['objects']}"
        return f"{name:<8}{values[0]:>8}{matched:>12}{one['found']:>9}{values[1]:>14}"

    common.show(f"{'frame':<8}{'SEG':>8}{'matched':>12}{'found':>9}{'pixel IoU':>14}")
    for one in document["per_frame"]:
        common.show(line(f"{one['frame']:03}", one))
    common.show(line("all", document))


def after(result: Path, truth: Path, frames: str | None) -> str:
    """The next command: score the other sequence beside this one, or this one as JSON."""
    for path in sorted(truth.resolve().parent.glob("*_GT")):
        other = truth.with_name(path.name)
        masks = result.with_name(path.name.removesuffix("_GT") + "_RES")
        if path.name != truth.resolve().name and masks.is_dir():
            return shell_line(["cunet", "evaluate", "ctc", str(masks), str(other)])
    again = ["cunet", "evaluate", "ctc", str(result), str(truth)]
    return shell_line([*again, *(["--frames", frames] if frames else []), "--json"])
