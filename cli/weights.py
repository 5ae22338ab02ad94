"""`cunet weights`: the weight map of a label file as an image file."""

import os
from pathlib import Path

import click

from cunet.cli import common
from cunet.terminal import plural


@click.command()
@click.argument("labels", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="TIFF file to write."
)
@click.option(
    "--form",
    type=common.Choice(["paper", "falk2019"]),
    default="paper",
    show_default=True,
    help="Equation 2 of the paper, or the authors' form of 2019.",
)
@click.option(
    "--w0",
    type=click.FloatRange(min=0),
    help="Height of the border term (paper: 10; falk2019: 50).",
)
@click.option(
    "--sigma",
    type=click.FloatRange(min=0, min_open=True),
    help="Width of the border term in pixels (paper: 5; falk2019: 6).",
)
@common.overwrite_option
@common.json_option
@common.quiet_option
def command(labels, out, form, w0, sigma, overwrite, as_json, quiet):
    """Write the weight map of LABELS, a TIFF or PNG file, as a float32 TIFF with the same pages.

    LABELS holds masks (0 and 255, or 0 and 1), whose 4-connected components are the cells, or the
    cell ids themselves; 0 is background. Class weights are computed from this file.

    \b
    Example:
      cunet weights isbi2012/train-labels.tif -o weights.tif
    """
    from cunet.data.load import data_of
    from cunet.data.weight_images import write_weights
    from cunet.errors import CunetError

    if out.suffix.lower() not in (".tif", ".tiff"):
        raise CunetError(f"'{out}': weights are written as TIFF; name a file that ends in .tif")
    if os.path.realpath(out) == os.path.realpath(labels):  # of a loop of links, too
        raise CunetError(f"'{out}' is the label file itself; name another output")
    common.refuse_existing(out, overwrite)
    with common.claimed(out, overwrite):
        found, notes = write_weights(labels, out, form, w0, sigma)
    common.notes([f"{labels}: {note}" for note in notes], quiet)
    if as_json:
        common.print_json(found)
    kind = "masks, cells are 4-connected components" if found["masks"] else "cell ids"
    said = f"{plural(found['pages'], 'page')} of {kind}; {plural(sum(found['cells']), 'cell')}"
    common.say(f"{labels}: {said}", quiet)
    if balance := found["class_weights"]:
        common.say(f"class weights: background {balance[0]:.4g}, cell {balance[1]:.4g}", quiet)
    common.say(f"{out}: weights {found['minimum']:.4g} to {found['maximum']:.4g}", quiet)
    folder = data_of(labels)
    train = ["train", "--data", str(folder), "--weight-map", form]
    common.next_command(train if folder else common.LAST, quiet)
