"""Training: one step, validation, and the loop as a generator of records. It prints nothing."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from cunet import checkpoint
from cunet.adam import Adam
from cunet.backend import array_module, resolve_device, to_device
from cunet.captured import CapturedStep
from cunet.config import Config
from cunet.data.dataset import IGNORE
from cunet.data.samples import Batches, sample_workers
from cunet.errors import NumericError
from cunet.kernels import images
from cunet.memory import explained
from cunet.metrics.pixel import ONE_CLASS, PixelCounts
from cunet.precision import TENSOR_CORES, obstacle
from cunet.prepared import Prepared, cells, prepare
from cunet.run_folder import RunFolder, read_settings
from cunet.sgd import SGD
from cunet.sizes import tile_for_output, usual_tile
from cunet.threads import set_threads
from cunet.tiling import segment
from cunet.unet import UNet

DROPOUT_STREAM = 2  # the purpose that separates these random numbers from all others of a seed


def make_net(config: Config, prepared: Prepared) -> UNet:
    """The untrained network of these settings for this data."""
    net = UNet(
        config.width,
        config.depth,
        prepared.dataset.images[0].shape[2],
        len(prepared.dataset.class_names),
        config.dropout,
        config.variant,
        config.dtype,
        config.seed,
        config.device,
        config.padding,
        config.batch_norm,
        config.sigmoid,
        config.resize or None,
        config.precision,
    )
    net.normalization = prepared.normalization
    return net


def obstacle_to(config: Config, prepared: Prepared) -> str | None:
    """Why the network of these settings cannot use tensor cores; None where it can."""
    images, classes = prepared.dataset.images, len(prepared.dataset.class_names)
    return obstacle(config.device, config.width, images[0].shape[2], classes, config.padding,
                    config.batch_norm, config.sigmoid)  # fmt: skip


def train(config: Config, prepared: Prepared | None = None, resume: bool = False) -> Iterator[dict]:
    """Train, yielding a record after every step: step, seconds, lr, loss, wait (the share of the
    step spent waiting for its sample) and, where the net was validated, val_loss, val_dice,
    val_pixel_error, val_threshold and val_one_class.

    With config.out the run is kept there; closing the generator saves it, and resume=True
    continues from its last.npz, on the CPU bit for bit. Raises NumericError when the loss is not
    finite.
    """
    config = replace(config, device=resolve_device(config.device))
    if config.threads is not None:
        set_threads(config.threads)
    prepared = prepared or prepare(config)
    progress = {"step": 0, "seconds": 0.0, "best": None, "best_step": None}
    run = None
    if resume:
        last = Path(config.out or "") / "last.npz"
        header, arrays = checkpoint.read(last)
        net = checkpoint.build(last, header, arrays, config.device, config.precision)
        solver = config.make_solver(net.parameters())
        checkpoint.restore(last, header, arrays, solver)
        progress = header["progress"]
        hashes = prepared.dataset.hashes
        kept = replace(config, precision=read_settings(config.out).get("precision"))
        run = RunFolder.reopen(config.out, kept, hashes, progress["step"])
    else:
        net = make_net(config, prepared)
        config = replace(config, precision=net.precision)
        solver = config.make_solver(net.parameters())
        if config.out is not None:
            run = RunFolder.create(config.out, config, prepared.dataset.hashes)
            run.save_last(net, solver, progress)  # even a run killed at once can be resumed
    try:
        yield from _loop(config, prepared, net, solver, progress, run)
    except GeneratorExit:  # the consumer stopped, between two steps
        if run is not None:
            run.save_last(net, solver, progress)
        raise


def _loop(config, prepared, net, solver, progress, run) -> Iterator[dict]:
    """The steps after progress["step"]; progress is kept up to date in place."""
    first, start = progress["step"], time.perf_counter() - progress["seconds"]
    batches = first * config.iter_size, config.steps * config.iter_size
    with explained(net, config.tile, config.batch, solver=config.solver):
        work = stepper(net, solver, config.normalize)
    stream = prepared.samples.stream(*batches, sample_workers(config.device))
    with closing(work), closing(stream):
        yield from _steps(config, prepared, work, progress, run, Batches(stream), start)


def _steps(config, prepared, work, progress, run, batches, start) -> Iterator[dict]:
    net, solver, first, final = work.net, work.solver, progress["step"], {}
    for step in range(first + 1, config.steps + 1):
        began = time.perf_counter()
        loss, waited = 0.0, 0.0
        rng = np.random.default_rng([config.seed, DROPOUT_STREAM, step])
        for _ in range(config.iter_size):
            batch, wait = batches.take()
            with explained(net, config.tile, config.batch, solver=config.solver):
                loss += work.accumulate(batch, rng, batches.prepare) / config.iter_size
            waited += wait
            if not math.isfinite(loss):
                raise NumericError(describe_failure(net, batch, step, loss, run))
        rate = work.update()
        now = time.perf_counter()
        record = {"step": step, "seconds": round(now - start, 3), "lr": rate, "loss": loss}
        record["wait"] = round(waited / (now - began), 4)
        progress |= {"step": step, "seconds": now - start}
        due = step % config.validate_every == 0 or step == config.steps
        if due and prepared.held_out:
            final = validate(net, prepared)
            record |= final
            progress["seconds"] = time.perf_counter() - start
            error = final["val_pixel_error"]
            if progress["best"] is None or error < progress["best"]:
                progress |= {"best": error, "best_step": step}
                if run is not None:
                    run.save_best(net, progress)
        if run is not None:
            run.log(record)
            if step == config.steps:  # before last.npz, which says that nothing is left to do
                if not prepared.held_out:
                    run.save_best(net, progress)
                run.save_metrics({"last": final | {"step": step, "loss": loss}} | progress)
            if due:
                run.save_last(net, solver, progress)
        yield record


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


def validate(net: UNet, prepared: Prepared) -> dict:
    """Scores on the held-out slices, each segmented whole: mean cross-entropy of the pixels, Dice
    of the white class at 0.5, pixel error and its threshold, and what is predicted alone: 0 the
    background, 1 anything but the background, or None."""
    counts, losses, pixels = PixelCounts(), 0.0, 0
    for i in prepared.held_out:
        image, labels = prepared.dataset.images[i], prepared.dataset.labels[i]
        probability = segment(image, net, whole_tile(image.shape, net.depth, net.padding))
        counted = labels != IGNORE
        target = np.where(counted, labels, 0)[..., None].astype(np.intp)
        picked = np.take_along_axis(probability, target, axis=2)[..., 0][counted]
        losses -= float(np.log(np.maximum(picked, 1e-30)).sum(dtype=np.float64))
        pixels += picked.size
        counts.add(probability[..., 1:].sum(axis=2), cells(labels), counted)
    share = counts.shares()[1]
    one_class = 1 if share > ONE_CLASS else 0 if share < 1 - ONE_CLASS else None
    return {
        "val_loss": losses / max(1, pixels),
        "val_dice": counts.dice(),
        "val_pixel_error": counts.pixel_error(),
        "val_threshold": counts.best_threshold(),
        "val_one_class": one_class,
    }


def whole_tile(
    shape: tuple[int, ...], depth: int, padding: str = "valid", largest: int = 764
) -> int:
    """The tile around a whole image, or one of about 572 pixels where that would be too large."""
    whole = tile_for_output(max(shape[:2]), depth, padding)
    return whole if whole <= largest else usual_tile(depth, padding)


def describe_failure(net: UNet, batch: tuple, step: int, loss: float, run) -> str:
    """What to say of a loss that is not finite; keeps the batch in the run folder."""
    bad: list[str] = []

    def watch(name: str, y) -> None:
        y = images.to_floats(y) if net.precision in TENSOR_CORES else y
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


def measure_speed(config: Config, prepared: Prepared, steps: int = 6) -> float:
    """Seconds a step takes here, its share of the validations included, measured on a network
    that is thrown away."""
    net = make_net(config, prepared)
    solver = config.make_solver(net.parameters())
    with explained(net, config.tile, config.batch, solver=config.solver):
        work = stepper(net, solver, config.normalize)
    done = []
    number = (steps + 2) * config.iter_size
    stream = prepared.samples.stream(0, number, sample_workers(config.device))
    with closing(work), closing(stream):
        for i, (batch, _) in enumerate(stream):
            with explained(net, config.tile, config.batch, solver=config.solver):
                work.accumulate(batch, np.random.default_rng(0))
            if (i + 1) % config.iter_size == 0:
                work.update()
                done.append(time.perf_counter())
        step = float(np.median(np.diff(done)[1:]))
        if prepared.held_out:
            image = prepared.dataset.images[prepared.held_out[0]]
            for _ in range(1 if config.device == "cpu" else 2):  # a GPU records at its first
                start = time.perf_counter()
                segment(image, net, whole_tile(image.shape, net.depth, net.padding))
                one = time.perf_counter() - start
            step += one * len(prepared.held_out) / min(config.validate_every, config.steps)
    return step
