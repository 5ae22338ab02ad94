"""The passes of an update: forward and backward over batch after batch, by one device or several.

An update averages the gradients of iter_size batches. With several devices (Config.devices = N)
each has a copy of the network in a process of its own, called a rank: rank r takes the batches r,
N + r, 2N + r ... of the run, all add up their gradients, and each makes the same update. So the
run is that of one device with the same iter_size: the same samples, the same dropout, which goes by
the place of a batch in its update, and running statistics moved in the order of the batches. On the
CPU the gradients are added in that order too, and every number is the same, bit for bit.
"""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from cunet.backend import Array, to_device, to_host
from cunet.data.samples import Batches, Samples, sample_workers
from cunet.net.layers import Dropout
from cunet.net.normed import BatchNorm
from cunet.net.unet import UNet
from cunet.ops import batch_norm
from cunet.training.config import Config
from cunet.training.steps import told_of_memory
from cunet.training.stop import droppable

DROPOUT_STREAM = 2  # the purpose that separates these random numbers from all others of a seed


class Link(Protocol):
    """What connects a rank with the others."""

    rank: int

    def gather(self, numbers: np.ndarray) -> np.ndarray:
        """(ranks, n): the n float64 of every rank, once all have given theirs."""

    def add(self, first: bool) -> None:
        """Take the gradients of a pass. first: it is the first of an update."""

    def finish(self) -> None:
        """Make every parameter's .grad the sum over all passes of all ranks."""


class Passes:
    """The passes of one rank, from the update after `done` to the last. work: the engine's object
    that makes them (engines.definition.Step). link: to the other ranks, if there are any."""

    def __init__(
        self, config: Config, net: UNet, work: Any, samples: Samples, done: int,
        link: Link | None = None,
    ):  # fmt: skip
        self.config, self.net, self.work, self.samples, self.link = config, net, work, samples, link
        self.rank = 0 if link is None else link.rank
        self.stream = samples.stream(
            done * config.iter_size + self.rank,
            config.steps * config.iter_size,
            sample_workers(config.device),
            records=work.sample_bytes > 0,
            every=config.devices,
        )
        self.batches = Batches(self.stream)
        self.norms = [layer for layer in net.layers() if isinstance(layer, BatchNorm)]
        layers = [layer for level in net.levels for layer in level.contract]
        self.keys = sum(isinstance(layer, Dropout) and layer.rate > 0 for layer in layers)

    def close(self) -> None:
        """End the threads that make samples."""
        self.stream.close()

    def __call__(self, step: int) -> Iterator[tuple[float, float]]:
        """Make the passes of update `step`: yields the loss of every batch, in their order, and the
        seconds that this rank has waited for one of its own. Then all gradients are summed up."""
        config, on_cpu = self.config, self.config.device == "cpu"
        rng = np.random.default_rng([config.seed, DROPOUT_STREAM, step])
        for number in range(config.iter_size // config.devices):
            batch, wait = self.batches.take()
            memory = told_of_memory(config, self.net, self.work.sample_bytes)
            with memory, droppable(on_cpu and self.rank == 0):
                losses = self._round(batch, rng, number == 0)
            yield losses[0], wait
            yield from ((loss, 0.0) for loss in losses[1:])
        if self.link is not None:
            self.link.finish()

    @np.errstate(over="ignore", invalid="ignore")  # the loss shows it, and is checked
    def _round(self, batch: tuple, rng: np.random.Generator, first: bool) -> list[float]:
        """One pass of each rank: the losses of all."""
        if self.link is None:
            return [self.work.accumulate(batch, rng, self.batches.prepare)]
        before = [(norm.mean.copy(), norm.variance.copy()) for norm in self.norms]
        self._skip(rng, self.rank)
        loss = self.work.accumulate(batch, rng, self.batches.prepare)
        self._skip(rng, self.config.devices - 1 - self.rank)
        newest = [to_host(array) for norm in self.norms for array in norm.newest]
        found = self.link.gather(np.concatenate([[loss], *newest], dtype=np.float64))
        for norm, (mean, variance) in zip(self.norms, before, strict=True):
            norm.mean[...], norm.variance[...] = mean, variance
        for row in found:
            self._learn(row[1:])
        self.link.add(first)
        return found[:, 0].tolist()

    def _skip(self, rng: np.random.Generator, passes: int) -> None:
        """Draw the keys of dropout that other ranks take."""
        for _ in range(passes * self.keys):
            rng.integers(2**64, dtype=np.uint64)

    def _learn(self, statistics: np.ndarray) -> None:
        """Move the running statistics towards those of a batch, given one after the other."""
        at = 0

        def taken(like: Array) -> Array:
            nonlocal at
            at += like.size
            values = statistics[at - like.size : at].astype(like.dtype)
            return to_device(values, self.net.device)

        for norm in self.norms:
            batch_norm.running(norm.mean, taken(norm.mean))
            batch_norm.running(norm.variance, taken(norm.variance))

    def batch(self, step: int, number: int) -> tuple:
        """x, labels and weights of batch `number` of an update, which has just been shown to the
        network by this rank or another one; as their samples are made again by themselves."""
        if number % self.config.devices == self.rank:
            return self.work.batch()
        index = (step - 1) * self.config.iter_size + number
        if not self.work.sample_bytes:
            return self.samples.stacked(index)
        self.work.accumulate(self.samples.records(index), np.random.default_rng(0))
        return self.work.batch()
