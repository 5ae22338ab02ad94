"""The options that make objects of a mask, which `cunet segment` and `cunet objects` share."""

from collections.abc import Callable

import click

from cunet.cli import common


def object_options(command: Callable) -> Callable:
    """Decorate a command with them; those that are not given are None."""
    options = [
        click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True,
                     help="Pixels with a higher probability are class 1."),
        click.option("--instances", type=common.Choice(common.METHODS),
                     help="Objects: connected components of the mask (default), cut at their necks "
                     "(watershed), or cut by K-means."),
        click.option("--neck", type=click.FloatRange(0, 1), metavar="SHARE",
                     help="watershed: cut where a clump is narrower than this share of its parts "
                     "(0.9); 0.5 keeps what is merely bent or uneven whole."),
        click.option("--connectivity", type=click.Choice(["4", "8"]),
                     help="Objects: 8 joins pixels that touch at a corner (4)."),
        click.option("--min-area", type=click.IntRange(0), metavar="N",
                     help="Drop objects of fewer pixels."),
        click.option("--fill-holes", is_flag=True, default=None, help="Fill the holes of objects."),
        click.option("--border", type=click.IntRange(0), metavar="N",
                     help="Drop objects that lie entirely within this many pixels of the image's "
                     "border."),
    ]  # fmt: skip
    for option in reversed(options):
        command = option(command)
    return command
