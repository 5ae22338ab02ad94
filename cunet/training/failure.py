"""What to report when a training step fails."""

from pathlib import Path
from typing import Any

import numpy as np

from cunet.backend import Array, array_module, to_device, to_host
from cunet.errors import DeviceError, NumericError
from cunet.net.checkpoint import learned
from cunet.net.unet import UNet
from cunet.segmentation.window import FAR_OUT
from cunet.solvers.adam import Adam
from cunet.solvers.sgd import SGD

ADVICE = (
    "Lower --lr, or clip the gradient with --clip 1; a solver's effective step is "
    "lr / (1 - momentum)"
)
SMALL_ARRAY = 2**16  # numbers


def is_finite(array: Array) -> bool:
    """Whether all numbers of an array are finite.

    On a GPU small arrays are looked at by the host: CuPy compiles its reductions anew for each of
    several small sizes, which takes seconds when a training validates for the first time.
    """
    flat = to_host(array) if array.size < SMALL_ARRAY else array
    return bool(array_module(flat).isfinite(flat.ravel()).all())


def check_finite(net: UNet, solver: SGD | Adam, step: int) -> None:
    """NumericError where the network or its solver holds NaN or infinity after an update."""
    arrays = learned(net) | solver.state()
    for name, array in arrays.items():
        if not is_finite(array):
            raise NumericError(
                f"array '{name}' holds NaN or infinity after step {step}, though the loss before "
                f"it was a number. {ADVICE}"
            )


def check_output(net: UNet, batch: tuple, step: int) -> None:
    """NumericError where the network answers a batch with NaN or infinity after an update."""
    x = to_device(batch[0], net.device).astype(net.dtype, copy=False)
    try:
        with np.errstate(over="ignore", invalid="ignore"):
            logits = net.engine.leave(net(x, remember=False))
    except (DeviceError, MemoryError):
        return  # a check must not end a training that had just enough memory
    if not is_finite(logits):
        raise NumericError(f"the network returns NaN or infinity after step {step}. {ADVICE}")


def describe_failure(net: UNet, batch: tuple, step: int, loss: float, folder: Path | None) -> str:
    """What to report of a loss that is not finite; keeps the batch in the run's folder, if any."""
    bad: list[str] = []

    def watch(name: str, y: Any) -> None:
        y = net.engine.leave(y)
        if not is_finite(y):
            bad.append(name)

    x = to_device(batch[0], net.device).astype(net.dtype, copy=False)
    with np.errstate(over="ignore", invalid="ignore"):
        net(x, remember=False, watch=watch)
    where = f"first bad layer: {bad[0]}" if bad else "every layer is finite: look at the weights"
    kept = ""
    if folder is not None:
        path = folder / "nonfinite_batch.npz"
        try:
            np.savez(path, **dict(zip(("x", "labels", "weights"), batch, strict=True)))
            kept = f"; the batch is kept in '{path}'"
        except OSError as error:
            kept = f"; the batch could not be kept ({error.strerror})"
    far = float(np.abs(to_host(x)).max())
    if not far < FAR_OUT:
        return (
            f"loss is {loss} at step {step}{kept}: pixels of its images lie {far:.2g} deviations "
            "from the mean, which no learning rate mends; look for single wrong pixels or a mark "
            "for 'no data' in the images, and at --brightness, --contrast and --noise"
        )
    return f"loss is {loss} at step {step} ({where}){kept}. {ADVICE}"
