"""`cunet weights`: the weight map of a label file, as a picture that a person can look at."""

import shlex
from pathlib import Path

import click

from cunet.cli import common

# Height and width (pixels) of the border term, as the paper and the plugin of 2019 have them.
CONSTANTS = {"paper": (10.0, 5.0), "falk2019": (50.0, 6.0)}


@click.command()
@click.argument("labels", type=click.Path(path_type=Path))
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="TIFF file to write."
)
@click.option(
    "--form",
    type=click.Choice(list(CONSTANTS)),
    default="paper",
    show_default=True,
    help="Equation 2 of the paper, or the authors' form of 2019.",
)
@click.option("--w0", type=click.FloatRange(min=0), help="Height of the border term (10; 50).")
@click.option(
    "--sigma",
    type=click.FloatRange(min=0, min_open=True),
    help="Width of the border term in pixels (5; 6).",
)
@common.overwrite_option
@common.json_option
@common.quiet_option
def command(labels, out, form, w0, sigma, overwrite, as_json, quiet):
    """Write the weight map of LABELS, a TIFF or PNG file, as a float32 TIFF of as many pages.

    LABELS holds masks (0 and 255, or 0 and 1), whose 4-connected components are the cells, or the
    cell ids themselves; 0 is background. Class weights are those of the file itself.

    \b
    Example:
      cunet weights isbi2012/train-labels.tif -o weights.tif
    """
    from cunet.data.labels import read_labels
    from cunet.errors import CunetError
    from cunet.files import open_image

    if out.suffix.lower() not in (".tif", ".tiff"):
        raise CunetError(f"'{out}': weights are written as TIFF; name a file that ends in .tif")
    if out.resolve() == labels.resolve():
        raise CunetError(f"'{out}' is the label file itself; name another output")
    common.refuse_existing(out, overwrite)
    w0 = CONSTANTS[form][0] if w0 is None else w0
    sigma = CONSTANTS[form][1] if sigma is None else sigma
    pages, notes = read_labels(labels)
    with open_image(labels, indices=True) as file:
        calibration = file.calibration
    for note in notes:
        common.say(f"{labels}: {note}", quiet)
    answer = {"output": str(out), "form": form, "w0": w0, "sigma": sigma}
    answer |= write(pages, str(labels), out, form, w0, sigma, calibration)
    if as_json:
        common.print_json(answer)
    kind = "masks, cells are 4-connected components" if answer["masks"] else "cell ids"
    common.say(f"{labels}: {answer['pages']} pages of {kind}; {sum(answer['cells'])} cells", quiet)
    if balance := answer["class_weights"]:
        common.say(f"class weights: background {balance[0]:.4g}, cell {balance[1]:.4g}", quiet)
    common.say(f"{out}: weights {answer['minimum']:.4g} to {answer['maximum']:.4g}", quiet)
    above = {"labels": 1, "SEG": 2}.get(labels.parent.name, 0)  # DATA/01_GT/SEG/man_seg000.tif
    folder = shlex.quote(str(labels.parents[above] if above < len(labels.parents) else "DATA"))
    common.next_command(f"cunet train --data {folder} --weight-map {form}", quiet)


def write(pages, name, out, form, w0, sigma, calibration) -> dict:
    """Computes and writes the weights of all pages, one after the other; says what was found."""
    import numpy as np

    from cunet.data import weight_map
    from cunet.files.tiff_output import TiffOutput

    instances, masks = weight_map.instances_of(pages, name)
    labels = [weight_map.open_gaps(page > 0, page) for page in instances]
    balance = weight_map.class_weights(labels, 2)
    height, width = pages[0].shape
    ranges = []
    with TiffOutput(out, len(pages), height, width, np.float32, calibration=calibration) as file:
        for number, (page, cells) in enumerate(zip(labels, instances, strict=True)):
            if form == "paper":
                weights = weight_map.paper_map(page, cells, balance, w0, sigma)
            else:
                weights = weight_map.falk2019_map(page, cells, w0, sigma)
            file.write_rows(number, 0, weights)
            ranges += [float(weights.min()), float(weights.max())]
    return {
        "masks": masks,
        "pages": len(pages),
        "height": height,
        "width": width,
        "cells": [int(np.unique(page[page > 0]).size) for page in instances],
        "class_weights": balance.tolist() if form == "paper" else None,
        "minimum": min(ranges),
        "maximum": max(ranges),
    }
