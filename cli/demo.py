"""`cunet demo`: without data or GPU, train a small net on a synthetic stack and show the result."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cunet.cli import common
from cunet.cli.words import duration
from cunet.terminal import shell_line

if TYPE_CHECKING:
    from cunet.training.demo import Demo


@click.command()
@click.option("--out", default="demo", show_default=True, help="Folder to write to.")
@click.option("--steps", type=click.IntRange(1), help="Updates (1200, about a minute).")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True,
              help="All random numbers follow from it.")  # fmt: skip
@common.threads_option
@common.overwrite_option
@common.quiet_option
@common.json_option
def command(out, steps, seed, overwrite, quiet, as_json):
    """Make a synthetic membrane stack, train on it, segment, score, and write a report.

    \b
    Example:
      cunet demo
    """
    from cunet.files.listing import visible
    from cunet.files.lock import held

    folder = Path(out)
    if folder.exists() and (not folder.is_dir() or visible(folder.iterdir())):
        common.refuse_existing(folder, overwrite)
    folder.mkdir(parents=True, exist_ok=True)
    with held(folder / ".lock", folder, "folder"):
        return show(folder, steps, seed, quiet, as_json)


def show(folder: Path, steps: int | None, seed: int, quiet: bool, as_json: bool) -> int:
    """The demonstration, from the stack to the report; returns the exit code."""
    from cunet.training.demo import begin

    start, run = time.perf_counter(), folder / "run"
    common.say("1. a synthetic stack of electron microscopy sections", quiet)
    demo = begin(folder, steps, seed)
    config, prepared = demo.config, demo.prepared
    common.say(
        f"   {len(prepared.training)} slices to train on, {len(prepared.held_out)} held out "
        f"-> {folder / 'data'}",
        quiet,
    )
    common.say(f"2. a U-Net of width {config.width} and depth {config.depth} learns", quiet)
    final = learn(demo, quiet)
    if final.get("step", 0) < config.steps:
        common.next_command(shell_line(["cunet", "train", "--resume", run]), quiet)
        return 130
    common.say("3. it segments the held-out slices", quiet)
    with common.busy("segmenting", quiet):
        made = demo.segment()
    names = [path.name for paths in made.values() for path in paths]
    common.say(f"   -> {folder}: " + ", ".join(names), quiet)
    common.say("4. pixel error on the held-out slices (1 - best F-score of the white class)", quiet)
    scores = demo.scores(final["val_pixel_error"])
    for name, score in scores.items():
        common.say(f"   {name:<14} {score:.4f}", quiet)
    better = min(score for name, score in scores.items() if name != "U-Net") / scores["U-Net"]
    verdict = f"{better:.1f} times better" if better > 1 else "no better"
    common.say(f"   the U-Net is {verdict} than the better baseline", quiet)
    report = common.report(run, quiet)
    seconds = time.perf_counter() - start
    common.say(f"5. report: {report}  ({duration(seconds)} in all)", quiet)
    if as_json:
        files = {name: [str(path) for path in paths] for name, paths in made.items()}
        document = {"pixel_error": scores, "report": str(report), "outputs": files}
        common.print_json(document | {"seconds": round(seconds, 1)})
    common.next_command(common.segment_command(config.data, str(run)), quiet)
    return 0


def learn(demo: "Demo", quiet: bool) -> dict[str, Any]:
    """Train behind a progress bar; returns the last record."""
    held_out = ""

    def say(record: dict) -> list[str]:
        nonlocal held_out
        if "val_pixel_error" in record:
            held_out = f"  held-out pixel error {record['val_pixel_error']:.4f}"
        return [f"loss {record['loss']:.3f}{held_out}"]

    return common.train_loop(demo.train(), demo.config, say, quiet=quiet, every=15) or {}
