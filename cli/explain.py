"""`cunet explain`: the paper's Fig. 1 as a table and as a figure."""

from pathlib import Path

import click

from cunet.cli import common
from cunet.cli.train_options import setting_option
from cunet.cli.words import size


@click.command()
@click.option("--model", type=common.PATH, help="That of a model file, a run or a name.")
@setting_option("width", presets=())
@setting_option("depth", presets=())
@click.option("--tile", type=int, help="Side of the input tile (the run's, or 572 or the next).")
@click.option("--classes", type=int, help="Number of classes (2).")
@click.option("--in-channels", type=int, help="1 grey, 3 colour (1).")
@setting_option("variant", presets=())
@setting_option("padding", presets=())
@setting_option("batch_norm", presets=())
@setting_option("sigmoid", presets=())
@click.option("--svg", type=common.PATH, help="Draw Fig. 1 of this network into this file.")
@common.overwrite_option
@common.quiet_option
@common.json_option
def command(model, tile, svg, overwrite, quiet, as_json, **given):
    """The network as a table or a figure: the size of every layer, parameters, operations, memory.

    Options beside --model may only say what is true of it.

    \b
    Examples:
      cunet explain
      cunet explain --width 16 --tile 412 --svg fig1.svg
      cunet explain --variant release2015 --json
      cunet explain --width 16 --padding same --batch-norm --sigmoid --in-channels 3
      cunet explain --model runs/isbi2012-1
    """
    from cunet.net.figure1 import explain
    from cunet.net.shape import Shape
    from cunet.net.tiles import usual_tile
    from cunet.training.run_state import pixel_size_of, shape_and_tile

    given = {name: value for name, value in given.items() if value is not None}
    shape, known = (Shape(**given), None) if model is None else shape_and_tile(model, given)
    if tile is None:
        tile = known or usual_tile(shape.depth, shape.padding)
    document = explain(shape, tile)
    if model is not None:
        document["pixel_size"] = pixel_size_of(model)
    if svg is not None:
        draw(document, Path(svg), overwrite)
    if as_json:
        common.print_json(document)
    elif not quiet:
        show(document)
    if svg is not None:
        common.say(f"figure: {svg}", quiet)
    common.next_command("cunet gradcheck", quiet)


def draw(document: dict, path: Path, overwrite: bool) -> None:
    """Write the figure."""
    from cunet.files.atomic import write_text
    from cunet.pictures import figure1

    if path.suffix.lower() != ".svg":
        raise click.UsageError(f"--svg: expected a name that ends in .svg, found '{path}'")
    with common.claimed(path, overwrite):
        write_text(path, figure1.svg(document))


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
    if "pixel_size" in document:
        common.show(f"pixel size of its training images: {document['pixel_size']}")
