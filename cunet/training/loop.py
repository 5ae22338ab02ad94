"""Training: one step, validation, and the loop as a generator of records. It prints nothing."""

import math
import time
from collections.abc import Callable, Generator
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from typing import Any

from cunet.checks import arguments, flag, instance
from cunet.engines import obstacle
from cunet.errors import NumericError
from cunet.interrupts import uninterrupted
from cunet.net.memory import Task, refuse_impossible
from cunet.net.shape import Shape
from cunet.net.unet import UNet
from cunet.threads import set_threads
from cunet.training.config import Config
from cunet.training.failure import ADVICE, check_finite, check_output, describe_failure
from cunet.training.from_model import Model
from cunet.training.passes import Passes
from cunet.training.prepared import Prepared, prepare
from cunet.training.ranks import RankEnded, first_device, others
from cunet.training.run_folder import RunFolder, is_young
from cunet.training.state import State
from cunet.training.steps import make_step
from cunet.training.stop import Dropped
from cunet.training.validation import validate


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
    net.normalization, net.trained_on = prepared.normalization, prepared.trained_on
    if config.from_model is not None:
        model = Model.read(config.from_model)
        model.refuse_other_channels(prepared.dataset)
        model.put_into(net)
    return net


def obstacle_to(config: Config, prepared: Prepared) -> str | None:
    """Why the network of these settings cannot use tensor cores; None if it can."""
    return obstacle(config.device, shape_of(config, prepared))


CONFIGS = "make one: cunet.Config(data=...)"


@arguments(config=instance(Config, CONFIGS), prepared=instance(Prepared, ""), resume=flag)
def train(
    config: Config, prepared: Prepared | None = None, resume: bool = False
) -> Generator[dict[str, Any], None, None]:
    """Train, yielding a record after every step. It prints nothing.

    A record holds step (from 1), seconds (since the start), lr, loss and wait (the share of the
    step spent waiting for its sample); after a validation also val_loss, val_dice, val_pixel_error,
    val_threshold and val_one_class (0 if nearly all pixels were predicted as background, 1 if as
    anything else, otherwise None). The data are those of config.data, or `prepared`, from
    cunet.training.prepared.prepare.

    With config.out the run is kept in that folder, which cunet.load reads. Leaving the loop, by
    break, an error or Ctrl-C (a notebook's stop button), saves the run as it was after the last
    whole step, and resume=True continues from its last.npz, on the CPU bit for bit. A generator
    that has a name is saved by its close(), or at the end of the program.

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
    config = replace(config, device=first_device(config))
    if config.threads is not None:
        set_threads(config.threads)
    prepared = prepared or prepare(config)
    with ExitStack() as stack:
        if resume and not is_young(config.out or ""):
            training: Training = Training.resumed(config, prepared, stack)
        else:
            training = Training.new(config, prepared, make_net(config, prepared))
            if config.out is not None:
                hashes = prepared.dataset.hashes
                with uninterrupted():  # even a run stopped or killed at once can be resumed
                    run = RunFolder.create(config.out, training.config, hashes, again=resume)
                    stack.callback(run.close)
                    training.run = run
                    training.save()
        try:
            yield from training.records()
        except Dropped:  # a signal, in the middle of a step: the training ends as between two
            training.save()
        except (GeneratorExit, KeyboardInterrupt, RankEnded):
            training.save()
            raise
        except NumericError as error:
            if training.run is not None:
                training.run.fail(training.progress["step"], error)
            raise


@dataclass
class Training(State):
    """A training, which makes the steps after progress["step"]."""

    work: Any = None  # what makes them, see engines.definition.Step
    passes: Any = None  # those of an update, here and in other processes

    def records(self) -> Generator[dict[str, Any], None, None]:
        """Make the steps and yield a record for each."""
        config, first = self.config, self.progress["step"]
        start = time.perf_counter() - self.progress["seconds"]
        work = self.work = make_step(config, self.prepared, self.net, self.solver)
        samples, made_there = self.prepared.samples, work.sample_bytes > 0
        with ExitStack() as stack:
            stack.enter_context(closing(work))
            ranks = others(config, self.net, self.solver, samples, first, made_there)
            link = stack.enter_context(ranks)
            self.passes = Passes(config, self.net, work, samples, first, link)
            stack.enter_context(closing(self.passes))
            if self.pending is not None:  # stopped while it was validated
                yield self._validated(self.pending, start)
            for step in range(first + 1, config.steps + 1):
                record = self._step(step, start)
                if self.pending is not None:
                    record = self._validated(record, start, work.batch)
                yield record

    def _step(self, step: int, start: float) -> dict[str, Any]:
        """One update and its record, with the mean loss of its batches. An interruption leaves the
        state before the step or after it."""
        config, work, loss, waited = self.config, self.work, 0.0, 0.0
        began = time.perf_counter()
        with ExitStack() as whole:
            if config.device != "cpu":  # it may update as it accumulates, and no step takes long
                self.tear(whole)
            for number, (found, wait) in enumerate(self.passes(step)):
                loss += found / config.iter_size
                waited += wait
                if not math.isfinite(loss):
                    batch = self.passes.batch(step, number)
                    raise NumericError(describe_failure(self.net, batch, step, loss, self.folder))
            self.tear(whole)
            record = {"step": step, "seconds": 0.0, "lr": work.update(), "loss": loss}
            now = time.perf_counter()
            record |= {"seconds": round(now - start, 3), "wait": round(waited / (now - began), 4)}
            self.progress |= {"step": step, "seconds": now - start}
            if step % config.interval == 0 or step == config.steps:
                self.pending = record
            self.remember()
            if self.pending is None and self.run is not None:
                self.run.log(record)
        return record

    def _validated(
        self, record: dict[str, Any], start: float, batch: Callable[[], tuple] | None = None
    ) -> dict[str, Any]:
        """The record with the scores of the held-out slices, if there are any; keeps the best
        network so far, and the last. batch(): the last one, where a step was made.

        NumericError where the network became useless since: then no file is replaced.
        """
        step, found = self.progress["step"], {}
        check_finite(self.net, self.solver, step)
        if self.prepared.held_out:
            try:
                found = validate(self.net, self.prepared)
            except NumericError as error:
                raise NumericError(
                    f"the network returns NaN or infinity after step {step}. {ADVICE}"
                ) from error
        elif batch is not None:
            check_output(self.net, batch(), step)
        with uninterrupted():
            if found:
                self.progress["seconds"] = time.perf_counter() - start
                self._keep_best(found["val_pixel_error"])
            self.keep(record | found)
            self.pending = None
        return record | found

    def _keep_best(self, pixel_error: float) -> None:
        progress = self.progress
        if progress["best"] is None or pixel_error < progress["best"]:
            best = progress | {"best": pixel_error, "best_step": progress["step"]}
            if self.run is not None:
                self.run.save_best(self.net, best)
            progress |= best  # last: what failed is made again
