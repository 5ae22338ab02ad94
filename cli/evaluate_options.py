"""The options for pages and pictures that the commands of `cunet evaluate` share."""

import os
from pathlib import Path

import click

from cunet.cli import common
from cunet.errors import CunetError

pages_option = click.option(
    "--pages", help="Pages of TRUTH, counted from 0: 0,5,10-12 (default: all)."
)
labels_option = click.option(
    "--labels",
    type=click.Choice(["instances", "classes", "neurons"]),
    help="What the numbers in TRUTH are (default: told by their shape); neurons: as in ISBI 2013.",
)
plot_option = click.option(
    "--plot", type=click.Path(path_type=Path), help="PNG file for a picture of the curves."
)


def check_plot(plot: Path | None, overwrite: bool, *inputs: Path) -> None:
    """CunetError, before any work is done, where the picture cannot have this name."""
    if plot is None:
        return
    if plot.suffix.lower() != ".png":
        raise CunetError(f"'{plot}': the plot is a PNG picture; name a file that ends in .png")
    if os.path.realpath(plot) in map(os.path.realpath, inputs):
        raise CunetError(f"'{plot}' is one of the input files; name another plot")
    if plot.is_dir():
        raise CunetError(f"'{plot}' is a folder; name a file for the plot")
    if not plot.parent.is_dir():
        raise CunetError(f"no folder '{plot.parent}' for the plot '{plot.name}'; make it first")
    common.refuse_existing(plot, overwrite)
