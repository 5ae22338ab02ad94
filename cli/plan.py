"""`cunet plan`: what segmenting a volume will take, before anything is made."""

import sys
from functools import partial
from pathlib import Path

import click

from cunet.cli import common
from cunet.cli.volume_options import Command, volume_options
from cunet.terminal import without

OPTIONS = "block prob levels objects skip_empty zarr level channel time".split()


@click.command(cls=Command)
@click.argument("image", metavar="IMAGE", type=common.PATH)
@click.option("--model", type=common.PATH, help="As for cunet segment, like all that follows.")
@click.option("--tile", type=int, help="Side of the input tile.")
@click.option("--average", type=common.Choice(common.AVERAGES), default="none", show_default=True,
              help="Average over views of each tile.")  # fmt: skip
@click.option("--products", default="prob,mask", show_default=True,
              help="One or more of prob, mask, labels.")  # fmt: skip
@click.option("--pages", help="Sections, counted from 0, such as 10-19 (default: all).")
@partial(volume_options, names=OPTIONS)
@common.device_option
@common.precision_option
@common.threads_option
@common.quiet_option
@common.json_option
def command(
    image, model, device, pages, level, channel, time, quiet, as_json, products, **settings
):
    """What `cunet segment IMAGE --out OUT.ome.zarr` will take: tiles, hours, memory, bytes, files.

    A few tiles of the volume are computed on this device, and at most 64 are looked at; nothing is
    made. How many are empty and what compression gives are estimates from these.

    \b
    Examples:
      cunet plan volume.ome.zarr
      cunet plan volume.ome.zarr --products mask,labels --block 16,2048,2048 --device cuda
    """
    from cunet.segmentation.inputs import parse_products
    from cunet.training.run_state import model_of
    from cunet.volumes.plan import plan_volume
    from cunet.volumes.plan_lines import plan_lines
    from cunet.volumes.source import network_for
    from cunet.volumes.wanted import Wanted

    given = {name: value for name, value in settings.items() if value is not None}
    wanted = Wanted(**given, products=tuple(parse_products(products)))
    look = partial(network_for, image, level=level or 0, channel=channel, time=time)
    file, doubts = model_of(model, look)
    common.notes(doubts, quiet)
    with common.Bars(quiet) as progress:
        plan = plan_volume(image, file, wanted, device, pages, level or 0, channel, time, progress)
    if as_json:
        common.print_json(plan)
    else:
        common.show("\n".join(plan_lines(plan)))
    words = without(sys.argv[1:], ("--json",))
    words.remove("plan")
    if not settings["prob"] and plan["products"].get("prob", {}).get("dtype") == "uint8":
        words += ["--prob", "uint8"]  # else a segmentation refuses so many float32
    out = f"{Path(image).name.partition('.')[0]}_segmented.ome.zarr"
    common.next_command(["segment", *words, "--out", out], quiet)
