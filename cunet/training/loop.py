"""Training: one step, validation, and the loop as a generator of records. It prints nothing."""

import math
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from cunet.backend import resolve_device
from cunet.data.samples import Batches, sample_workers
from cunet.engines import obstacle
from cunet.errors import NumericError
from cunet.net import checkpoint
from cunet.net.memory import Task, refuse_impossible
from cunet.net.shape import Shape
from cunet.net.unet import UNet
from cunet.solvers.adam import Adam
from cunet.solvers.sgd import SGD
from cunet.threads import set_threads
from cunet.training.config import Config
from cunet.training.failure import ADVICE, check_finite, check_output, describe_failure
from cunet.training.from_model import Model, full_name
from cunet.training.prepared import Prepared, prepare
from cunet.training.run_folder import RunFolder, is_young, read_settings
from cunet.training.steps import make_step, told_of_memory
from cunet.training.stop import Dropped, droppable
from cunet.training.validation import validate

DROPOUT_STREAM = 2  # the purpose that separates these random numbers from all others of a seed


def shape_of(config: Config, prepared: Prepared) -> Shape:
    """The shape of the network for these settings and data."""
    dataset = prepared.dataset
    return config.shape(dataset.images[0].shape[2], len(dataset.class_names))


def make_net(config: Config, prepared: Prepared) -> UNet:
    """The network for these settings and data before its first step: untrained, or of the weights
    of config.from_model. DeviceError where its training has no room at all."""
    shape, precision = shape_of(config, prepared), config.precision or config.dtype
    task = Task(shape, config.tile, config.batch, config.solver, precision)
    refuse_impossible(task, config.device)
    net = UNet(
        **vars(shape),
        dtype=config.dtype,
        seed=config.seed,
        device=config.device,
        resize=config.resize or None,
        precision=config.precision,
    )
    net.normalization = prepared.normalization
    if config.from_model is not None:
        model = Model.read(config.from_model)
        model.refuse_other_channels(prepared.dataset)
        model.put_into(net)
    return net


def obstacle_to(config: Config, prepared: Prepared) -> str | None:
    """Why the network of these settings cannot use tensor cores; None if it can."""
    return obstacle(config.device, shape_of(config, prepared))


def train(
    config: Config, prepared: Prepared | None = None, resume: bool = False
) -> Generator[dict[str, Any], None, None]:
    """Train, yielding a record after every step. It prints nothing.

    A record holds step (from 1), seconds (since the start), lr, loss and wait (the share of the
    step spent waiting for its sample); after a validation also val_loss, val_dice, val_pixel_error,
    val_threshold and val_one_class (0 if nearly all pixels were predicted as background, 1 if as
    anything else, otherwise None). The data are those of config.data, or `prepared`, from
    cunet.training.prepared.prepare.

    With config.out the run is kept in that folder, which cunet.load reads. Closing the generator
    saves the run, and so does a signal within stop.stop_on_signals; resume=True continues from its
    last.npz, on the CPU bit for bit.

    Raises CunetError where settings, data and folder do not fit together, DataError where the
    data are not valid, DeviceError where device, memory or disk do not suffice, and NumericError
    when the loss, the network or its probabilities are not finite; best.npz and last.npz are then
    those of the last validation at which they were.

        records = cunet.train(cunet.Config(data="isbi2012/", out="runs/first", width=16, tile=412))
        for record in records:
            if record["seconds"] > 3600:
                records.close()  # saves the run
        net = cunet.load("runs/first")
    """
    config = replace(config, device=resolve_device(config.device))
    if config.threads is not None:
        set_threads(config.threads)
    prepared = prepared or prepare(config)
    progress: dict[str, Any] = {"step": 0, "seconds": 0.0, "best": None, "best_step": None}
    run = None
    with ExitStack() as stack:
        if resume and not is_young(config.out or ""):
            folder = Path(config.out or "")
            last = folder / "last.npz"
            checkpoint.read_header(last)  # its errors come before any about the folder
            run = RunFolder(folder)
            stack.callback(run.close)
            header, arrays = checkpoint.read(last)
            net = checkpoint.build(last, header, arrays, config.device, config.precision)
            solver = config.make_solver(net.parameters())
            checkpoint.restore(last, header, arrays, solver)
            progress = checkpoint.progress_of(last, header)
            begun = read_settings(folder)
            kept = replace(
                config, precision=begun.get("precision"), from_model=begun.get("from_model")
            )
            run.go_on(kept, prepared.dataset.hashes, progress["step"])
        else:
            net = make_net(config, prepared)
            model = full_name(config.from_model)
            config = replace(config, precision=net.precision, from_model=model)
            solver = config.make_solver(net.parameters())
            if config.out is not None:
                run = RunFolder.create(config.out, config, prepared.dataset.hashes, again=resume)
                stack.callback(run.close)
                run.save_last(net, solver, progress)  # even a run killed at once can be resumed
        try:
            yield from _Training(config, prepared, net, solver, progress, run).records()
        except GeneratorExit:  # the consumer stopped, between two steps
            if run is not None:
                run.save_last(net, solver, progress)
            raise
        except Dropped:  # a signal, in the middle of a step that has changed nothing yet
            if run is not None:
                run.save_last(net, solver, progress)
        except NumericError as error:
            if run is not None:
                run.fail(progress["step"], error)
            raise


