"""`cunet segment`: apply a trained network to images of any size."""

import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cunet.cli import common
from cunet.terminal import shell_line

if TYPE_CHECKING:
    from cunet.net.unet import UNet
    from cunet.segmentation.jobs import Job

BUNDLED_FOR = (
    "cell membranes in serial-section EM at 4 nm a pixel (ISBI 2012); for non-commercial use only, "
    "like the data it was trained on. Train your own for other images."
)


@click.command()
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--model", help="Model file, run folder, or bundled: cunet's own network for EM "
              "membranes (default: the newest run below runs/, else bundled).")  # fmt: skip
@click.option(
    "--tile", type=int, help="Side of the input tile (572), for speed: results do not depend on it."
)
@click.option(
    "--average",
    type=click.Choice(["none", "flips", "rotations"]),
    default="none",
    show_default=True,
    help="Average over 4 flips, or the 8 rotations and reflections, of each tile.",
)
@click.option(
    "--out", default=".", show_default=True, help="Folder, or a file ending in .tif or .png."
)
@click.option(
    "--products",
    default="prob,mask",
    show_default=True,
    help="One or more of prob, mask, labels, overlay, ctc.",
)
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.5, show_default=True,
              help="Pixels with a higher probability are class 1.")  # fmt: skip
@click.option("--instances", type=click.Choice(["components", "watershed", "kmeans"]),
              help="Objects of labels, ctc and overlay: connected components of the mask "
              "(default), cut at their necks (watershed), or cut by K-means.")  # fmt: skip
@click.option("--connectivity", type=click.Choice(["4", "8"]),
              help="Objects of labels, ctc and overlay: 8 joins pixels that touch at a corner "
              "(4).")  # fmt: skip
@click.option("--min-area", type=click.IntRange(0), metavar="N",
              help="Drop objects of fewer pixels from labels, ctc and overlay.")  # fmt: skip
@click.option("--fill-holes", is_flag=True, default=None,
              help="Fill the holes of objects in labels, ctc and overlay.")  # fmt: skip
@click.option("--border", type=click.IntRange(0), metavar="N",
              help="Drop objects from labels, ctc and overlay that lie entirely within this many "
              "pixels of the image's border.")  # fmt: skip
@click.option("--pages", help="Pages of a stack, counted from 0: 0,5,10-12 (default: all).")
@click.option("--stride", type=click.Choice(["exact", "paper"]), default="exact", show_default=True,
              help="exact: no seams. paper: tiles every 388 pixels, as in 2015.")  # fmt: skip
@common.device_option
@common.precision_option
@common.threads_option
@common.overwrite_option
@common.quiet_option
@common.json_option
def command(
    images, model, tile, average, out, products, threshold, pages, stride, device, precision,
    overwrite, quiet, as_json, **objects,
):  # fmt: skip
    """Segment images: files, folders or patterns, TIFF stacks or PNG.

    Writes <image>_prob.tif (float32 probability of class 1) and <image>_mask.tif (0 or 255).
    Further products are <image>_labels.tif (numbered objects), <image>_overlay.png (outlines on the
    image) and ctc: mask000.tif for t000.tif, as the Cell Tracking Challenge names results. Any size
    works: borders are mirrored, and tiles meet without a seam.

    \b
    Examples:
      cunet segment big.tif --tile 572
      cunet segment stack.tif --model runs/isbi2012-1 --average rotations --out results/
      cunet segment "plate*/*.png" --products mask,overlay --out masks/
      cunet segment DIC-C2DH-HeLa/02 --products ctc --min-area 500 --out DIC-C2DH-HeLa/02_RES
    """
    from cunet.backend import resolve_device
    from cunet.files.atomic import remove_abandoned
    from cunet.files.listing import WRITTEN
    from cunet.segmentation import inputs, jobs
    from cunet.segmentation.how import NUMBERED, How

    wanted = inputs.parse_products(products)
    instances = inputs.parse_instances(wanted, objects)
    files = inputs.find_images(images)
    images = [(file, inputs.target_paths(file, out, wanted, len(files))) for file in files]
    net, name = load_model(model, resolve_device(device), precision)
    tile = jobs.fitting_tile(tile, net)
    distinct = bool(set(NUMBERED) & set(wanted) or any(v is not None for v in objects.values()))
    how = How(tile, average, stride, threshold, instances, distinct)
    announce(net, name, quiet)
    with common.busy("reading the images", quiet):
        plans = jobs.prepared(images, net, name, how, pages, overwrite)
    folder = Path(out).parent if Path(out).suffix.lower() in WRITTEN else Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder)
    results = []
    for planned in plans:
        with jobs.claimed(planned) as job:
            if job.left:
                results.append(one_image(job, net, quiet))
            else:
                common.say(f"{job.file}: already done, skipped (--overwrite to repeat it)", quiet)
                results.append({"image": str(job.file), "skipped": True})
        results[-1]["outputs"] = {k: [str(p) for p in v] for k, v in job.outputs().items()}
    if as_json:
        common.print_json({"model": name, "images": results})
    after = evaluation(files, out) if "ctc" in wanted else None
    common.next_command(after or next_products(wanted), quiet)


