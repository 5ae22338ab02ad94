"""`cunet objects`: labels, tables and ROIs from files of probabilities."""

import sys
from functools import partial
from pathlib import Path

import click

from cunet.cli import common
from cunet.cli.object_options import object_options
from cunet.terminal import plural


@click.command()
@click.argument("probabilities", nargs=-1, required=True, metavar="PROB...")
@click.option("--products", default="labels,table", show_default=True,
              help="One or more of labels, table, rois.")  # fmt: skip
@object_options
@click.option("--image", type=click.Path(path_type=Path),
              help="The image of PROB: the table then has the brightness of objects.")  # fmt: skip
@click.option("-o", "--out", type=common.PATH, default=".", show_default=True,
              help="Folder, or a file of their endings.")  # fmt: skip
@click.option("--pages", help="Pages of a stack, counted from 0: 0,5,10-12 (default: all).")
@common.overwrite_option
@common.quiet_option
@common.json_option
def command(
    probabilities, products, threshold, image, out, pages, overwrite, quiet, as_json, **options
):
    """Find objects in probabilities: files, folders or patterns, of cunet or any other program.

    PROB holds the probability of the objects, from 0 to 1, or integers, which are divided by the
    largest of their type. Writes x_labels.tif (numbered objects) and x_table.csv (a row for each:
    size, place, shape) for x_prob.tif; x_rois.zip opens in ImageJ's ROI Manager.

    \b
    Examples:
      cunet objects big_prob.tif --threshold 0.4 --min-area 20
      cunet objects cells_prob.tif --image cells.tif --products table,rois --instances watershed
      cunet objects "ilastik/*_Probabilities.tif" --out objects/
    """
    from cunet.files.atomic import remove_abandoned
    from cunet.segmentation import inputs, jobs, objects_file
    from cunet.segmentation.how import How
    from cunet.segmentation.next_command import with_products

    wanted = inputs.parse_products(products, objects_file.OBJECTS)
    how = How(threshold=threshold, instances=inputs.parse_instances(wanted, options))
    files = inputs.find_images(probabilities, inputs.probabilities_of)
    plans = objects_file.prepared(files, out, wanted, how, image, pages, overwrite)
    folder = next(iter(plans[0].targets.values())).parent
    folder.mkdir(parents=True, exist_ok=True)
    remove_abandoned(folder)
    results = []
    for planned in plans:
        entry = {"probability": str(planned.file), "skipped": True}
        with jobs.claimed(planned) as job:
            if job.left:
                with common.Progress(len(job.pages) * job.shape[1], quiet=quiet) as bar:
                    update = partial(bar.update, text="rows")
                    done, text = objects_file.make_objects(job, image, update)
                names = ", ".join(map(str, job.left.values()))
                common.notes(f"warning: {note}" for note in done.warnings)
                common.notes([text, f"  {plural(done.objects, 'object')}  ->  {names}"], quiet)
                entry |= {"skipped": False, "objects": done.objects, "warnings": done.warnings}
            else:
                common.say(f"{job.file}: already done, skipped (--overwrite to repeat it)", quiet)
        results.append(entry | {"outputs": {k: str(p) for k, p in job.targets.items()}})
    if as_json:
        common.print_json({"probabilities": results})
    more = jobs.not_made(plans[0], objects_file.OBJECTS)
    after = with_products(sys.argv[1:], more) if more else ["segment", "--help"]
    common.next_command(after, quiet)
