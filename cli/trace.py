"""`cunet trace`: one forward and backward pass through a network, as a page."""

import click

from cunet.cli import common
from cunet.cli.words import size

MAX_DIGITS = 10  # of a row or a column; int() refuses thousands of them


class Pixel(click.ParamType):
    """Y,X: a row and a column."""

    name = "y,x"

    def convert(self, value, option, context):
        if isinstance(value, tuple):
            return value
        row, _, column = value.partition(",")
        if not all(p.strip().isdecimal() and len(p) < MAX_DIGITS for p in (row, column)):
            self.fail(f"expected a row and a column, such as 100,200, found '{value}'", option)
        return int(row), int(column)


@click.command()
@click.argument("model", type=common.PATH)
@click.argument("image", type=common.PATH)
@click.option("-o", "--out", type=common.PATH, default="trace.html", show_default=True,
              help="The page, one HTML file.")  # fmt: skip
@click.option("--pixel", type=Pixel(), metavar="Y,X", help="Row and column, in the image, of the "
              "output pixel to look at (default: the middle).")  # fmt: skip
@click.option("--truth", type=common.PATH, help="Label file that the loss compares with (default: "
              "the network's own most probable classes).")  # fmt: skip
@click.option("--labels", type=common.Choice(("classes", "instances")),
              help="What the numbers of --truth are, where their shape does not tell.")  # fmt: skip
@click.option("--page", type=click.IntRange(0), default=0, show_default=True,
              help="Page of a stack, counted from 0.")  # fmt: skip
@click.option("--tile", type=int, help="Side of the input tile (572, or the next that "
              "fits; smaller for a small image).")  # fmt: skip
@click.option("--lr", type=float, help="Learning rate of the relative updates (default: that of "
              "the run in whose folder the model lies, else 0.001).")  # fmt: skip
@common.device_option
@common.threads_option
@common.overwrite_option
@common.quiet_option
@common.json_option
def command(model, image, out, device, overwrite, quiet, as_json, **given):
    """One forward and backward pass of the network MODEL on a tile of IMAGE, as a page.

    The page shows channels of every layer's output and the gradients that came back to them, with
    their numbers: means, dead ReLUs, norms, the size of an update; what one output pixel sees of
    the image, measured and by formula; and what each skip contributes. It is one file, with
    nothing to load. MODEL is a model file, a run folder, or a name that `cunet models list` shows.

    \b
    Examples:
      cunet trace em slices.tif
      cunet trace runs/isbi2012-1 slice.png --truth labels.png --pixel 100,200 -o pass.html
      cunet trace em stack.tif --page 3 --json
    """
    from cunet.reporting.page import html_file
    from cunet.tracing.trace import trace

    out = html_file(out)
    common.refuse_existing(out, overwrite, image, given["truth"], model)
    with common.claimed(out, overwrite):
        with common.busy("tracing", quiet):
            found = trace(model, image, device=device, **given)
            found.save(out)
    common.notes(found.notes, quiet)
    document = found.document()
    if as_json:
        common.print_json(document)
    against = document["loss_against"]
    common.say(f"a tile of {found.down.tile} x {found.across.tile} pixels; loss {found.loss:.4g} "
               f"against {'the ' * (against == 'truth')}{against}", quiet)  # fmt: skip
    common.say(f"{out}: {len(found.layers)} layers, {size(out.stat().st_size)}", quiet)
    common.next_command(["lesson", "unet"], quiet)
