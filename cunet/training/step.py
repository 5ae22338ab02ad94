"""One step of a training, and what is said where it fails."""

from collections.abc import Callable

import numpy as np

from cunet.backend import array_module, to_device
from cunet.data.labels import IGNORE
from cunet.engines import TENSOR_CORES
from cunet.engines.gpu import elements
from cunet.engines.gpu.recorded import CapturedStep
from cunet.net.unet import UNet
from cunet.solvers.adam import Adam
from cunet.solvers.sgd import SGD

# Overflow shows in the loss, which is checked; NumPy's own warnings would say it twice.
quiet = np.errstate(over="ignore", invalid="ignore")


class Step:
    """Training steps of a net, operation by operation; on tensor cores see captured.py."""

    def __init__(self, net: UNet, solver: SGD | Adam | None, normalize: str):
        self.net, self.solver, self.normalize = net, solver, normalize

    @quiet
    def accumulate(
        self,
        batch: tuple,
        rng: np.random.Generator | None,
        prepare: Callable[[], tuple | None] | None = None,
    ) -> float:
        """One forward and backward pass: adds into the gradients, answers the loss.

        batch: x (N, H, W, C), labels (N, P, Q), weights (N, P, Q), on the host. The CPU is busy
        itself and does not prepare() the next one meanwhile.
        """
        net = self.net
        x, labels, weights = (to_device(array, net.device) for array in batch)
        logits, backward = net(x.astype(net.dtype, copy=False), rng, remember="once")
        loss, dlogits = net.loss(logits, labels, weights, IGNORE, self.normalize)
        backward(dlogits)
        return loss

    @quiet
    def update(self) -> float:
        """One update by the solver; answers the learning rate."""
        return self.solver.step()

    def close(self) -> None:
        """There is nothing to give back."""


def stepper(net: UNet, solver: SGD | Adam, normalize: str) -> Step | CapturedStep:
    """What does the steps of this net on its device."""
    if net.precision in TENSOR_CORES:
        return CapturedStep(net, solver, normalize, IGNORE)
    return Step(net, solver, normalize)


def describe_failure(net: UNet, batch: tuple, step: int, loss: float, run) -> str:
    """What to say of a loss that is not finite; keeps the batch in the run folder."""
    bad: list[str] = []

    def watch(name: str, y) -> None:
        y = elements.to_floats(y) if net.precision in TENSOR_CORES else y
        if not bool(array_module(y).isfinite(y).all()):
            bad.append(name)

    x = to_device(batch[0], net.device).astype(net.dtype, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        net(x, remember=False, watch=watch)
    where = f"first bad layer: {bad[0]}" if bad else "every layer is finite: look at the weights"
    kept = ""
    if run is not None:
        run.flush()
        path = run.path / "nonfinite_batch.npz"
        try:
            np.savez(path, **dict(zip(("x", "labels", "weights"), batch, strict=True)))
            kept = f"; the batch is kept in '{path}'"
        except OSError as error:
            kept = f"; the batch could not be kept ({error.strerror})"
    return (
        f"loss is {loss} at step {step} ({where}){kept}. Lower --lr, or clip the gradient with "
        "--clip 1; a solver's effective step is lr / (1 - momentum)"
    )
