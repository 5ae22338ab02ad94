"""What concatenation buys: the U-Net beside its twin whose skips are added, as in FCN.

Fully convolutional networks (Long, Shelhamer and Darrell 2015) add the up-sampled image and the
skip (class scores there, all channels here); the U-Net puts their channels side by side. A
convolution of a concatenation whose filters for both halves are equal is the convolution of the
sum. So the sum is a special case with fewer filters, and the comparison measures the freedom and
the larger number of parameters together.

Letters: images (N, H, W, C); a level's up-convolution and its skip have C channels each.
"""

import argparse
import math
import sys
import time
from contextlib import closing
from dataclasses import replace

import numpy as np

from cunet import Config, CunetError, UNet, set_threads
from cunet.backend import Array, array_module
from cunet.data.labels import IGNORE
from cunet.errors import NumericError
from cunet.net.layers import Conv, Maker
from cunet.net.run import Run
from cunet.training.config import make
from cunet.training.loop import make_net
from cunet.training.passes import DROPOUT_STREAM
from cunet.training.prepared import Prepared, prepare
from cunet.training.validation import validate

EXAMPLES = """examples:
  python examples/paper/skip_by_sum.py --data isbi2012/ --steps 1000
  python examples/paper/skip_by_sum.py --data isbi2012/ --fold 1/5 --steps 4000 --seed 0 1 2
"""
SUM_STREAM = 4  # the purpose that separates these random numbers from all others of a seed


class SumConv(Conv):
    """A convolution of the sum of up-sampled image and skip."""

    def __call__(self, pair: tuple[Array, Array], run: Run | None = None) -> tuple:
        up, skip = pair
        y, back = super().__call__(up + skip, run)

        def backward(dy: Array, input_gradient: bool = True) -> Array:
            # both summands get the gradient; side by side, since the U-Net will split it
            dboth = back(dy, input_gradient)
            return array_module(dboth).concatenate((dboth, dboth), axis=3)

        return y, backward


class SumUNet(UNet):
    """A U-Net that adds the centre of the skip to the up-sampled image.

    All weights except those of the first expanding convolutions equal those of UNet with this seed.
    """

    def __init__(self, *arguments, **named):
        # the kernels for tensor cores can only concatenate
        super().__init__(*arguments, **{"precision": named.get("dtype", "float32")} | named)
        if self.shape.variant != "paper":
            raise CunetError(
                "skips by sum: up-convolution and skip need equal channels, unlike those of "
                f"variant '{self.shape.variant}'; use 'paper'"
            )
        make = Maker(self.seed, self.dtype, self.device, self.engine)
        make.rng = np.random.default_rng([self.seed, SUM_STREAM])
        for i, level in enumerate(self.levels[:-1]):
            old, second = level.expand
            channels = old.w.value.shape[3]
            first = SumConv(old.name, 3, channels, channels, make)
            self.levels[i] = level._replace(expand=[first, second])


def twins(config: Config, prepared: Prepared) -> dict[str, UNet]:
    """Both untrained networks for these settings, which start with the same weights."""
    net = make_net(replace(config, precision=config.dtype), prepared)
    twin = SumUNet(**net.settings(), device=net.device)
    twin.normalization = prepared.normalization
    return {"concatenation": net, "sum": twin}


def train(name: str, net: UNet, config: Config, prepared: Prepared) -> dict:
    """The steps of cunet.train for a given net; returns its scores on the held-out slices.

    The samples, the dropout keys and their order are those of `cunet train` with these settings.
    """
    work = net.engine.step(net, config.make_solver(net.parameters()), config.normalize, IGNORE)
    losses, start = [], time.perf_counter()
    with closing(prepared.samples.stream(0, config.steps * config.iter_size)) as stream:
        for step in range(1, config.steps + 1):
            rng, loss = np.random.default_rng([config.seed, DROPOUT_STREAM, step]), 0.0
            for _ in range(config.iter_size):
                batch, _ = next(stream)
                loss += work.accumulate(batch, rng) / config.iter_size
            if not math.isfinite(loss):
                raise NumericError(f"{name}: loss is {loss} at step {step}; lower --lr")
            work.update()
            losses.append(loss)
            every = max(1, config.steps // 10)
            if step == config.steps or step % every == 0:
                seconds, recent = time.perf_counter() - start, np.mean(losses[-every:])
                print(f"{name:14} step {step:6}   {seconds:7.1f} s   mean loss {recent:.4f}")
    scores = validate(net, prepared)
    return scores | {"seconds": time.perf_counter() - start, "loss": float(np.mean(losses[-20:]))}


def compare(config: Config) -> dict[str, dict]:
    """Train both nets with these settings; prints and returns their scores."""
    prepared = prepare(config)
    found = {}
    for name, net in twins(config, prepared).items():
        found[name] = train(name, net, config, prepared)
        found[name]["parameters"] = sum(p.value.size for p in net.parameters())
    print(f"\nfold {config.fold}, seed {config.seed}, {config.steps} steps, width {config.width}")
    print(f"{'skips by':14} parameters   pixel error       Dice   val. loss   seconds")
    for name, scores in found.items():
        print(
            f"{name:14}{scores['parameters']:11,}{scores['val_pixel_error']:14.4f}"
            f"{scores['val_dice']:11.4f}{scores['val_loss']:12.4f}{scores['seconds']:10.1f}"
        )
    return found


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__.partition("\n")[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--data", required=True, help="folder with the data set")
    parser.add_argument("--fold", default="0/5", help="k/n: hold out slices k, k + n ... (0/5)")
    parser.add_argument("--steps", type=int, default=1000, help="updates of each net (1000)")
    parser.add_argument("--width", type=int, default=16, help="channels of the first level (16)")
    parser.add_argument("--depth", type=int, default=4, help="poolings (4)")
    parser.add_argument("--tile", type=int, default=412, help="side of the training tiles (412)")
    parser.add_argument("--lr", type=float, default=1e-3, help="Adam's rate at the start (1e-3)")
    parser.add_argument("--seed", type=int, nargs="+", default=[0], help="a pair of nets each (0)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all)")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:1 (cpu)")
    given = vars(parser.parse_args(arguments))
    seeds, threads = given.pop("seed"), given.pop("threads")
    try:
        if threads is not None:
            set_threads(threads)
        pairs = [compare(make("cpu", None, given | {"seed": seed})) for seed in seeds]
    except CunetError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    gains = [p["sum"]["val_pixel_error"] - p["concatenation"]["val_pixel_error"] for p in pairs]
    listed = ", ".join(f"{gain:+.4f}" for gain in gains)
    print(f"\nPixel error of the sum less that of concatenation: {listed}")
    if len(gains) == 1:
        print("One seed says little about so small a difference: give --seed 0 1 2 ...")
    return 0


if __name__ == "__main__":
    sys.exit(main())