@dataclass
class _Training:
    """A training under way. progress holds step, seconds, best and best_step, updated in place."""

    config: Config
    prepared: Prepared
    net: UNet
    solver: SGD | Adam
    progress: dict[str, Any]
    run: RunFolder | None
    work: Any = None  # what makes the steps, see engines.definition.Step

    def records(self) -> Iterator[dict[str, Any]]:
        """Make the steps after progress["step"] and yield a record for each."""
        config, first = self.config, self.progress["step"]
        start = time.perf_counter() - self.progress["seconds"]
        work = self.work = make_step(config, self.prepared, self.net, self.solver)
        stream = self.prepared.samples.stream(
            first * config.iter_size,
            config.steps * config.iter_size,
            sample_workers(config.device),
            records=work.sample_bytes > 0,
        )
        with closing(work), closing(stream):
            batches = Batches(stream)
            for step in range(first + 1, config.steps + 1):
                began = time.perf_counter()
                loss, rate, waited = self._update(batches, step)
                now = time.perf_counter()
                self.progress |= {"step": step, "seconds": now - start}
                record = {"step": step, "seconds": round(now - start, 3), "lr": rate, "loss": loss}
                record["wait"] = round(waited / (now - began), 4)
                if step % config.interval == 0 or step == config.steps:
                    record |= self._validate(start)
                    self._keep(record)
                elif self.run is not None:
                    self.run.log(record)
                yield record

    def _update(self, batches: Batches, step: int) -> tuple[float, float, float]:
        """One update: the mean loss of its batches, the learning rate, the seconds waited."""
        config, work, loss, waited = self.config, self.work, 0.0, 0.0
        rng = np.random.default_rng([config.seed, DROPOUT_STREAM, step])
        # running statistics change before the update, and on a GPU no step takes long
        whole = config.device == "cpu" and not self.net.statistics()
        for _ in range(config.iter_size):
            batch, wait = batches.take()
            with told_of_memory(config, self.net, work.sample_bytes), droppable(whole):
                loss += work.accumulate(batch, rng, batches.prepare) / config.iter_size
            waited += wait
            if not math.isfinite(loss):
                raise NumericError(describe_failure(self.net, work.batch(), step, loss, self.run))
        return loss, work.update(), waited

    def _validate(self, start: float) -> dict:
        """Scores of the held-out slices, if there are any; keeps the best network so far.

        NumericError where the network became useless since: then no file is replaced.
        """
        progress = self.progress
        check_finite(self.net, self.solver, progress["step"])
        if not self.prepared.held_out:
            check_output(self.net, self.work.batch(), progress["step"])
            return {}
        try:
            found = validate(self.net, self.prepared)
        except NumericError as error:
            raise NumericError(
                f"the network returns NaN or infinity after step {progress['step']}. {ADVICE}"
            ) from error
        progress["seconds"] = time.perf_counter() - start
        pixel_error = found["val_pixel_error"]
        if progress["best"] is None or pixel_error < progress["best"]:
            progress |= {"best": pixel_error, "best_step": progress["step"]}
            if self.run is not None:
                self.run.save_best(self.net, progress)
        return found

    def _keep(self, record: dict) -> None:
        """Write the log's line and last.npz; after the last step also all else in the folder."""
        if self.run is None:
            return
        self.run.log(record)
        if record["step"] == self.config.steps:  # before last.npz, which marks the run as finished
            if not self.prepared.held_out:
                self.run.save_best(self.net, self.progress)
            scores = {name: value for name, value in record.items() if name.startswith("val_")}
            last = scores | {"step": record["step"], "loss": record["loss"]}
            self.run.save_metrics({"last": last} | self.progress)
        self.run.save_last(self.net, self.solver, self.progress)
