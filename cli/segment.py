"""`cunet segment`: apply a trained network to images of any size."""

import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from cunet.cli import common
from cunet.cli.image_options import OPTIONS as SEEN
from cunet.cli.image_options import image_options
from cunet.cli.object_options import object_options
from cunet.cli.volume_options import OPTIONS, Command, volume_options
from cunet.terminal import plural

if TYPE_CHECKING:
    from cunet.net.unet import UNet
    from cunet.segmentation.jobs import Job
    from cunet.segmentation.several import Several


@click.command(cls=Command)
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...", type=common.PATH)
@click.option("--model", type=common.PATH, help="Model file, run folder, or a name that cunet "
              "models list shows (default: the newest run below runs/, else em or nuclei, "
              "by the look of the images)."
              )  # fmt: skip
@click.option(
    "--tile", type=int, help="Side of the input tile (572), for speed: results do not depend on it."
)
@click.option(
    "--average",
    type=common.Choice(common.AVERAGES),
    default="none",
    show_default=True,
    help="Average over 4 flips, or the 8 rotations and reflections, of each tile.",
)
@click.option(
    "-o",
    "--out",
    type=common.PATH,
    default=".",
    show_default=True,
    help="Folder, a file ending in .tif, .png, .csv or .zip, or an OME-Zarr (.zarr).",
)
@click.option("--products", default="prob,mask", show_default=True,
              help="One or more of prob, mask, labels, overlay, ctc, table, rois.")  # fmt: skip
@image_options
@object_options
@click.option("--pages", help="Pages of a stack, counted from 0: 0,5,10-12 (default: all).")
@click.option("--stride", type=common.Choice(common.STRIDES), default="exact", show_default=True,
              help="exact: no seams. paper: tiles every 388 pixels, as in 2015.")  # fmt: skip
@volume_options
@common.device_option
@common.precision_option
@common.threads_option
@common.overwrite_option
@common.quiet_option
@common.json_option
def command(
    images, model, tile, average, out, products, threshold, pages, stride, device, precision,
    overwrite, quiet, as_json, **more,
):  # fmt: skip
    """Segment images: files, folders or patterns, TIFF stacks or PNG.

    Writes <image>_prob.tif (float32 probability of class 1) and <image>_mask.tif (0 or 255).
    Further products are <image>_labels.tif (numbered objects), <image>_table.csv (a row for each
    object: size, place, shape, brightness), <image>_rois.zip (for ImageJ's ROI Manager),
    <image>_overlay.png (outlines on the image) and ctc: mask000.tif for t000.tif, as the Cell
    Tracking Challenge names results. Any size works: borders are mirrored, and tiles meet without a
    seam. Where <image>_prob.tif is there already, the others are made from it.

    \b
    Examples:
      cunet segment big.tif --tile 572
      cunet segment stack.tif --model runs/isbi2012-1 --average rotations --out results/
      cunet segment "plate*/*.png" --products mask,overlay --out masks/
      cunet segment cells.tif --products labels,table,rois --instances watershed
      cunet segment fine.tif --pixel-size 2nm --rescale
      cunet segment volume.ome.zarr --out volume_cells.ome.zarr --products mask,labels
      cunet segment DIC-C2DH-HeLa/02 --products ctc --min-area 500 --out DIC-C2DH-HeLa/02_RES
    """
    from cunet.backend import resolve_devices
    from cunet.files.atomic import remove_abandoned
    from cunet.net.checkpoint import load
    from cunet.segmentation import inputs, jobs
    from cunet.segmentation.how import NUMBERED, How
    from cunet.segmentation.next_command import after_segment
    from cunet.segmentation.several import sharing
    from cunet.segmentation.which_network import for_files
    from cunet.training.run_state import model_of

    wanted = inputs.parse_products(products)
    volume = {name: more.pop(name) for name in OPTIONS}
    seen = {name: more.pop(name) for name in SEEN}
    objects = more
    instances = inputs.parse_instances(wanted, objects)
    if inputs.is_volume(images, out, stride, volume):
        from cunet.cli.segment_volume import run

        how = dict(tile=tile, average=average, threshold=threshold, products=tuple(wanted),
                   precision=precision, instances=instances)  # fmt: skip
        run(images, out, model, device, how, volume, seen, pages, overwrite, quiet, as_json)
        return
    files = inputs.find_images(images)
    images = [(file, inputs.target_paths(file, out, wanted, len(files))) for file in files]
    devices = resolve_devices(device)
    file, doubts = model_of(model, partial(for_files, files, **seen))
    common.notes(doubts, quiet)
    net, name = load(file, devices[0], precision), str(file)
    tile = jobs.fitting_tile(tile, net)
    distinct = bool(set(NUMBERED) & set(wanted) or any(v is not None for v in objects.values()))
    how = How(tile, average, stride, threshold, instances, distinct, **seen)
    announce(net, name, quiet)
    with common.busy("reading the images", quiet):
        plans = jobs.prepared(images, net, name, how, pages, overwrite)
    folder = next(iter(plans[0].targets.values())).parent
    folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder)
    results = []
    several = sharing(net, devices)
    for planned in plans:
        with jobs.claimed(planned) as job:
            if job.left:
                results.append(one_image(job, net, quiet, several))
            else:
                common.say(f"{job.file}: already done, skipped (--overwrite to repeat it)", quiet)
                results.append({"image": str(job.file), "skipped": True})
        results[-1]["outputs"] = {k: [str(p) for p in v] for k, v in job.outputs().items()}
    if as_json:
        common.print_json({"model": name, "images": results})
    common.next_command(after_segment(sys.argv[1:], files, out, wanted, pages), quiet)


