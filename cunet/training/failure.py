"""What to report when a training step fails."""

from typing import Any

import numpy as np

from cunet.backend import array_module, to_device
from cunet.net.unet import UNet
from cunet.training.run_folder import RunFolder


def describe_failure(net: UNet, batch: tuple, step: int, loss: float, run: RunFolder | None) -> str:
    """What to report of a loss that is not finite; keeps the batch in the run folder, if any."""
    bad: list[str] = []

    def watch(name: str, y: Any) -> None:
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
