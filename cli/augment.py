"""`cunet augment`: training samples as the network sees them, on one sheet."""

from collections.abc import Callable
from pathlib import Path

import click

from cunet.cli import common
from cunet.cli.train_options import HEADINGS, Command, setting_option

SAMPLES = 16
# The settings of a training, beside data, tile and seed, that its samples depend on.
SAMPLE_SETTINGS = """dataset labels depth padding normalization resize weight_map w0 border_sigma
    elastic elastic_sigma contrast brightness curve noise zoom shear blur
    fold hold_out train_share drop""".split()


def _flag(name: str) -> str:
    """weight_map -> --weight-map."""
    return f"--{name.replace('_', '-')}"


def sample_options(function: Callable) -> Callable:
    """Add these settings as options without defaults: a setting that is not given is not set."""
    for name in reversed(HEADINGS):
        if name in SAMPLE_SETTINGS:
            function = setting_option(name, presets=())(function)
    return function


@click.command(cls=Command)
@click.option("--data", type=common.PATH, help="Folder with the data set.")
@click.option(
    "-o", "--out", required=True, type=click.Path(path_type=Path), help="PNG file to write."
)
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True,
              help="All random numbers follow from it.")  # fmt: skip
@click.option("--tile", type=int, default=412, show_default=True, help="Side of the input tile.")
@sample_options
@common.overwrite_option
@common.quiet_option
def command(data, out, seed, tile, overwrite, quiet, **given):
    """Draw the first sixteen samples that a training with these settings would use.

    For each sample the sheet shows the input tile, the labels as an outline on the part that the
    network predicts, and the weight map of that part.

    \b
    Example:
      cunet augment --data isbi2012/ -o sheet.png
    """
    from cunet.errors import CunetError
    from cunet.pictures.sheets import augmentation_sheet
    from cunet.training.config import Config
    from cunet.training.prepared import prepare

    if data is None:
        raise CunetError("Missing option '--data': the folder with the data set.")
    if out.suffix.lower() != ".png":
        raise CunetError(f"'{out}': the sheet is a PNG picture; name a file that ends in .png")
    common.refuse_existing(out, overwrite)
    given = {name: value for name, value in given.items() if value is not None}
    config = Config(data=data, tile=tile, seed=seed, **given)
    prepared = prepare(config)
    samples = [prepared.samples.sample(number) for number in range(SAMPLES)]
    with common.claimed(out, overwrite):
        augmentation_sheet(samples, out)
    for note in prepared.dataset.notes:
        common.say(f"{prepared.dataset.name}: {note}", quiet)
    common.say(f"{out}: {SAMPLES} samples of {tile} x {tile} pixels, seed {seed}", quiet)
    # a preset may have another weight map; this one was shown
    again = {"data": data, "tile": tile, "seed": seed, "weight_map": config.weight_map} | given
    words = [word for name, value in again.items() for word in (_flag(name), str(value))]
    common.next_command(["train", *words], quiet)
