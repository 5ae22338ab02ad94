"""`cunet import`: networks of other programs as models of cunet."""

import click

from cunet.cli import common


@click.command()
@click.argument("file", type=common.PATH)
@click.argument("out", metavar="OUT.npz", type=common.PATH)
@click.option("--white", type=float, help="The grey value of your images that is white, which the "
              "network knows as 1: 255 of 8-bit images (the default), 65535 of 16-bit ones."
              )  # fmt: skip
@common.overwrite_option
@common.quiet_option
@common.json_option
def command(file, out, white, overwrite, quiet, as_json):
    """Read the network in a file of another program, and write it as a model of cunet.

    FILE is Caffe's .caffemodel with the layers of the authors' U-Net of 2015, or the .pt, .pth or
    .safetensors of the U-Net for PyTorch by milesial (bilinear=False). Width, depth, channels and
    classes are found from the weights. Nothing in FILE is run; other networks are refused.

    \b
    Examples:
      cunet import phseg_v5.caffemodel phseg.npz
      cunet import checkpoint_epoch5.pth carvana.npz --white 65535
    """
    from pathlib import Path

    from cunet.errors import CunetError
    from cunet.exchange.import_network import imported
    from cunet.net.checkpoint import save

    if Path(out).suffix.lower() != ".npz":
        raise CunetError(f"'{out}': expected a name ending in .npz")
    with common.claimed(Path(out), overwrite):
        net, kind, notes = imported(file, white)
        save(out, net)
    shape, count = net.shape, sum(p.value.size for p in net.parameters())
    common.say(f"{file}: {kind}, {shape.variant} network of width {shape.width}, depth "
               f"{shape.depth}, channels {shape.in_channels}, classes {shape.classes}, {count:,} "
               f"parameters  ->  {out}", quiet)  # fmt: skip
    common.notes([f"  {note}" for note in notes], quiet)
    if as_json:
        own = {k: v for k, v in vars(net.normalization).items() if k in ("mean", "deviation")}
        found = {"format": kind, **vars(shape), "parameters": count, "normalization": own}
        common.print_json({"network": file, "model": out, **found, "notes": notes})
    common.next_command(["segment", "IMAGE", "--model", out], quiet)
