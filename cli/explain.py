"""`cunet explain`: the paper's Fig. 1 as a table."""

import click

from cunet.cli import common
from cunet.cli.train_options import setting_option
from cunet.cli.words import size


@click.command()
@setting_option("width", presets=())
@setting_option("depth", presets=())
@click.option("--tile", type=int, help="Side of the input tile (572, or the next that fits).")
@click.option("--classes", type=int, default=2, show_default=True, help="Number of classes.")
@click.option("--in-channels", type=int, default=1, show_default=True, help="1 grey, 3 colour.")
@setting_option("variant", presets=())
@setting_option("padding", presets=())
@setting_option("batch_norm", presets=())
@setting_option("sigmoid", presets=())
@common.quiet_option
@common.json_option
def command(tile, classes, in_channels, quiet, as_json, **given):
    """The network as a table: the size of every layer, parameters, operations, memory.

    \b
    Examples:
      cunet explain
      cunet explain --width 16 --tile 412
      cunet explain --variant release2015 --json
      cunet explain --width 16 --padding same --batch-norm --sigmoid --in-channels 3
    """
    from cunet.net.figure1 import explain
    from cunet.net.shape import Shape
    from cunet.net.tiles import usual_tile

    given = {name: value for name, value in given.items() if value is not None}
    shape = Shape(in_channels=in_channels, classes=classes, **given)
    document = explain(shape, tile or usual_tile(shape.depth, shape.padding))
    if as_json:
        common.print_json(document)
    elif not quiet:
        show(document)
    common.next_command("cunet gradcheck", quiet)


def show(document: dict) -> None:
    """Print the table and the sums below it on stdout."""
    common.show(f"{'layer':<18}{'kind':<24}{'output':>18}{'parameters':>14}{'GFLOP':>9}{'MB':>9}")
    for layer in document["layers"]:
        shape = " x ".join(map(str, layer["shape"]))
        parameters = f"{layer['parameters']:,}" if layer["parameters"] else ""
        flops = f"{layer['flops'] / 1e9:.2f}" if layer["flops"] else ""
        common.show(
            f"{layer['name']:<18}{layer['kind']:<24}{shape:>18}{parameters:>14}{flops:>9}"
            f"{layer['bytes'] / 1e6:>9.1f}"
        )
    memory, sees = document["memory_bytes"], " or ".join(map(str, document["receptive_field"]))
    size_in, size_out = document["input"][0], document["output"][0]
    near = sorted(sorted(document["valid_tiles"], key=lambda t: abs(t - size_in))[:7])
    border = document["border"]
    context = f": {border} pixels of context on each side" if border else ""
    common.show(
        f"\n{document['conv_layers']} convolutional layers, {document['parameters']:,} parameters, "
        f"{document['flops'] / 1e9:.1f} GFLOP forward\n"
        f"{size_in} x {size_in} pixels in, {size_out} x {size_out} out{context}\n"
        f"an output pixel sees {sees} input pixels along each axis, depending on its place on the "
        f"pooling grid of {2 ** document['depth']}\n"
        f"tiles that fit: {', '.join(map(str, near))} ... (every "
        f"{2 ** document['depth']} pixels)\n"
        f"memory about {size(memory['training'])} to train (batch 1, SGD), "
        f"{size(memory['inference'])} to segment"
    )
