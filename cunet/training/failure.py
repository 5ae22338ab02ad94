"""What to report when a training step fails."""

import numpy as np

from cunet.backend import array_module, to_device
from cunet.net.unet import UNet


def describe_failure(net: UNet, batch: tuple, step: int, loss: float, run) -> str:
    """What to report of a loss that is not finite; keeps the batch in the run folder."""
    bad: list[str] = []

    def watch(name: str, y) -> None:
        y = net.engine.leave(y)
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
