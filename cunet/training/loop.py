"""Training: one step, validation, and the loop as a generator of records. It prints nothing."""

import math
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np

from cunet.backend import resolve_device
from cunet.data.labels import IGNORE
from cunet.data.samples import Batches, sample_workers
from cunet.engines import obstacle
from cunet.errors import NumericError
from cunet.net import checkpoint
from cunet.net.memory import explained
from cunet.net.shape import Shape
from cunet.net.unet import UNet
from cunet.segmentation.tiling import segment, whole_tile
from cunet.threads import set_threads
from cunet.training.config import Config
from cunet.training.failure import describe_failure
from cunet.training.prepared import Prepared, prepare
from cunet.training.run_folder import RunFolder, read_settings
from cunet.training.validation import validate

DROPOUT_STREAM = 2  # the purpose that separates these random numbers from all others of a seed


def shape_of(config: Config, prepared: Prepared) -> Shape:
    """The shape of the network of these settings for this data."""
    return Shape(
        width=config.width,
        depth=config.depth,
        in_channels=prepared.dataset.images[0].shape[2],
        classes=len(prepared.dataset.class_names),
        variant=config.variant,
        padding=config.padding,
        batch_norm=config.batch_norm,
        sigmoid=config.sigmoid,
        dropout=config.dropout,
    )


def make_net(config: Config, prepared: Prepared) -> UNet:
    """The untrained network of these settings for this data."""
    net = UNet(
        **vars(shape_of(config, prepared)),
        dtype=config.dtype,
        seed=config.seed,
        device=config.device,
        resize=config.resize or None,
        precision=config.precision,
    )
    net.normalization = prepared.normalization
    return net


def obstacle_to(config: Config, prepared: Prepared) -> str | None:
    """Why the network of these settings cannot use tensor cores; None where it can."""
    return obstacle(config.device, shape_of(config, prepared))


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
        work = net.engine.step(net, solver, config.normalize, IGNORE)
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


def measure_speed(config: Config, prepared: Prepared, steps: int = 6) -> float:
    """Seconds a step takes here, its share of the validations included, measured on a network
    that is thrown away."""
    net = make_net(config, prepared)
    solver = config.make_solver(net.parameters())
    with explained(net, config.tile, config.batch, solver=config.solver):
        work = net.engine.step(net, solver, config.normalize, IGNORE)
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
                segment(image, net, whole_tile(image.shape, net.shape.depth, net.shape.padding))
                one = time.perf_counter() - start
            step += one * len(prepared.held_out) / min(config.validate_every, config.steps)
    return step