def announce(net: "UNet", name: str, quiet: bool) -> None:
    """Print which network segments, and on which device."""
    from cunet.engines import TENSOR_CORES, describe

    device = describe(net.device, net.precision)
    common.say(f"model {name}: width {net.shape.width}, {net.shape.classes} classes; device "
               f"{device}", quiet)  # fmt: skip
    if net.device != "cpu" and net.precision not in TENSOR_CORES:
        common.say(f"  without tensor cores: {net.obstacle or 'as asked'}", quiet)


def one_image(job: "Job", net: "UNet", quiet: bool, several: "Several | None") -> dict[str, Any]:
    """Segment one file; returns its entry in the JSON document."""
    from cunet.files import open_image
    from cunet.segmentation.segment_file import check_image, segment_file

    start = time.perf_counter()
    with open_image(job.file) as file:
        image = check_image(file, net)
        common.say(
            f"{job.file}: {plural(image.pages, 'page')} of {image.height} x {image.width}, axes "
            f"{image.axes}, {image.dtype}",
            quiet,
        )
        for note in image.notes:
            common.say(f"  {note}", quiet)
        if not image.streamed and image.height * image.width > 10**8:
            common.say(
                "  its pages are single compressed strips, so a whole page is kept in memory", quiet
            )
        for said in filter(None, (job.said, job.seen)):
            common.say(f"  {said}", quiet)
        with common.Progress(image.height * len(job.pages), quiet=quiet, text="rows") as progress:
            summary = segment_file(
                image, net, job.left, job.how, job.pages,
                lambda done, total: progress.update(done, "rows"), job.stored, several,
            )  # fmt: skip
        shape = [len(job.pages), image.height, image.width]
    for warning in summary.warnings:
        common.say(f"warning: {warning}")
    shares = ", ".join(f"class {i} {100 * share:.1f} %" for i, share in enumerate(summary.shares))
    shares += "" if summary.objects is None else f", {summary.objects} objects"
    made = [
        p.name for product, paths in job.outputs().items() if product in job.left for p in paths
    ]
    folder = next(iter(job.left.values())).parent
    common.say(f"  {shares}  ->  {folder}: {', '.join(made)}", quiet)
    return {
        "image": str(job.file),
        "skipped": False,
        "shape": shape,
        "probability_from": None if job.stored is None else str(job.stored.path),
        "class_shares": summary.shares,
        "objects": summary.objects,
        "warnings": summary.warnings,
        "seconds": round(time.perf_counter() - start, 3),
    }
