"""How the sliding-window network is trained, and kept: balanced patches, Adam, a falling rate.

Letters: patches (N, 95, 95, C), images (H, W, C), labels (H, W): 0 background, 1 cell.
"""

import json
import math
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sliding_window_net import SlidingWindow, windows

from cunet import Adam, LearningRate, softmax_loss
from cunet.backend import to_device, to_host
from cunet.data.labels import IGNORE, cells
from cunet.data.samples import SAMPLE_STREAM
from cunet.errors import CunetError, DataError, NumericError
from cunet.files.atomic import write_npz
from cunet.net import checkpoint
from cunet.net.normalization import Normalization


class Patches:
    """Training patches, equally many of each class, turned and mirrored at random."""

    def __init__(self, images: list[np.ndarray], labels: list[np.ndarray], seed: int):
        self.views, self.seed = [windows(image) for image in images], seed
        # for each class, of each slice, the flat indices of its pixels
        self.where = [
            [np.flatnonzero((cells(y) == k) & (y != IGNORE)).astype(np.int32) for y in labels]
            for k in (False, True)
        ]
        self.ends = [np.cumsum([len(found) for found in where]) for where in self.where]
        if not all(ends[-1] for ends in self.ends):
            raise DataError("the training slices hold only one class; two are needed")

    def batch(self, step: int, size: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch number `step`, which follows from (seed, step): x and labels (N, 1, 1)."""
        if size < 2 or size % 2:
            raise CunetError(f"batch: expected an even number of patches, found {size}")
        rng = np.random.default_rng([self.seed, SAMPLE_STREAM, step])
        labels = np.arange(size) % 2
        return np.stack([self.draw(rng, k) for k in labels]), labels[:, None, None]

    def draw(self, rng: np.random.Generator, k: int) -> np.ndarray:
        """The patch (95, 95, C) around a random pixel of class k."""
        ends = self.ends[k]
        number = int(rng.integers(ends[-1]))
        i = int(np.searchsorted(ends, number, side="right"))
        flat = self.where[k][i][number - ends[i]]  # counted from the end of slice i
        patch = self.views[i][np.unravel_index(flat, self.views[i].shape[:2])]
        patch = np.rot90(patch, int(rng.integers(4)))
        return patch[:, ::-1] if rng.integers(2) else patch


def training(
    net: SlidingWindow, patches: Patches, steps: int, batch: int, lr: float
) -> Iterator[float]:
    """Train, yielding the loss of every step. Raises NumericError where it is not finite."""
    solver = Adam(net.parameters(), lr=LearningRate(lr, "cosine", max_iter=steps))
    for step in range(1, steps + 1):
        x, labels = (to_device(array, net.device) for array in patches.batch(step, batch))
        logits, backward = net(x, remember="once")
        loss, dlogits = softmax_loss(logits, labels)
        if not math.isfinite(loss):
            raise NumericError(f"loss is {loss} at step {step}; lower --lr")
        backward(dlogits)
        solver.step()
        yield loss


def fitting_steps(minutes: float, net: SlidingWindow, patches: Patches, batch: int) -> int:
    """How many steps fill these minutes, measured on a throw-away net."""
    ends = [time.perf_counter() for _ in training(net, patches, 6, batch, lr=0)]
    return max(1, round(60 * minutes / float(np.median(np.diff(ends)))))


def keep(path: Path, net: SlidingWindow, progress: dict) -> None:
    """Write the network as a model file of this example, which is no U-Net's."""
    normalization = {n: getattr(net.normalization, n) for n in ("mean", "deviation", "low", "high")}
    header = {"net": net.settings(), "normalization": normalization, "progress": progress}
    arrays = {p.name: to_host(p.value) for p in net.parameters()}
    write_npz(path, arrays | {"header": np.array(json.dumps(header))})


def kept(path: Path, device: str) -> tuple[SlidingWindow, str]:
    """The network in such a file, and the fold that it held out; CunetError for other files."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        header = json.loads(str(arrays.pop("header")))
        net = SlidingWindow(**header["net"], device=device)
        numbers = {name: tuple(values) for name, values in header["normalization"].items()}
        net.normalization = Normalization(**numbers)
        checkpoint.put(path, {p.name: p.value for p in net.parameters()}, arrays)
        return net, header["progress"]["fold"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CunetError(
            f"model '{path}' is not one that `train` of this example wrote ({error})"
        ) from error
