"""PyTorch's side of a benchmark on a GPU: the network as its users write it, eager or compiled.

Imported only where PyTorch is installed. Weights are float32 and images channels last; cuDNN tries
its algorithms first (cudnn.benchmark). "tf32" lets products use TF32, the others are autocast. The
solver is torch.optim.SGD as it comes, and no gradient is clipped. Compiled means torch.compile with
CUDA graphs, so that no launch waits for Python.
"""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional

from cunet.bench.cpu_side import LEARNING_RATE
from cunet.bench.gpu_side import Ours, Task, by_clock, in_turns, repeats
from cunet.bench.problems import TURN_SECONDS, Problem
from cunet.bench.pytorch import TorchUNet
from cunet.errors import CheckError

DEVICE = "cuda"
DTYPES = {"tf32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
CHANNELS_LAST = {"memory_format": torch.channels_last}
COMPILE_OPTIONS = {"mode": "reduce-overhead", "dynamic": False}  # the mode that records CUDA graphs
LARGEST_ROUNDING = 0.1  # of logits: larger differences are those of another network
PRODUCT_SIDE = 8192  # of the matrices whose product shows how fast the GPU can be


def fastest() -> None:
    """The settings that make PyTorch fast."""
    torch.backends.cudnn.benchmark = True
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = True


def finish() -> None:
    """Wait for the GPU."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def by_events(call: Callable[[], Any]) -> Callable[[int], float]:
    """Milliseconds of the GPU for one of n calls."""

    def timer(number: int) -> float:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        for _ in range(number):
            call()
        end.record()
        end.synchronize()
        return start.elapsed_time(end) / number

    return timer if DEVICE == "cuda" else by_clock(call)


class Peer:
    """PyTorch's counterpart of gpu_side.Ours. peak: the bytes of a step, or None without a GPU."""

    def __init__(self, task: Task, precision: str, compiled: bool = False):
        fastest()
        self.precision, self.depth = precision, task.depth
        self.module = TorchUNet(task.net()).to(DEVICE, **CHANNELS_LAST)
        self.net = torch.compile(self.module, **COMPILE_OPTIONS) if compiled else self.module
        self.solver = torch.optim.SGD(self.module.parameters(), lr=LEARNING_RATE, momentum=0.99)
        self.host = [torch.from_numpy(a) for a in task.batch]
        self.batch = self.upload()
        for _ in range(3):  # cuDNN tries its algorithms, which takes memory of its own
            self.step()
        self.peak = self.peak_of_step()
        self.times = {
            "step": by_events(self.step),
            "step with transfers": by_clock(self.step_with_transfers),
        }
        for side in dict.fromkeys((task.tile, task.forward_tile)):
            host = torch.from_numpy(task.image(side).transpose(0, 3, 1, 2).copy())
            x = host.to(DEVICE, **CHANNELS_LAST)
            self.times[f"forward {side}"] = by_events(partial(self.forward, x))
            self.times[f"forward {side} with transfers"] = by_clock(
                partial(self.forward_with_transfers, host)
            )

    def upload(self) -> tuple[torch.Tensor, ...]:
        """x (N, C, H, W), labels and weights (N, P, Q) on the GPU."""
        x, labels, weights = (a.to(DEVICE) for a in self.host)
        return x.permute(0, 3, 1, 2).contiguous(**CHANNELS_LAST), labels.long(), weights

    def cast(self) -> Any:
        """The context of the forward pass."""
        eager = self.precision == "tf32"
        return torch.autocast(DEVICE, None if eager else DTYPES[self.precision], enabled=not eager)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The logits (N, K, P, Q) as in segmentation, without dropout."""
        torch.compiler.cudagraph_mark_step_begin()  # results of the call before may be overwritten
        self.net.eval()
        with torch.no_grad(), self.cast():
            return self.net(x).float()

    def forward_with_transfers(self, host: torch.Tensor) -> torch.Tensor:
        """The probabilities on the host, of images on the host."""
        return self.forward(host.to(DEVICE, **CHANNELS_LAST)).softmax(1).cpu()

    def step(self) -> torch.Tensor:
        """Forward with dropout, weighted loss, backward, and the solver; returns the loss."""
        torch.compiler.cudagraph_mark_step_begin()
        x, labels, weights = self.batch
        self.net.train()
        self.solver.zero_grad()
        with self.cast():
            logits = self.net(x)
        losses = functional.cross_entropy(logits.float(), labels, reduction="none")
        loss = (losses * weights).sum() / weights.sum()
        loss.backward()
        self.solver.step()
        return loss

    def step_with_transfers(self) -> float:
        """A step, from a batch on the host to the loss on the host."""
        self.batch = self.upload()
        return float(self.step().detach())

    def peak_of_step(self) -> dict[str, int] | None:
        """The most memory that a step takes after the first ones."""
        if DEVICE != "cuda":
            return None
        finish()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        self.step()
        finish()
        return {
            "allocated": torch.cuda.max_memory_allocated(),
            "reserved": torch.cuda.max_memory_reserved(),
        }


def beside(
    task: Task, precision: str, theirs: str, seconds: float = np.inf, compiled: bool = False
) -> dict:
    """Times in pairs with PyTorch in the precision `theirs`, and how far the logits of its
    untrained network lie from the CPU's; CheckError where it is another network.

    seconds: about how long this may take. Where compiling takes long, the jobs for which PyTorch
    would have to compile again are left out.
    """
    start = time.perf_counter()
    truth, fresh = task.truth[0], untrained_logits(task, theirs)
    off = float(np.abs(fresh - truth).max() / np.abs(truth).max())
    if not off < LARGEST_ROUNDING:
        raise CheckError(f"logits differ by {off:.1e} of their size: nothing was timed")
    ours, began = Ours(task, precision), time.perf_counter()
    peer = Peer(task, theirs, compiled)
    finish()
    made = time.perf_counter() - began
    result: dict[str, Any] = {
        "theirs": f"{theirs}, {'torch.compile' if compiled else 'eager'}",
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),
        "logits": off,
        "first_steps_seconds": made,
        "bytes": {"cunet": ours.peak, "torch": peer.peak},
        "jobs": {},
        "left_out": [],
    }
    for job, timer in ours.times.items():
        if time.perf_counter() - start + made > seconds and not job.startswith("step"):
            result["left_out"].append(job)
            continue
        result["jobs"][job] = in_turns({"cunet": timer, "torch": peer.times[job]}, task)
    del peer
    if DEVICE == "cuda":
        torch.cuda.empty_cache()
    return result


def untrained_logits(task: Task, precision: str) -> np.ndarray:
    """The logits (N, P, Q, K) of PyTorch's network before any step."""
    fastest()
    peer = object.__new__(Peer)
    peer.precision, peer.net = precision, TorchUNet(task.net()).to(DEVICE, **CHANNELS_LAST)
    x = torch.from_numpy(task.batch[0].transpose(0, 3, 1, 2).copy()).to(DEVICE, **CHANNELS_LAST)
    return peer.forward(x).permute(0, 2, 3, 1).cpu().numpy()


def milliseconds(call: Callable[[], Any], task: Task) -> float:
    """The GPU's time for a call, the median of a few turns."""
    timer = by_events(call)
    number = repeats(timer, min(TURN_SECONDS, task.turn))
    return float(np.median([timer(number) for _ in range(min(3, task.pairs))]))


def layer_times(problem: Problem, precision: str, task: Task) -> dict[str, float]:
    """Milliseconds of PyTorch for a convolution of the network, its filters rounded already."""
    fastest()
    dtype, c, side = DTYPES[precision], sum(problem.channels), problem.side
    up, k, out = problem.up, problem.outputs, problem.out

    def random(*shape: int) -> torch.Tensor:
        return torch.randn(shape, device=DEVICE, dtype=dtype).contiguous(**CHANNELS_LAST)

    x, dy = random(1, c, side, side), random(1, k, out, out)
    w = random(*((c, k, 2, 2) if up else (k, c, 3, 3)))
    settings = [k], [1 + up] * 2, [0, 0], [1, 1], up, [0, 0], 1

    def backward(*wanted: bool) -> Callable[[], Any]:
        return lambda: torch.ops.aten.convolution_backward(dy, x, w, *settings, wanted)

    call = functional.conv_transpose2d if up else functional.conv2d
    calls = {"forward": lambda: call(x, w, stride=1 + up)}
    if up:
        calls["backward"] = backward(True, True, True)
    else:
        calls["by data"] = backward(True, False, False)
        calls["by weights"] = backward(False, True, True)
    with torch.no_grad():
        return {name: milliseconds(one, task) for name, one in calls.items()}


def products(task: Task) -> dict[str, float]:
    """Operations a second of a large matrix product."""
    fastest()
    found, n = {}, PRODUCT_SIDE if DEVICE == "cuda" else 64
    for precision, dtype in DTYPES.items():
        a, b = (torch.randn((n, n), device=DEVICE).to(dtype) for _ in range(2))
        found[precision] = 2e3 * n**3 / milliseconds(partial(torch.matmul, a, b), task)
    return found
