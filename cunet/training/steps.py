"""Who makes the samples of a training, its device or threads beside it, and the object that makes
its steps."""

from contextlib import AbstractContextManager
from typing import Any

from cunet.data.labels import IGNORE
from cunet.net.figure1 import memory_bytes
from cunet.net.memory import CERTAIN, explained, gpu_memory
from cunet.net.shape import Shape
from cunet.net.unet import UNet
from cunet.segmentation.tiling import whole_tile
from cunet.solvers.adam import Adam
from cunet.solvers.sgd import SGD
from cunet.training.config import Config
from cunet.training.prepared import Prepared

USABLE = 0.9  # of a GPU's memory: driver, display and other programs take some


def make_step(config: Config, prepared: Prepared, net: UNet, solver: SGD | Adam) -> Any:
    """What the engine of this net makes the steps with.

    The device makes the samples itself if its engine can, and if the slices to train on surely have
    room beside the network; then sample_bytes of what is returned is not 0. Where a sample is made
    decides its noise, so this must not depend on what other programs hold: the whole memory of the
    GPU counts, not what is free.
    """
    samples = prepared.samples
    data = net.engine.sample_bytes(samples)
    need = network_bytes(config, prepared, net.shape, net.precision)
    fits = need / CERTAIN + data <= USABLE * gpu_memory(net.device)
    with told_of_memory(config, net, data if fits else 0):
        return net.engine.step(net, solver, config.normalize, IGNORE, samples if fits else None)


def told_of_memory(config: Config, net: UNet, data: int = 0) -> AbstractContextManager[None]:
    """Within it, errors of memory become those of a training step; data: see net.memory.Task."""
    return explained(net, config.tile, config.batch, solver=config.solver, data=data)


def network_bytes(config: Config, prepared: Prepared, shape: Shape, precision: str) -> int:
    """About how many bytes a step or the validation takes, whichever is larger."""
    memory = memory_bytes(shape, config.tile, config.batch, config.solver, precision)["training"]
    if prepared.held_out:  # validation segments whole slices
        tile = whole_tile(prepared.dataset.images[prepared.held_out[0]], shape)
        whole = memory_bytes(shape, tile, config.batch, config.solver, precision)
        memory = max(memory, whole["inference"])
    return memory
