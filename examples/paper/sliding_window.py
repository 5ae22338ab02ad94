"""Patch by patch: the sliding-window network that the U-Net replaced, timed, trained and scored.

The paper has two objections to it (section 1): it is slow, since every patch is computed by itself
and patches overlap; and a patch either localises or sees context. `time` measures the first beside
the U-Net; `train` and `score` show how good it gets. The network is in sliding_window_net.py, its
training in sliding_window_training.py.

Letters: patches (N, 95, 95, C), images (H, W, C), labels (H, W): 0 background, 1 cell.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from sliding_window_net import (
    LATTICE,
    PATCH,
    SlidingWindow,
    image_probabilities,
    patch_probabilities,
    rows,
    windows,
)
from sliding_window_training import Patches, fitting_steps, keep, kept, training

from cunet import Config, UNet, segment
from cunet.data.labels import IGNORE, cells
from cunet.data.load import load
from cunet.data.synthetic import membranes
from cunet.errors import CheckError, CunetError
from cunet.files.tiff_output import TiffOutput
from cunet.metrics.pixel import PixelCounts
from cunet.net import figure1
from cunet.net.normalization import Normalization
from cunet.net.shape import Shape
from cunet.net.tiles import tile_for_output
from cunet.terminal import plural
from cunet.threads import get_threads, set_threads
from cunet.training.prepared import Prepared, prepare

EXAMPLES = """examples:
  python examples/paper/sliding_window.py time --threads 1
  python examples/paper/sliding_window.py train --data isbi2012/ --minutes 10 --out n4.npz
  python examples/paper/sliding_window.py score --data isbi2012/ --model n4.npz --out n4-prob/