def announce(net: "UNet", name: str, quiet: bool) -> None:
    """Print which network segments, and on which device."""
    from cunet.engines import TENSOR_CORES, describe
    from cunet.net.checkpoint import BUNDLED

    if Path(name) == BUNDLED:
        common.say(f"the bundled network: {BUNDLED_FOR}", quiet)
    common.say(
        f"model {name}: width {net.shape.width}, {net.shape.classes} classes; device "
        f"{describe(net.device, net.precision)}",
        quiet,
    )
    if net.device != "cpu" and net.precision not in TENSOR_CORES:
        common.say(f"  without tensor cores: {net.obstacle or 'as asked'}", quiet)


def evaluation(files: list[Path], out: str) -> str | None:
    """The command that scores the frames of a sequence; None without their truth beside them."""
    from cunet.data.ctc_files import annotations, ground_truth

    sequence = files[0].parent
    truth = ground_truth(sequence.resolve())
    annotated = {int(number) for number in annotations(truth)}
    scored = annotated & {int(file.stem[1:]) for file in files if file.parent == sequence}
    if not scored:
        return None
    path = truth if sequence.is_absolute() else os.path.relpath(truth)
    frames = [] if scored == annotated else ["--frames", ",".join(map(str, sorted(scored)))]
    return shell_line(["cunet", "evaluate", "ctc", out, str(path), *frames])


def next_products(wanted: list[str]) -> str:
    """The same command with the products not yet made, or the model's table."""
    more = [p for p in ("labels", "overlay", "mask", "prob") if p not in wanted]
    if not more:
        return "cunet explain"
    skipped = ("--products", "--overwrite", "--json")
    arguments, again = iter(sys.argv[1:]), ["cunet"]
    for part in arguments:
        if part == "--products":
            next(arguments, None)
        elif part not in skipped and not part.startswith("--products="):
            again.append(part)
    return shell_line([*again, "--products", ",".join(more)])


def one_image(job: "Job", net: "UNet", quiet: bool) -> dict[str, Any]:
    """Segment one file; returns its entry in the JSON document."""
    from cunet.files import open_image
    from cunet.segmentation.segment_file import check_image, segment_file

    start = time.perf_counter()
    with open_image(job.file) as file:
        image = check_image(file, net)
        common.say(
            f"{job.file}: {image.pages} page(s) of {image.height} x {image.width}, axes "
            f"{image.axes}, {image.dtype}",
            quiet,
        )
        for note in image.notes:
            common.say(f"  {note}", quiet)
        if not image.streamed and image.height * image.width > 10**8:
            common.say(
                "  its pages are single compressed strips, so a whole page is kept in memory", quiet
            )
        with common.Progress(image.height * len(job.pages), quiet=quiet, text="rows") as progress:
            summary = segment_file(
                image, net, job.left, job.how, job.pages,
                lambda done, total: progress.update(done, "rows"),
            )  # fmt: skip
        shape = [len(job.pages), image.height, image.width]
    for warning in summary.warnings:
        common.say(f"warning: {warning}")
    shares = ", ".join(f"class {i} {100 * share:.1f} %" for i, share in enumerate(summary.shares))
    made = [
        p.name for product, paths in job.outputs().items() if product in job.left for p in paths
    ]
    folder = next(iter(job.left.values())).parent
    common.say(f"  {shares}  ->  {folder}: {', '.join(made)}", quiet)
    return {
        "image": str(job.file),
        "skipped": False,
        "shape": shape,
        "class_shares": summary.shares,
        "warnings": summary.warnings,
        "seconds": round(time.perf_counter() - start, 3),
    }


def load_model(model: str | None, device: str, precision: str | None) -> "tuple[UNet, str]":
    """The network and its file; by default that of the newest run, else the bundled one."""
    from cunet.net.checkpoint import load, model_file
    from cunet.training.run_state import doubts_of, newest

    run, notes = newest() if model is None else (None, [])
    path = model_file(model or run or "bundled")
    common.notes([*notes, *doubts_of(path)])
    return load(path, device, precision), str(path)
