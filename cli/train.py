"""`cunet train`: learn from a folder of images and labels."""

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from cunet.cli import common
from cunet.cli.train_options import parse_steps, settings_options

WITH_RESUME = {"steps", "minutes", "threads", "device"}


@click.command()
@settings_options()
@click.option("--resume", type=str, help="Continue this run folder.")
@click.option(
    "--stop-after", type=click.IntRange(1), help="Save and stop after this step (exit 130)."
)
@click.option("-n", "--dry-run", is_flag=True, help="Check everything, train nothing.")
@common.quiet_option
@common.json_option
def command(
    data, preset, config_file, step_values, resume, stop_after, dry_run, quiet, as_json, **given
):
    """Train a U-Net on a folder of images and labels.

    DATA is the ISBI 2012 folder (train-volume.tif, train-labels.tif); one of the Cell Tracking
    Challenge (01/t000.tif, 01_GT/SEG/man_seg000.tif), or one sequence of it; that of the Data
    Science Bowl 2018 (<id>/images, <id>/masks); or any with images/ and labels/. Labels may be
    0/1, 0/255 or class ids 0 ... K-1 (255 beside them: ignored).

    \b
    Examples:
      cunet train --data isbi2012/ --dry-run
      cunet train --data isbi2012/ --fold 0/5
      cunet train --data isbi2012/ --minutes 60 --width 32
      cunet train --data DIC-C2DH-HeLa/ --hold-out 02 --weight-map paper
      cunet train --data stage1_train/ --train-share 0.8 --preset ucsd
      cunet train --resume runs/isbi2012-1
    """
    from cunet.errors import CunetError

    options = {name: value for name, value in given.items() if value is not None}
    if step_values is not None:
        options["step_values"] = parse_steps(step_values)
    if {"steps", "minutes"} <= set(options):
        raise click.UsageError("--steps and --minutes: give one of them")
    if resume is not None:
        start = resumed(resume, data, preset, config_file, options)
    else:
        start = fresh(data, preset, config_file, options)
    done = start[-1]
    if stop_after is not None and stop_after <= done:
        raise CunetError(f"--stop-after {stop_after}: run '{resume}' has done {done} steps already")
    config, prepared, summary = announce(*start, quiet)
    if not dry_run:
        return run(config, prepared, done, resume is not None, stop_after, quiet, as_json)
    if as_json:
        common.print_json(summary)
    again = [part for part in sys.argv[1:] if part not in ("-n", "--dry-run", "--json")]
    common.next_command(shlex.join(["cunet", *again]), quiet)
    return 0


def fresh(data, preset, config_file, options: dict[str, Any]) -> tuple:
    """A new run: the preset and why, its settings, the checked data, the steps done."""
    from cunet.backend import cuda_problem, resolve_device
    from cunet.training import config as configs
    from cunet.training.prepared import prepare
    from cunet.training.run_folder import RunFolder

    if data is not None:
        options["data"] = str(Path(data).resolve())  # so that --resume works from anywhere
    asked = options.get("device", "auto")
    on_cpu = resolve_device(asked) == "cpu"
    title = f"preset {preset}"
    if preset is None:
        preset = "cpu" if on_cpu else "paper"
        title = f"preset {preset} (" + ("on the CPU" if on_cpu else "on a GPU") + ")"
    if config_file is not None:
        title += f", {config_file}"
    if asked == "auto" and on_cpu and "cupy" in sys.modules:
        title += f", {cuda_problem()}: running on the CPU"
    config = configs.make(preset, config_file, options)
    if not config.data:
        raise click.UsageError("Missing option '--data': the folder with the data set.")
    if config.out is not None:
        RunFolder.refuse_existing(config.out)
    return title, config, prepare(config), 0


def resumed(resume, data, preset, config_file, options: dict[str, Any]) -> tuple:
    """A run that goes on: what it is, its settings, the checked data, the steps done."""
    from dataclasses import replace

    from cunet.backend import resolve_device
    from cunet.engines import TENSOR_CORES
    from cunet.errors import CunetError
    from cunet.training import config as configs
    from cunet.training.loop import obstacle_to
    from cunet.training.prepared import prepare
    from cunet.training.run_folder import read_settings

    given = {"data": data, "preset": preset, "config": config_file} | options
    named = [name for name, value in given.items() if value is not None and name not in WITH_RESUME]
    if named:
        raise CunetError(
            f"--resume continues a run with its own settings; beside it only --steps, --minutes, "
            f"--threads, --device and --stop-after may be given, found "
            f"--{named[0].replace('_', '-')}"
        )
    config = configs.make(None, None, read_settings(resume) | options | {"out": resume})
    prepared = prepare(config)
    config = replace(config, device=resolve_device(config.device))
    if config.precision in TENSOR_CORES and obstacle_to(config, prepared) is not None:
        config = replace(config, precision=None)  # what began on tensor cores goes on without
    title = f"continuing {resume}"
    if {"steps", "minutes"} & set(options):
        title += " with another length: the learning rate follows the new one"
    return title, config, prepared, last_step(resume)