"""
CHECKED_PIXELS = 8  # of each slice, whose patches are computed by themselves too
CHECK_STREAM = 3  # the purpose that separates these random numbers from all others of a seed
MAX_DIFFERENCE = 1e-4  # of two float32 probabilities that should be equal


def command_time(args: argparse.Namespace) -> None:
    """A slice patch by patch, by fragments, and by U-Nets."""
    image = load(args.data).images[0] if args.data else membranes(1, 512, 512, args.seed)[0][0]
    side = min(image.shape[:2])
    image = image[:side, :side].reshape(side, side, -1)
    normalization = Normalization.of([image])
    net = SlidingWindow(in_channels=image.shape[2], seed=args.seed, device=args.device)
    x = normalization.apply(image)
    view, count = windows(x), min(args.patches, side * side)

    def by_patches(count: int) -> None:
        for first in range(0, count, args.batch):
            pixels = np.divmod(np.arange(first, min(count, first + args.batch)), side)
            patch_probabilities(net, view[pixels])

    by_patches(args.batch)  # the first call of each net allocates its memory
    seconds = measured(lambda: by_patches(count))
    work = sum(row.flops for row in rows(net))
    print(
        f"A slice of {side}x{side} pixels, {plural(get_threads(), 'thread')}, device {net.device}\n"
    )
    print(f"{'':42}{'seconds':>10}{'GFLOP':>12}{'GFLOP/s':>9}")
    line(f"sliding window, {count:,} patches", seconds, count * work)
    whole, all_work = seconds * side**2 / count, work * side**2
    line(f"  extrapolated to all {side**2:,}", whole, all_work)

    image_probabilities(net, x, side)
    seconds = measured(lambda: image_probabilities(net, x, side))
    dense = sum(row.flops for row in rows(net, -(-side // LATTICE) * LATTICE + PATCH - 1))
    line("  all, by max-pooling fragments", seconds, dense)
    compared, tile = [], tile_for_output(side, 4)
    for width in args.width:
        unet = UNet(width, in_channels=image.shape[2], seed=args.seed, device=args.device)
        unet.normalization = normalization
        segment(image, unet, tile)
        seconds = measured(lambda unet=unet: segment(image, unet, tile))
        flops = sum(row.flops for row in figure1.rows(Shape(width, in_channels=x.shape[2]), tile))
        line(f"U-Net of width {width}, one tile of {tile}", seconds, flops)
        compared.append((width, whole / seconds, all_work / flops))
    print(f"\nA patch is {work / 1e6:.0f} MFLOP, a slice of them {all_work / 1e12:.1f} TFLOP.")
    print(f"Only {count:,} patches were computed; the time of all is an extrapolation.")
    for width, longer, more in compared:
        print(f"The U-Net of width {width} takes 1/{longer:,.0f} of that time", end="")
        print(f" and 1/{more:,.0f} of the operations.")


def line(name: str, seconds: float, flops: float) -> None:
    """One line of the table."""
    print(f"{name:42}{seconds:10,.2f}{flops / 1e9:12,.1f}{flops / 1e9 / seconds:9.1f}")


def measured(work: Callable[[], None]) -> float:
    """Seconds that a call takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def command_train(args: argparse.Namespace) -> None:
    """Train on the slices outside a fold, and keep the net."""
    outside(args.out, args.data)
    if args.out.exists():
        raise CunetError(f"--out '{args.out}' exists; choose another name or remove it")
    args.out.parent.mkdir(parents=True, exist_ok=True)  # not after the training
    prepared = prepare_data(args.data, args.fold, args.seed)
    samples = prepared.samples
    patches = Patches(samples.images, samples.labels, args.seed)
    shape = {"in_channels": samples.images[0].shape[2], "seed": args.seed, "device": args.device}
    steps = args.steps
    if args.minutes is not None:
        steps = fitting_steps(args.minutes, SlidingWindow(**shape), patches, args.batch)
        print(f"{args.minutes:g} minutes are {steps} steps here; the same again: --steps {steps}")
    net = SlidingWindow(**shape)
    net.normalization = prepared.normalization
    count = sum(p.value.size for p in net.parameters())
    print(f"{count:,} parameters, {len(samples.images)} slices, {steps} steps of {args.batch}")
    losses, start = [], time.perf_counter()
    for step, loss in enumerate(training(net, patches, steps, args.batch, args.lr), 1):
        losses.append(loss)
        if step == steps or step % max(1, steps // 20) == 0:
            seconds, recent = time.perf_counter() - start, losses[-max(1, steps // 20) :]
            print(f"step {step:6}   {seconds:7.1f} s   mean loss {np.mean(recent):.4f}", flush=True)
    progress = {"fold": args.fold, "steps": steps, "batch": args.batch, "lr": args.lr}
    keep(args.out, net, progress)
    print(f"kept in {args.out}")


def command_score(args: argparse.Namespace) -> None:
    """Segment held-out slices densely, compare with single patches and with the truth."""
    outside(args.out, args.data)
    net, fold = kept(args.model, args.device)
    prepared = prepare_data(args.data, fold, net.seed)
    slices = prepared.held_out if args.slice is None else args.slice
    if not set(slices) <= set(prepared.held_out):
        raise CunetError(f"--slice: fold {fold} holds out {prepared.held_out}, asked for {slices}")
    args.out.mkdir(parents=True, exist_ok=True)
    total, white = PixelCounts(), PixelCounts()
    for i in slices:
        image, labels = prepared.dataset.images[i], prepared.dataset.labels[i]
        x, start = net.normalization.apply(image), time.perf_counter()
        probability = image_probabilities(net, x)[..., 1]
        seconds = time.perf_counter() - start
        difference = compare(net, x, probability, i)
        with TiffOutput(args.out / f"slice{i:02d}_prob.tif", 1, *labels.shape, np.float32) as file:
            file.write_rows(0, 0, probability)
        one, truth = PixelCounts(), (cells(labels), labels != IGNORE)
        for counts in (one, total):
            counts.add(probability, *truth)
        white.add(np.ones_like(probability), *truth)
        print(
            f"slice {i}: {scores(one)}, {seconds:.2f} s; single patches differ by {difference:.0e}"
        )
    print(f"together: {scores(total)}; all white would be {white.pixel_error():.4f}")


def compare(net: SlidingWindow, x: np.ndarray, probability: np.ndarray, number: int) -> float:
    """The largest difference to single patches at random pixels; CheckError if it is too large."""
    rng = np.random.default_rng([net.seed, CHECK_STREAM, number])
    pixels = tuple(rng.integers(0, side, CHECKED_PIXELS) for side in probability.shape)
    alone = patch_probabilities(net, windows(x)[pixels])[:, 1]
    difference = float(np.abs(alone - probability[pixels]).max())
    if not difference <= MAX_DIFFERENCE:
        raise CheckError(
            f"dense and single patches differ by {difference:.1e}, more than {MAX_DIFFERENCE}"
        )
    return difference


def scores(counts: PixelCounts) -> str:
    """The scores as text."""
    threshold = counts.best_threshold()
    return f"pixel error {counts.pixel_error():.4f} (at {threshold:.1f}), Dice {counts.dice():.4f}"


def prepare_data(data: Path, fold: str, seed: int) -> Prepared:
    """The data set, split and normalised, without weight maps."""
    return prepare(Config(data=str(data), fold=fold, seed=seed, weight_map="none", device="cpu"))


def outside(out: Path, data: Path) -> None:
    """CunetError where output would be written into the data folder."""
    if out.resolve().is_relative_to(data.resolve()):
        raise CunetError(f"--out '{out}' lies in the data folder; choose another place")


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    usual = argparse.ArgumentParser(add_help=False)
    usual.add_argument("--threads", type=int, help="CPU threads (default: all)")
    usual.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (cpu)")
    look = {"epilog": EXAMPLES, "formatter_class": argparse.RawDescriptionHelpFormatter}
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0], **look)
    commands = parser.add_subparsers(required=True, metavar="time | train | score")

    def command(name: str, run: Callable[[argparse.Namespace], None]) -> argparse.ArgumentParser:
        about = {"help": run.__doc__, "description": run.__doc__, "parents": [usual]}
        made = commands.add_parser(name, **about, **look)
        made.set_defaults(run=run)
        return made

    timing = command("time", command_time)
    timing.add_argument("--data", type=Path, help="folder; its first slice (a synthetic slice)")
    timing.add_argument("--patches", type=int, default=2000, help="how many (2000)")
    timing.add_argument("--batch", type=int, default=50, help="patches at a time (50)")
    timing.add_argument("--width", type=int, nargs="+", default=[64, 16], help="U-Nets (64 16)")
    timing.add_argument("--seed", type=int, default=0)
    learning = command("train", command_train)
    learning.add_argument("--data", type=Path, required=True, help="folder with the data set")
    learning.add_argument("--fold", default="0/5", help="k/n: hold out slices k, k + n ... (0/5)")
    length = learning.add_mutually_exclusive_group()
    length.add_argument("--steps", type=int, default=1000, help="updates (1000)")
    length.add_argument("--minutes", type=float, help="instead: as many as fit")
    learning.add_argument("--batch", type=int, default=50, help="patches a step (50)")
    learning.add_argument("--lr", type=float, default=1e-3, help="Adam's rate at the start (1e-3)")
    learning.add_argument("--seed", type=int, default=0)
    learning.add_argument("--out", type=Path, default=Path("sliding_window.npz"), help="model file")
    scoring = command("score", command_score)
    scoring.add_argument("--data", type=Path, required=True, help="folder with the data set")
    scoring.add_argument("--model", type=Path, required=True, help="what train wrote")
    scoring.add_argument("--slice", type=int, nargs="+", help="held-out slices (all of the fold)")
    scoring.add_argument("--out", type=Path, default=Path("sliding_window_prob"), help="folder")
    args = parser.parse_args(arguments)
    try:
        if args.threads is not None:
            set_threads(args.threads)
        args.run(args)
    except CunetError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
