"""`cunet demo`: no data, no GPU - train a small net on a synthetic stack and look at the result."""

import shlex
import time
from pathlib import Path

import click

from cunet.cli import common


@click.command()
@click.option("--out", default="demo", show_default=True, help="Folder to write to.")
@click.option("--steps", type=click.IntRange(1), help="Updates (1200, about a minute).")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True)
@common.threads_option
@common.overwrite_option
@common.quiet_option
@common.json_option
def command(out, steps, seed, threads, overwrite, quiet, as_json):
    """Make a synthetic membrane stack, train on it, segment, score, and write a report.

    \b
    Example:
      cunet demo
    """
    import shutil

    from cunet.data.labels import cells
    from cunet.data.synthetic import write_stack
    from cunet.metrics.pixel import baselines
    from cunet.reporting import write_report
    from cunet.threads import set_threads
    from cunet.training import config as configs
    from cunet.training.prepared import prepare

    start = time.perf_counter()
    folder, run = Path(out), Path(out) / "run"
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        common.refuse_existing(folder, overwrite)
    shutil.rmtree(run, ignore_errors=True)
    if threads is not None:
        set_threads(threads)
    common.say("1. a synthetic stack of electron microscopy sections", quiet)
    write_stack(folder / "data", seed)
    settings = SETTINGS | {"data": str(folder / "data"), "out": str(run), "seed": seed}
    config = configs.make("cpu", None, settings | ({"steps": steps} if steps else {}))
    prepared = prepare(config)
    common.say(
        f"   {len(prepared.training)} slices to train on, {len(prepared.held_out)} held out "
        f"-> {folder / 'data'}",
        quiet,
    )
    common.say(f"2. a U-Net of width {config.width} and depth {config.depth} learns", quiet)
    final = learn(config, prepared, quiet)
    if final is None:
        common.next_command(f"cunet train --resume {shlex.quote(str(run))}", quiet)
        return 130
    dataset, held_out = prepared.dataset, prepared.held_out
    common.say("3. it segments the held-out slices", quiet)
    made = segment_held_out(folder, run, held_out, quiet)
    scores = {"U-Net": final["val_pixel_error"]} | baselines(
        [dataset.images[i] for i in held_out], [cells(dataset.labels[i]) for i in held_out]
    )
    common.say("4. pixel error on the held-out slices (1 - best F-score of the white class)", quiet)
    for name, score in scores.items():
        common.say(f"   {name:<14} {score:.4f}", quiet)
    better = min(score for name, score in scores.items() if name != "U-Net") / scores["U-Net"]
    seconds = time.perf_counter() - start
    verdict = f"{better:.1f} times better" if better > 1 else "no better"
    common.say(f"   the U-Net is {verdict} than the better baseline", quiet)
    report = write_report(run)
    common.say(f"5. report: {report}  ({common.duration(seconds)} in all)", quiet)
    if as_json:
        files = {name: [str(path) for path in paths] for name, paths in made.items()}
        document = {"pixel_error": scores, "report": str(report), "outputs": files}
        common.print_json(document | {"seconds": round(seconds, 1)})
    common.next_command(common.segment_command(config.data, str(run)), quiet)
    return 0


def learn(config, prepared, quiet: bool) -> dict | None:
    """Train with a progress bar; the last validation, or None where it was stopped."""
    from cunet.training.loop import train

    progress, final = common.Progress(config.steps, 0, quiet, every=15), {}
    with common.stop_on_signals() as asked:
        records = train(config, prepared)
        for record in records:
            text = f"loss {record['loss']:.3f}"
            if "val_pixel_error" in record:
                final = record
            if final:
                text += f"  held-out pixel error {final['val_pixel_error']:.4f}"
            progress.update(record["step"], text)
            if asked() and record["step"] < config.steps:
                records.close()
                final = None
                break
    progress.close()
    return final


def segment_held_out(
    folder: Path, run: Path, pages: list[int], quiet: bool
) -> dict[str, list[Path]]:
    """Probability, mask and overlay of the held-out slices."""
    from cunet.files import open_image
    from cunet.net.checkpoint import load
    from cunet.net.sizes import tile_for_output
    from cunet.segmentation.products import How, outputs
    from cunet.segmentation.segment_file import segment_file

    net = load(run / "last.npz")
    targets = {name: folder / f"held_out_{name}.tif" for name in ("prob", "mask")}
    targets["overlay"] = folder / "held_out_overlay.png"
    with open_image(folder / "data" / "train-volume.tif") as image:
        segment_file(image, net, targets, How(tile=tile_for_output(256, net.depth)), pages)
    made = {product: outputs(product, path, pages) for product, path in targets.items()}
    common.say(
        f"   -> {folder}: " + ", ".join(p.name for paths in made.values() for p in paths), quiet
    )
    return made


SETTINGS = {
    "width": 8,
    "depth": 3,
    "tile": 188,
    "steps": 1200,
    "lr": 3e-3,
    "fold": "0/4",
    "validate_every": 200,
    "device": "cpu",
}
