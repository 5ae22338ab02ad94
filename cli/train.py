"""`cunet train`: learn from a folder of images and labels."""

from typing import TYPE_CHECKING

import click

from cunet.cli import common
from cunet.cli.train_options import Command, settings_options
from cunet.cli.train_output import announce, one_class_warning, validation_line
from cunet.terminal import plural
from cunet.training.progress_line import Smooth

if TYPE_CHECKING:
    from cunet.training.plan import Plan


@click.command(cls=Command)
@settings_options()
@click.option("--resume", type=common.PATH, help="Continue this run folder.")
@click.option(
    "--stop-after", type=click.IntRange(1), help="Save and stop after this step (exit 130)."
)
@click.option("-n", "--dry-run", is_flag=True, help="Check everything, train nothing.")
@common.quiet_option
@common.json_option
def command(data, preset, config_file, resume, stop_after, dry_run, quiet, as_json, **settings):
    """Train a U-Net on a folder of images and labels.

    DATA is any folder with images/ and labels/ (or masks/), or with a.tif and a_mask.tif side by
    side, or that of nnU-Net, ISBI 2012, the Data Science Bowl 2018 or the Cell Tracking Challenge
    (or one sequence of it), or an OME-Zarr with a label image. Labels are 0 and 1, 0 and 255,
    numbered objects, or class ids 0 ... K-1, where 255 is ignored.

    \b
    Examples:
      cunet train --data isbi2012/ --dry-run
      cunet train --data isbi2012/ --fold 0/5
      cunet train --data isbi2012/ --minutes 60 --width 32
      cunet train --data DIC-C2DH-HeLa/ --hold-out 02 --weight-map paper
      cunet train --data stage1_train/ --train-share 0.8 --preset ucsd
      cunet train --data mine/ --from em
      cunet train --resume runs/isbi2012-1
    """
    from cunet.errors import CunetError
    from cunet.training import plan as plans

    with common.busy("reading and checking the data", quiet):
        start = plans.start(data, preset, config_file, resume, **settings)
    if stop_after is not None and stop_after <= start.done:
        raise CunetError(
            f"--stop-after {stop_after}: '{resume}' has done {plural(start.done, 'step')} already"
        )
    with common.busy("measuring the speed of a training step", quiet):
        plan = plans.measure(start)
    if not dry_run:
        plan = plan.claimed()
    announce(plan, quiet)
    if not dry_run:
        return run(plan, stop_after, quiet, as_json)
    if as_json:
        common.print_json(plan.summary())
    common.next_in_earnest(quiet)
    return 0


def run(plan: "Plan", stop_after: int | None, quiet: bool, as_json: bool) -> int:
    """Train, print, write the report; returns the exit code."""
    from cunet.segmentation.next_command import segment_command

    config, names, smooth = plan.config, plan.prepared.dataset.class_names, Smooth()
    out = str(config.out)

    def say(record: dict) -> list[str]:
        lines = [f"loss {smooth(record['loss']):.4f}  lr {record['lr']:.2e}"]
        if "val_pixel_error" in record:
            lines += [validation_line(record), *one_class_warning(record, names)]
        return lines

    records = plan.train()
    last = common.train_loop(records, config, say, plan.done, stop_after, quiet) or {}
    step = last.get("step", plan.done)
    finished = step == config.steps
    if finished:
        common.say(f"report: {common.report(out, quiet)}", quiet)
    else:
        common.say(f"stopped after step {step}; everything is saved", quiet)
    if as_json:
        document = {"run": out, "step": step, "finished": finished}
        if finished:
            document |= {name: value for name, value in last.items() if name.startswith("val_")}
        common.print_json(document)
    if not finished:
        common.next_command(["train", "--resume", out], quiet)
        return 130
    common.next_command(
        segment_command(config.data, out, config.hold_out, plan.prepared.held_out), quiet
    )
    return 0
