"""`cunet seams`: tiled against whole, as numbers and a picture."""

from functools import partial
from pathlib import Path

import click

from cunet.cli import common


@click.command()
@click.argument("image", type=common.PATH)
@click.option("--model", type=common.PATH, help="Model file, run folder or name (default: the "
              "newest run below runs/, else em or nuclei, by the look of the image).")  # fmt: skip
@click.option("-o", "--out", default="seams.png", show_default=True, help="PNG file to write.",
              type=click.Path(path_type=Path))  # fmt: skip
@click.option("--tile", type=int, help="Side of the tiles (default: the largest up to 572 with "
              "which the image needs several).")  # fmt: skip
@click.option("--page", type=click.IntRange(0), default=0, show_default=True,
              help="Page of a stack, counted from 0.")  # fmt: skip
@click.option("--limit", type=click.FloatRange(0, 1), help="Largest difference that is rounding "
              "(default: 1e-4; 1e-2 and more on tensor cores).")  # fmt: skip
@common.device_option
@common.precision_option
@common.threads_option
@common.overwrite_option
@common.quiet_option
@common.json_option
def command(image, model, out, tile, page, limit, device, precision, overwrite, quiet, as_json):
    """Segment IMAGE tile by tile and in one tile around all of it, and compare.

    Tiles of cunet meet without a seam: their result is that of the whole image, but for rounding.
    The paper's tiles, every 388 pixels, leave seams. Prints the largest differences and the jumps
    across the edges between tiles, and draws the differences; the exit code is 6 if the exact tiles
    differ from the whole by more than the limit. Of a large image the middle is compared.

    \b
    Examples:
      cunet seams isbi2012/test-volume.tif --page 3
      cunet seams big.tif --model runs/isbi2012-1 --tile 412 -o big_seams.png
    """
    from cunet.backend import resolve_devices
    from cunet.errors import CheckError, CunetError
    from cunet.net.checkpoint import load
    from cunet.segmentation.seams import LIMITS, seams
    from cunet.segmentation.seams_lines import lines
    from cunet.segmentation.segment_file import read_page
    from cunet.segmentation.which_network import for_files
    from cunet.training.run_state import model_of

    if out.suffix.lower() != ".png":
        raise CunetError(f"'{out}': the picture is a PNG; name a file that ends in .png")
    common.refuse_existing(out, overwrite, image, model)
    file, doubts = model_of(model, partial(for_files, [image]))
    common.notes(doubts, quiet)
    net = load(file, resolve_devices(device)[0], precision)
    read = read_page(Path(image), page, net)
    common.notes(read.said, quiet)
    with common.claimed(out, overwrite):
        with common.busy("comparing", quiet):
            found = seams(read.pixels, net, tile, limit)
        found.save(out)
    common.notes([f"{image}, page {page}: {note}" for note in found.notes], quiet)
    if as_json:
        facts = {"image": image, "page": page, "model": str(file), "out": str(out)}
        common.print_json(facts | found.document())
    elif not quiet:
        common.show("\n".join(lines(found)))
    if not found.passed:
        why = "Tiles leave a seam: please report it, with the model"
        if found.exact.largest <= LIMITS[net.precision]:
            why = f"It is below the usual limit, {LIMITS[net.precision]:g}, as rounding is"
        elif found.is_rounding:
            why = "It is rounding: float64 has next to none of it"
        raise CheckError(
            f"'{image}': exact tiles differ from the whole by {found.exact.largest:.1e} at row "
            f"{found.exact.row}, column {found.exact.column}; the limit is {found.limit:g}. {out} "
            f"shows where. {why}"
        )
    common.say(f"{out}: no seam, exact tiles give the whole but for rounding (limit "
               f"{found.limit:g})", quiet)  # fmt: skip
    common.next_command(["segment", image, "--model", str(file)], quiet)
