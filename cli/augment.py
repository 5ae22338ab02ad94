"""`cunet augment`: training samples as the network meets them, on a sheet to look at."""

import shlex
from pathlib import Path

import click

from cunet.cli import common

SAMPLES = 16


@click.command()
@click.option("--data", required=True, type=str, help="Folder with the data set.")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="PNG file to write."
)
@click.option("--dataset", help="Kind of data set: isbi2012 or folder (found from the folder).")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True)
@click.option(
    "--tile", type=int, default=412, show_default=True, help="Side of the input tile in pixels."
)
@common.overwrite_option
@common.quiet_option
def command(data, out, dataset, seed, tile, overwrite, quiet):
    """Draw the first sixteen samples that a training with this seed and tile would meet.

    Of each the sheet shows the input tile, the labels as an outline on the part that the network
    answers for, and the paper's weight map there.

    \b
    Example:
      cunet augment --data isbi2012/ -o sheet.png
    """
    from cunet.config import Config
    from cunet.errors import CunetError
    from cunet.plots import augmentation_sheet
    from cunet.prepared import prepare

    if out.suffix.lower() != ".png":
        raise CunetError(f"'{out}': the sheet is a PNG picture; name a file that ends in .png")
    common.refuse_existing(out, overwrite)
    prepared = prepare(Config(data=data, dataset=dataset, tile=tile, seed=seed))
    samples = [prepared.samples.sample(number) for number in range(SAMPLES)]
    augmentation_sheet(samples, out)
    for note in prepared.dataset.notes:
        common.say(f"{prepared.dataset.name}: {note}", quiet)
    common.say(f"{out}: {SAMPLES} samples of {tile} x {tile} pixels, seed {seed}", quiet)
    common.next_command(
        f"cunet train --data {shlex.quote(data)} --tile {tile} --seed {seed}", quiet
    )