def announce(title: str, config, prepared, done: int, quiet: bool) -> tuple:
    """Measure the speed here, and say what will happen and how long it takes.

    Answers the settings with device and steps resolved, the data, and the same as a dictionary.
    """
    from dataclasses import replace

    from cunet.backend import resolve_device
    from cunet.engines import TENSOR_CORES, describe, resolve_precision
    from cunet.net.figure1 import memory_bytes
    from cunet.segmentation.tiling import whole_tile
    from cunet.threads import get_threads, set_threads
    from cunet.training.loop import measure_speed, obstacle_to
    from cunet.training.run_folder import next_name

    if config.threads is not None:
        set_threads(config.threads)
    config = replace(config, device=resolve_device(config.device))
    against = obstacle_to(config, prepared)
    config = replace(config, precision=resolve_precision(config.precision, config.dtype, against))
    seconds = measure_speed(config, prepared)
    if config.minutes is not None:
        steps = done + max(1, round(config.minutes * 60 / seconds))
        config = replace(config, steps=steps, minutes=None)
    if config.out is None:
        config = replace(config, out=str(next_name("runs", Path(config.data).resolve().name)))
    dataset, left = prepared.dataset, max(0, config.steps - done)
    image_channels, classes = dataset.images[0].shape[2], len(dataset.class_names)
    more = (classes, image_channels, config.variant, config.batch, config.solver, config.precision,
            config.padding, config.batch_norm)  # fmt: skip
    memory = memory_bytes(config.width, config.depth, config.tile, *more)["training"]
    if prepared.held_out:  # validation segments whole slices
        tile = whole_tile(dataset.images[prepared.held_out[0]].shape, config.depth, config.padding)
        whole = memory_bytes(config.width, config.depth, tile, *more)["inference"]
        memory = max(memory, whole)
    if config.device == "cpu":  # the images lie there as well
        samples = prepared.samples
        lists = (dataset.images, dataset.labels, dataset.instances or [], samples.images,
                 samples.labels, samples.weights)  # fmt: skip
        arrays = {id(array): array.nbytes for arrays in lists for array in arrays}
        memory += sum(arrays.values())
    device = describe(config.device, config.precision)
    if config.device == "cpu":
        device = f"{get_threads()} CPU threads"
    common.say(
        f"{title}: {left:,} steps at {seconds:.2f} s on {device}, about "
        f"{common.duration(left * seconds)}",
        quiet,
    )
    if config.device != "cpu" and config.precision not in TENSOR_CORES:
        common.say(f"  without tensor cores: {against or 'as asked'}", quiet)
    for note in dataset.notes:
        common.say(f"  {note}", quiet)
    if dataset.instances is not None and config.weight_map in ("balance", "none"):
        common.say("  cells that touch are learned apart with --weight-map paper", quiet)
    common.say(
        f"  {len(prepared.training)} slices to train on, {len(prepared.held_out)} held out; width "
        f"{config.width}, tile {config.tile}, {config.solver}; memory about {common.size(memory)}"
        f"  ->  {config.out}",
        quiet,
    )
    return (
        config,
        prepared,
        {
            "dataset": dataset.name,
            "kind": dataset.kind,
            "classes": list(dataset.class_names),
            "training_slices": len(prepared.training),
            "held_out_slices": len(prepared.held_out),
            "held_out": [dataset.slice_names[i] for i in prepared.held_out],
            "device": config.device,
            "precision": config.precision,
            "steps": config.steps,
            "seconds_per_step": seconds,
            "expected_seconds": left * seconds,
            "memory_bytes": memory,
        },
    )


def run(config, prepared, done: int, resume: bool, stop_after, quiet: bool, as_json: bool) -> int:
    """Train the steps after `done`, print, report; the exit code."""
    from cunet.training.loop import train

    progress = common.Progress(config.steps, done, quiet)
    records = train(config, prepared, resume)
    stopped = step = False
    smooth = Smooth()
    final = None
    with common.stop_on_signals() as asked:
        for record in records:
            step, loss = record["step"], record["loss"]
            progress.update(step, f"loss {smooth(loss):.4f}  lr {record['lr']:.2e}")
            if "val_pixel_error" in record:
                final = record
                progress.line(validation_line(record))
                warn_one_class(record, prepared, progress)
            if step < config.steps and (asked() or step == stop_after):
                stopped = True
                records.close()
                break
    progress.close()
    if stopped:
        common.say(f"stopped after step {step}; everything is saved", quiet)
        common.next_command(f"cunet train --resume {shlex.quote(config.out)}", quiet)
        if as_json:
            common.print_json({"run": config.out, "step": step, "finished": False})
        return 130
    finish(config, quiet)
    if as_json:
        document = {"run": config.out, "step": config.steps, "finished": True}
        common.print_json(
            document | {k: v for k, v in (final or {}).items() if k.startswith("val_")}
        )
    after = common.segment_command(config.data, config.out, config.hold_out)
    common.next_command(after, quiet)
    return 0


class Smooth:
    """A running mean: of all values at first, then with a memory of about 50."""

    def __init__(self) -> None:
        self.count, self.mean = 0, 0.0

    def __call__(self, value: float) -> float:
        self.count = min(50, self.count + 1)
        self.mean += (value - self.mean) / self.count
        return self.mean


def last_step(out: str) -> int:
    from cunet.net.checkpoint import read_header

    return read_header(Path(out) / "last.npz")["progress"]["step"]


def validation_line(record: dict) -> str:
    return (
        f"step {record['step']:>6}  held-out slices: loss {record['val_loss']:.4f}  "
        f"Dice {record['val_dice']:.4f}  pixel error {record['val_pixel_error']:.4f}"
    )


def warn_one_class(record: dict, prepared, progress) -> None:
    lone = record.get("val_one_class")
    if lone is None:
        return
    names = prepared.dataset.class_names
    name = f"'{names[lone]}'" if lone == 0 or len(names) == 2 else f"no '{names[0]}'"
    progress.line(
        f"warning: the net predicts {name} everywhere on the held-out slices; early in a training "
        "that is usual, later try --weight-map balance or a smaller --lr"
    )


def finish(config, quiet: bool) -> None:
    """The report of a finished run."""
    from cunet.reporting import write_report

    path = write_report(config.out)
    common.say(f"report: {path}", quiet)
