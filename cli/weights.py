"""`cunet weights`: the weight map that a training would use, as an image file."""

import os
from pathlib import Path

import click

from cunet.cli import common
from cunet.cli.train_options import Command, settings_options
from cunet.terminal import plural


@click.command(cls=Command)
@click.argument("path", metavar="LABELS", type=click.Path(path_type=Path))
@click.option("-o", "--out", required=True, type=click.Path(path_type=Path), help="TIFF to write.")
@settings_options(
    {"data": None, "out": None, "minutes": None},
    {"weight_map": "--form", "border_sigma": "--sigma"},
)
@common.overwrite_option
@common.json_option
@common.quiet_option
def command(path, out, preset, config_file, overwrite, as_json, quiet, **settings):
    """Write the weight map of LABELS as a float32 TIFF.

    LABELS is a TIFF or PNG file of masks (0 and 255, or 0 and 1), whose 4-connected components are
    the cells, of numbered cells, or of class ids; or the folder of a data set, of which the slices
    are written that would be trained on. Class weights are counted over all of them. Settings are
    those of `cunet train`; without --preset, --config or --weight-map a file is weighed as in the
    paper.

    \b
    Examples:
      cunet weights isbi2012/train-labels.tif -o weights.tif
      cunet weights my-images/ -o weights.tif --preset cpu
    """
    from cunet.data.load import data_of
    from cunet.errors import CunetError
    from cunet.training.resolve import settings_of
    from cunet.training.weight_files import write_weights

    if out.suffix.lower() not in (".tif", ".tiff"):
        raise CunetError(f"'{out}': weights are written as TIFF; name a file that ends in .tif")
    if os.path.realpath(out) == os.path.realpath(path):  # of a loop of links, too
        raise CunetError(f"'{out}' is the label file itself; name another output")
    common.refuse_existing(out, overwrite)
    source, config, given = settings_of(None, preset, config_file, **settings)
    if not path.is_dir() and preset is None and config_file is None:
        source, config, given = settings_of(None, "paper", **settings)
    with common.claimed(out, overwrite):
        found, notes = write_weights(path, out, config, given)
    common.notes([f"{path}: {note}" for note in notes], quiet)
    if as_json:
        common.print_json(found)
    kind = "masks, cells are 4-connected components" if found["masks"] else "cell ids"
    said = f"{plural(found['pages'], 'page')} of {kind}; {plural(sum(found['cells']), 'cell')}"
    common.say(f"{path}: {said}", quiet)
    if balance := found["class_weights"]:
        named = zip(found["classes"], balance, strict=True)
        common.say(f"class weights: {', '.join(f'{n} {w:.4g}' for n, w in named)}", quiet)
    common.say(f"{out}: {source}, weight map {found['form']}: {found['minimum']:.4g} to "
               f"{found['maximum']:.4g}", quiet)  # fmt: skip
    folder = path if path.is_dir() else data_of(path)
    train = ["train", "--data", str(folder), "--weight-map", found["form"]]
    train += [w for n in ("labels", "dataset") if settings[n] for w in (f"--{n}", settings[n])]
    common.next_command(train if folder else common.LAST, quiet)
