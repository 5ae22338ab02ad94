"""Training samples made on the GPU: the wrapper of sample.cu, and what a step's batch comes from.

The slices to train on lie on the GPU once, with a table of their addresses and sizes. A sample is
made from its record (data.samples.Record), some hundred bytes that the host draws, by one kernel at
the beginning of the recorded step: nothing waits for samples.

n: side of the tile; m: of its middle; C: channels; N: samples of a batch.
"""

from typing import Any

import numpy as np

from cunet.backend import Array, import_cupy
from cunet.engines.gpu.cuda import blocks, launch
from cunet.engines.gpu.elements import THREADS
from cunet.engines.gpu.graphs import Inbox, Place
from cunet.errors import CunetError

MAX_CHANNELS, MAX_NODES, PATCH = 4, 16, 32  # as in sample.cu
SLICE = np.dtype([
    ("image", np.uint64), ("weights", np.uint64), ("labels", np.uint64),
    ("height", np.int32), ("width", np.int32),
])  # fmt: skip


def record_type(nodes: int) -> np.dtype:
    """The struct Sample of sample.cu with the vectors of a bend of so many nodes along a side."""
    four = (np.float32, MAX_CHANNELS)
    return np.dtype([
        ("slice", np.int32), ("top", np.int32), ("left", np.int32), ("nodes", np.int32),
        ("move", *four), ("slope", *four), ("curve", *four), ("level", *four),
        ("deviation", np.float32), ("unused", np.float32), ("key", np.uint64),
        ("vectors", np.float32, (2, nodes, nodes)),
    ])  # fmt: skip


def nodes_of(how: Any) -> int:
    """Nodes along a side of the bend of a data.augment.Augmentation; 0: there is no grid."""
    return how.grid if how.elastic == "grid" else 0


def sample_bytes(samples: Any) -> int:
    """Bytes on the GPU of the slices that these samples are drawn from; 0 where their kind is not
    made here: a bend by noise, a blur, more channels or a finer grid than the kernel takes, slices
    that are read from disk when samples are drawn from them."""
    how, images = samples.augmentation, samples.images
    if samples.on_disk or how.elastic == "simard" or how.blur or nodes_of(how) > MAX_NODES:
        return 0
    if images[0].shape[2] > MAX_CHANNELS or any(y.dtype != np.uint8 for y in samples.labels):
        return 0
    return sum(4 * x.size + 5 * y.size for x, y in zip(images, samples.labels, strict=True))


class HostBatches:
    """Batches that the host made: three arrays, which are sent to the GPU.

    After send() `arrays` holds x (N, n, n, C) float32, labels (N, m, m) int32 and weights (N, m, m)
    float32 on the GPU.
    """

    def __init__(self) -> None:
        self.inboxes: list[Inbox] = []  # made for the first batch

    @property
    def arrays(self) -> tuple[Array, ...]:
        """The batch on the GPU."""
        return tuple(inbox.array for inbox in self.inboxes)

    def write(self, batch: tuple) -> None:
        """Keep a batch for the next send(). CunetError where its shape is not that of the first."""
        if not self.inboxes:
            kinds = ("float32", "int32", "float32")
            self.inboxes = [Inbox(a.shape, kind) for a, kind in zip(batch, kinds, strict=True)]
        for inbox, values in zip(self.inboxes, batch, strict=True):
            if values.shape != inbox.array.shape:  # one image would be repeated
                raise CunetError(
                    f"recorded step: expected batches of one shape, {inbox.array.shape}, found "
                    f"{values.shape}; make another step for others"
                )
            inbox.write(values)

    def send(self, place: Place) -> None:
        """Send the batch that was written last."""
        for inbox in self.inboxes:
            inbox.send(place)

    def make(self) -> None:
        """Part of the recorded step: here nothing is left to do."""


class DeviceSamples:
    """As HostBatches, for batches of records; make() launches the kernel that fills `arrays`.

    samples: data.samples.Samples of which sample_bytes is not 0.
    """

    def __init__(self, samples: Any):
        xp, nodes = import_cupy(), nodes_of(samples.augmentation)
        n, m, channels = samples.input_size, samples.output_size, samples.images[0].shape[2]
        self.type, self.ignore = record_type(nodes), samples.ignore
        self.slices = [
            tuple(
                xp.asarray(np.ascontiguousarray(array, kind))
                for array, kind in zip(slice_, (np.float32, np.float32, np.uint8), strict=True)
            )
            for slice_ in zip(samples.images, samples.weights, samples.labels, strict=True)
        ]
        rows = [(*(a.data.ptr for a in arrays), *arrays[2].shape) for arrays in self.slices]
        self.table = xp.asarray(np.array(rows, SLICE).view(np.uint8))
        self.basis = xp.asarray(samples.basis()) if nodes else None
        self.inbox = Inbox((samples.batch * self.type.itemsize,), "uint8")
        self.arrays = (
            xp.empty((samples.batch, n, n, channels), np.float32),
            xp.empty((samples.batch, m, m), np.int32),
            xp.empty((samples.batch, m, m), np.float32),
        )

    def write(self, batch: tuple) -> None:
        """Keep a batch of data.samples.Record for the next send()."""
        records = np.zeros(len(batch), self.type)
        for record, given in zip(records, batch, strict=True):
            drawn, channels = given.drawn, len(given.drawn.slope)
            record["slice"], record["top"], record["left"] = given.slice, drawn.top, drawn.left
            record["move"] = drawn.move.ravel()
            for name in ("slope", "curve", "level"):
                record[name][:channels] = getattr(drawn, name)
            record["deviation"], record["key"] = drawn.deviation, given.key
            if drawn.vectors is not None:
                record["nodes"], record["vectors"] = len(drawn.vectors[0]), drawn.vectors
        self.inbox.write(records.view(np.uint8))

    def send(self, place: Place) -> None:
        """Send the records that were written last."""
        self.inbox.send(place)

    def make(self) -> None:
        """Fill the arrays from the records."""
        x, labels, weights = self.arrays
        number, n, _, channels = x.shape
        patches = blocks(n, PATCH)
        launch(
            None, "make_sample", (patches, patches, number), THREADS, self.table, self.inbox.array,
            self.type.itemsize, self.basis, x, labels, weights, n, labels.shape[1], channels,
            self.ignore,
        )  # fmt: skip
