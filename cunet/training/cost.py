"""What a training will cost here: its memory, and the time of a step."""

import time
from contextlib import closing, suppress
from dataclasses import replace
from typing import Any

import numpy as np

from cunet.data.on_disk import OnDisk
from cunet.data.pages_on_disk import BAND
from cunet.data.samples import sample_workers
from cunet.engines import engine_of
from cunet.errors import NumericError
from cunet.segmentation.segment import segment
from cunet.segmentation.tiling import whole_tile
from cunet.training.config import Config
from cunet.training.loop import make_net, shape_of
from cunet.training.prepared import Prepared
from cunet.training.steps import make_step, network_bytes, told_of_memory
from cunet.training.validation import segmented

LONG = 20  # seconds: then two steps are measure enough


def memory_needed(config: Config, prepared: Prepared) -> int:
    """About how many bytes a training takes: those of a step or of the validation, whichever is
    larger, and those of the data that are on the device. config.precision must be resolved."""
    dataset, samples, shape = prepared.dataset, prepared.samples, shape_of(config, prepared)
    precision = config.precision or config.dtype
    memory = network_bytes(config, prepared, shape, precision)
    memory += engine_of(config.device, precision).sample_bytes(samples)
    if samples.on_disk:
        return memory + reading_bytes(config, prepared)
    if config.device == "cpu":
        lists: Any = (dataset.images, dataset.labels, dataset.instances or [], samples.images,
                 samples.labels, samples.weights)  # fmt: skip
        memory += sum({id(a): a.nbytes for arrays in lists for a in arrays}.values())
    return memory


def reading_bytes(config: Config, prepared: Prepared) -> int:
    """About how many bytes slices on disk take while they are gone through once, and while samples
    are drawn from them or held-out ones are segmented, whichever is largest."""
    first = prepared.samples.images[0]
    channels = first.shape[2]
    batches = 3 * sample_workers(config.device) * config.batch  # in work, and ready
    drawn = batches * (2 * config.tile) ** 2 * (4 * channels + 8)
    band = 0
    if prepared.held_out:
        image = prepared.dataset.images[prepared.held_out[0]]
        tile = whole_tile(image, shape_of(config, prepared))
        band = min(tile, len(image)) * image.shape[1] * 8 * len(prepared.dataset.class_names)
    return max(4 * BAND, drawn, band)


def measure_speed(config: Config, prepared: Prepared, steps: int = 6) -> float:
    """Seconds of a step here, including its share of the validations, measured on a throw-away
    network by one device; of several that share an update, without the sum of their gradients."""
    net = make_net(replace(config, from_model=None), prepared)
    solver = config.make_solver(net.parameters())
    work = make_step(config, prepared, net, solver)
    done, data = [], work.sample_bytes
    passes = config.iter_size // config.devices
    number = (steps + 2) * passes
    stream = prepared.samples.stream(0, number, sample_workers(config.device), data > 0)
    with closing(work), closing(stream):
        for i, (batch, _) in enumerate(stream):
            with told_of_memory(config, net, data):
                work.accumulate(batch, np.random.default_rng(0))
            if (i + 1) % passes == 0:
                work.update()
                done.append(time.perf_counter())
                if len(done) > 2 and done[-1] - done[0] > LONG:
                    break
        step = float(np.median(np.diff(done)[1:]))
        if prepared.held_out:
            image = prepared.dataset.images[prepared.held_out[0]]
            for _ in range(1 if config.device == "cpu" else 2):  # a GPU records at the first
                start, rows = time.perf_counter(), len(image)
                with suppress(NumericError):  # diverged already: the training itself will say so
                    if isinstance(image, OnDisk):  # one band tells of all
                        rows = len(next(segmented(net, image))[1])
                    else:
                        segment(image, net, whole_tile(image, net.shape))
                one = (time.perf_counter() - start) * len(image) / rows
            step += one * len(prepared.held_out) / min(config.interval, config.steps)
    return step
