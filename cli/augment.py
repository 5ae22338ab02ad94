"""`cunet augment`: training samples as the network sees them, on one sheet."""

import sys
from pathlib import Path

import click

from cunet.cli import common
from cunet.cli.train_options import Command, settings_options
from cunet.terminal import without

SAMPLES = 16


@click.command(cls=Command)
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="PNG file to write."
)
@settings_options({"out": None, "minutes": None})
@common.overwrite_option
@common.quiet_option
def command(data, preset, config_file, out, overwrite, quiet, **settings):
    """Draw the first sixteen samples that `cunet train` with these options would use.

    For each sample the sheet shows the input tile, the labels as an outline on the part that the
    network predicts, and the weight map of that part.

    \b
    Examples:
      cunet augment --data isbi2012/ -o sheet.png
      cunet augment --data my-images/ --preset ucsd --zoom 0.4 -o sheet.png
    """
    from cunet.errors import CunetError
    from cunet.pictures.sheets import augmentation_sheet
    from cunet.training.prepared import prepare
    from cunet.training.resolve import settings_of, with_data

    if out.suffix.lower() != ".png":
        raise CunetError(f"'{out}': the sheet is a PNG picture; name a file that ends in .png")
    common.refuse_existing(out, overwrite)
    source, config, given = settings_of(data, preset, config_file, **settings)
    config, dataset = with_data(config, given)
    prepared = prepare(config, dataset)
    samples = [prepared.samples.sample(number) for number in range(SAMPLES)]
    with common.claimed(out, overwrite):
        augmentation_sheet(samples, out)
    for note in dataset.notes:
        common.say(f"{dataset.name}: {note}", quiet)
    said = (
        f"{SAMPLES} samples, tile {config.tile}, weight map {config.weight_map}, seed {config.seed}"
    )
    common.say(f"{out}: {source}; {said}", quiet)
    common.next_command(["train", *without(sys.argv[2:], ["--overwrite"], ["-o", "--out"])], quiet)
