"""`cunet verify-export`: an exported file against its model."""

import click

from cunet.cli import common
from cunet.terminal import plural


@click.command()
@click.argument("file", type=common.PATH)
@click.option("--model", type=common.PATH, required=True,
              help="What it was exported from: a model file, a run folder, or a name."
              )  # fmt: skip
@click.option("--image", type=common.PATH, help="Compare on parts of this image, too.")
@click.option("--limit", type=click.FloatRange(0, 1), help="Largest difference of probabilities "
              "(default: 5e-4; 0.02 where FILE holds float16).")  # fmt: skip
@click.option("--tiles", type=click.IntRange(1, 100), default=4, show_default=True,
              help="How many sizes of tiles.")  # fmt: skip
@common.quiet_option
@common.json_option
def command(file, model, image, limit, tiles, quiet, as_json):
    """Compare an exported file with its model, on tiles of several sizes.

    FILE is run by another program where there is one: an .onnx file, also in a bioimage.io package,
    by onnxruntime (pip install onnxruntime). cunet reads .caffemodel and .safetensors again itself.
    Prints the largest difference of probabilities; the exit code is 6 if it is above the limit.

    \b
    Examples:
      cunet verify-export membranes.onnx --model em
      cunet verify-export net.onnx --model runs/isbi2012-1 --image big.tif --json
    """
    from cunet.errors import CheckError
    from cunet.exchange.verify import verify_export
    from cunet.training.run_state import model_of

    model_file, doubts = model_of(model)
    common.notes(doubts, quiet)
    with common.Progress(quiet=quiet, text="comparing") as bar:

        def show(done: int, of: int) -> None:
            bar.total = of
            bar.update(done, "tiles")

        found = verify_export(file, model_file, image, limit, tiles, show)
    if as_json:
        common.print_json(found)
    elif not quiet:
        for one in found["tiles"]:
            size = f"{one['height']} x {one['width']}"
            mark = "ok" if one["difference"] <= found["limit"] else "ABOVE THE LIMIT"
            common.show(f"{size:>12}{one['difference']:>12.1e}  {mark}  {one['picture']}")
    if found["same_source"] is False:
        common.notes([f"warning: '{file}' was exported from another file than {model_file}"])
    # a NaN is above every limit
    if not found["passed"]:
        raise CheckError(
            f"'{file}' differs from {model_file} by up to {found['worst']:.1e}, the limit is "
            f"{found['limit']:g}: it is of another network, or was changed; export it again"
        )
    kind = "images" if found["mirror"] else "tiles"
    common.say(
        f"{plural(len(found['tiles']), kind[:-1])}, largest difference {found['worst']:.1e}, limit "
        f"{found['limit']:g}: the file does what the model does",
        quiet,
    )
    common.next_command(["segment", "--help"], quiet)
