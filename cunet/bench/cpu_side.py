"""Our side of a benchmark on a CPU (or of float32 on any GPU), and what both sides use."""

import time
from functools import cached_property
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from cunet.backend import import_cupy, resolve_device, to_device, to_host
from cunet.net.figure1 import rows
from cunet.net.sizes import output_size
from cunet.net.unet import UNet
from cunet.ops import softmax_loss
from cunet.solvers.sgd import SGD
from cunet.threads import set_threads

LEARNING_RATE = 1e-6  # so small that the numbers stay in the same range however long it takes


def inputs(tile: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """x (1, H, W, 1), labels and weights (1, P, Q): the same on every side."""
    rng, out = np.random.default_rng(0), output_size(tile, 4)
    x = rng.standard_normal((1, tile, tile, 1), np.float32)
    return x, rng.integers(0, 2, (1, out, out)), rng.random((1, out, out), np.float32) + 0.5


class Ours:
    """The network as `cunet train` and `cunet segment` use it."""

    def __init__(self, job: dict):
        self.device = resolve_device(job["device"])
        if self.device == "cpu":
            set_threads(job["threads"])
        self.net = UNet(width=job["width"], seed=0, device=self.device)
        self.x, self.labels, self.weights = (to_device(a, self.device) for a in inputs(job["tile"]))
        self.job = job

    @cached_property
    def solver(self) -> SGD:
        """Made by the first step: other jobs do not need its memory."""
        return SGD(self.net.parameters(), lr=LEARNING_RATE)

    def finish(self) -> None:
        """Wait for the device."""
        if self.device != "cpu":
            import_cupy().cuda.Device().synchronize()

    def forward(self) -> None:
        """As in segmentation: nothing is kept for a backward pass."""
        self.net(self.x, remember=False)
        self.finish()

    def predict(self) -> None:
        """As `cunet segment` treats a tile: from its pixels to probabilities on the host."""
        self.net.engine.predict(self.net, self.net.normalization.apply(self.x))

    def step(self) -> None:
        """Forward with dropout, weighted loss, backward, SGD with momentum."""
        self.gradients(np.random.default_rng(0))
        self.solver.step()
        self.finish()

    def gradients(self, rng: np.random.Generator | None) -> Any:
        """The logits of a forward pass, after a backward pass."""
        logits, backward = self.net(self.x, rng, remember="once")
        backward(softmax_loss.loss(logits, self.labels, self.weights)[1])
        return logits

    def check(self) -> dict[str, np.ndarray]:
        """Logits (N, P, Q, K) and every gradient by its parameter's name, without dropout."""
        logits = to_host(self.gradients(None))
        return {"logits": logits} | {p.name: to_host(p.grad) for p in self.net.parameters()}

    def check_predict(self) -> dict[str, np.ndarray]:
        """The probabilities (N, P, Q, K)."""
        return {"probabilities": self.net.engine.predict(self.net, self.x)}

    def layers(self) -> list[dict]:
        """Seconds of each layer alone on random images, the median of three calls."""
        return [self.layer(layer) for layer in self.net.layers()]

    def layer(self, layer: Any) -> dict:
        """Forward and backward of one layer, as in training."""
        table = rows(self.net.shape, self.job["tile"])
        row = next(row for row in table if row.name == layer.name)
        size, channels = layer.w.value.shape[0], layer.w.value.shape[2]
        up = row.kind.startswith("up")
        side = row.shape[0] // 2 if up else row.shape[0] + size - 1
        rng, first = np.random.default_rng(0), layer is self.net.layers()[0]
        shapes = [(1, side, side, channels)]
        if layer.name.startswith("expand") and layer.name.endswith("conv1"):
            shapes = [(1, side, side, channels // 2)] * 2  # what came up, and the skip
        images = tuple(
            to_device(rng.standard_normal(shape, np.float32), self.device) for shape in shapes
        )
        x = images[0] if len(images) == 1 else images
        dy = to_device(rng.standard_normal((1, *row.shape), np.float32), self.device)
        seconds = []
        for _ in range(4):
            start = time.perf_counter()
            _, backward = layer(x)
            self.finish()
            middle = time.perf_counter()
            backward(dy, **({"input_gradient": False} if first else {}))
            self.finish()
            seconds.append((middle - start, time.perf_counter() - middle))
        forward, backward_s = np.median(seconds[1:], axis=0).tolist()
        work = row.flops * (1 if first else 2)
        return {
            "name": row.name,
            "shape": list(row.shape),
            "forward_s": forward,
            "backward_s": backward_s,
            "forward_gflops": row.flops / forward / 1e9,
            "backward_gflops": work / backward_s / 1e9,
        }

    def peak_bytes(self) -> int | None:
        """The most memory that this process has held; on a GPU, what CuPy's pool has taken."""
        if self.device != "cpu":
            return import_cupy().get_default_memory_pool().total_bytes()
        return peak_of_process()


def peak_of_process() -> int | None:
    """The largest resident size so far in bytes, None where the system does not report it.

    On Linux from /proc: there getrusage begins with what the parent process had.
    """
    try:
        status = Path("/proc/self/status").read_text()
        return 1024 * int(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError):
        pass
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


def summary(ratios: list[float]) -> dict[str, float]:
    """The median and the range of the ratios of a comparison."""
    middle = float(np.median(ratios))
    return {"median": middle, "lowest": min(ratios), "highest": max(ratios)}


def installed(name: str) -> str | None:
    """The version of an installed package; None for one that is not, such as a bare checkout."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
