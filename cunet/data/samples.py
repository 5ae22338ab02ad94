"""Training samples: one of arrays, or those of a run, prepared in background threads or, on a GPU
that makes them itself, drawn as records.

(seed, i) alone decides sample number i of a run: which slice, where, how it is bent. So a resumed
run meets the same samples as an uninterrupted one, and the number of threads changes nothing.
"""

import time
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields

import numpy as np

from cunet.checks import arguments, one_image, seed, whole_from_1
from cunet.data.augment import Augmentation, Parameters, draw, parameters
from cunet.data.bend import spline_basis
from cunet.data.labels import IGNORE
from cunet.data.on_disk import OnDisk, Pixels
from cunet.data.values import check_values
from cunet.errors import CunetError, DataError
from cunet.threads import Helpers, available_threads

SAMPLE_STREAM = 1  # the purpose that separates these random numbers from all others of a seed
WORKERS = 2
MAX_WORKERS = 12  # beside a GPU: a step there may take a tenth of the time of a sample


@arguments(
    image=one_image, labels=one_image, weights=one_image, tile=whole_from_1, output=whole_from_1,
    seed=seed,
)  # fmt: skip
def augment(
    image: np.ndarray,
    labels: np.ndarray,
    weights: np.ndarray | None = None,
    tile: int | None = None,
    output: int | None = None,
    seed: int | np.random.Generator = 0,
    **settings: float | str | bool,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """One random training sample of an image and its labels: moved, bent, grey values changed.

    image is (H, W) or (H, W, C), labels (H, W) whole numbers or bool; weights (H, W) are those of
    the pixels in the loss (1 by default). tile is the side of the sample in pixels, by default the
    shorter side of the image, which is mirrored beyond its border. output is the side of the
    sample's middle, for which labels and weights are returned; by default the whole tile. The same
    seed gives the same sample; with a NumPy generator every call draws another one.

    settings have their names in `cunet train`: elastic ("grid", "simard" or "none"),
    elastic_sigma, zoom, shear, blur (pixels), contrast, brightness, curve, noise (in deviations of
    the image), and rotate, mirror, shift, grid, alpha, smoothing: see data/augment.py.

    Returns the image (tile, tile) or (tile, tile, C) float32 in its own units, labels
    (output, output) in their dtype, and weights (output, output) float32, 0 where the label is 255
    (ignore). Raises CunetError for settings that are not valid, DataError for arrays that do not
    fit together.

        x, y, _ = cunet.augment(image, mask, tile=256, seed=1, zoom=0.2)
    """
    colours = image if image.ndim == 3 else image[..., None]
    if image.ndim not in (2, 3) or not image.size or image.dtype.kind not in "buif":
        raise DataError(
            f"image: expected numbers of shape (H, W) or (H, W, C), found {image.dtype} "
            f"{image.shape}"
        )
    if labels.ndim != 2 or labels.dtype.kind not in "bui":
        raise DataError(
            f"labels: expected whole numbers of shape (H, W), found {labels.dtype} {labels.shape}"
        )
    tile = min(image.shape[:2]) if tile is None else tile
    output = tile if output is None else output
    if not 1 <= output <= tile or (tile - output) % 2:
        raise CunetError(
            f"tile and output: expected an output of 1 to {tile} pixels that leaves an even number "
            f"of them, found {output}"
        )
    if image.ndim == 3 and image.shape[0] < image.shape[2] and image.shape[1:] == labels.shape:
        raise DataError("image: channels last are expected: image.transpose(1, 2, 0)")
    check_values(colours, "image")
    weights = np.ones(labels.shape, np.float32) if weights is None else weights
    if weights.dtype.kind not in "buif" or not np.isfinite(weights).all():
        raise DataError(f"weights: expected finite numbers, found {weights.dtype} with others")
    mean, deviation = colours.mean(axis=(0, 1)), colours.std(axis=(0, 1))
    deviation = np.where(deviation == 0, 1, deviation)
    normal = ((colours - mean) / deviation).astype(np.float32)
    rng = np.random.default_rng(seed)
    x, y, w = draw(rng, normal, labels, weights, tile, output, _augmentation(settings))
    x = (x * deviation + mean).astype(np.float32)
    return x.reshape(tile, tile, *image.shape[2:]), y, w


def _augmentation(settings: dict) -> Augmentation:
    """The settings by their names in `cunet train`; CunetError for an unknown one."""
    known = {"elastic_sigma" if f.name == "sigma" else f.name: f.name for f in fields(Augmentation)}
    for name in settings:
        if name not in known:
            raise CunetError(f"augment: unknown setting '{name}'; known: {', '.join(known)}")
    return Augmentation(**{known[name]: value for name, value in settings.items()})


@dataclass(frozen=True)
class Record:
    """What a GPU makes a sample from: the slice's number, the drawn numbers, and in the place of
    the noise the 64-bit key from which the GPU draws it."""

    slice: int
    drawn: Parameters
    key: int


@dataclass(frozen=True)
class Samples:
    """What samples are drawn from: normalised images (H, W, C), labels and weights (H, W), in
    memory or on disk."""

    ignore = IGNORE  # the label of pixels that weigh nothing

    images: Sequence[Pixels]
    labels: Sequence[Pixels]
    weights: Sequence[Pixels]
    input_size: int
    output_size: int
    augmentation: Augmentation
    seed: int
    batch: int = 1

    @property
    def on_disk(self) -> bool:
        """Whether slices are read when samples are drawn from them."""
        return any(isinstance(image, OnDisk) for image in self.images)

    def sample(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sample `index` of the run: x (n, n, C), labels (m, m), weights (m, m)."""
        rng, i = self._begin(index)
        return draw(
            rng,
            self.images[i],
            self.labels[i],
            self.weights[i],
            self.input_size,
            self.output_size,
            self.augmentation,
        )

    def record(self, index: int) -> Record:
        """The record of sample `index`; but for its noise it describes what sample() returns."""
        rng, i = self._begin(index)
        *shape, channels = self.images[i].shape
        drawn = parameters(rng, tuple(shape), channels, self.input_size, self.augmentation)
        key = rng.integers(2**64, dtype=np.uint64) if self.augmentation.noise else 0
        return Record(i, drawn, int(key))

    def _begin(self, index: int) -> tuple[np.random.Generator, int]:
        """The random numbers of sample `index`, and the slice that the first of them chooses."""
        rng = np.random.default_rng([self.seed, SAMPLE_STREAM, index])
        return rng, int(rng.integers(len(self.images)))

    def basis(self) -> np.ndarray:
        """(g, n) float32, the splines that bend a sample, see bend.spline_basis."""
        return spline_basis(self.input_size, self.augmentation.grid)

    def stacked(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Batch `number` of the run: x (N, n, n, C), labels (N, m, m), weights (N, m, m)."""
        first = number * self.batch
        parts = [self.sample(first + i) for i in range(self.batch)]
        x, y, w = (np.stack(arrays) for arrays in zip(*parts, strict=True))
        return x, y, w

    def records(self, number: int) -> tuple[Record, ...]:
        """The records of batch `number` of the run."""
        first = number * self.batch
        return tuple(self.record(first + i) for i in range(self.batch))

    def stream(
        self, first: int, last: int, workers: int = WORKERS, records: bool = False, every: int = 1
    ) -> Generator[tuple[tuple, float], None, None]:
        """Yields (batch, seconds waited for it) for the batches first, first + every ... < last.

        records: the records of the batches instead, for which nothing waits and no thread works.
        """
        numbers = range(first, last, every)
        if records:
            yield from ((self.records(number), 0.0) for number in numbers)
            return
        ahead = 2 * workers  # batches prepared beyond the one in use
        pool = Helpers(workers, "cunet-samples")
        with closing(pool):
            ready = deque(pool.submit(self.stacked, number) for number in numbers[:ahead])
            try:
                for i in range(len(numbers)):
                    start = time.perf_counter()
                    batch = ready.popleft().result()
                    waited = time.perf_counter() - start
                    for number in numbers[i + ahead : i + ahead + 1]:  # none at the end
                        ready.append(pool.submit(self.stacked, number))
                    yield batch, waited
            finally:
                for future in ready:
                    future.cancel()


class Batches:
    """A stream of batches; the next one may be fetched while a GPU works on the last."""

    def __init__(self, stream: Iterator[tuple[tuple, float]]) -> None:
        self.stream = stream
        self.next: tuple[tuple, float] | None = None

    def take(self) -> tuple[tuple, float]:
        """The next batch, and the seconds waited for it."""
        taken, self.next = self.next or next(self.stream), None
        return taken

    def prepare(self) -> tuple | None:
        """The next batch, which take() will return; None after the last."""
        self.next = self.next or next(self.stream, None)
        return self.next and self.next[0]


def sample_workers(device: str) -> int:
    """How many threads prepare samples; beside a GPU most of the processors do."""
    return WORKERS if device == "cpu" else min(MAX_WORKERS, max(WORKERS, available_threads() - 1))
