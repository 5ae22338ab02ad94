"""Training samples, prepared in background threads while the network computes.

Sample number i of a run follows from (seed, i) alone: which slice, where, how it is bent. So a
resumed run meets the same samples as an uninterrupted one, and threads change nothing.
"""

import time
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from cunet.data.augment import Augmentation, draw
from cunet.threads import available_threads

SAMPLE_STREAM = 1  # the purpose that separates these random numbers from all others of a seed
WORKERS = 2
MOST_WORKERS = 12  # beside a GPU, where a step may take a tenth of the time that a sample takes


@dataclass(frozen=True)
class Samples:
    """What samples are drawn from: normalised images (H, W, C), labels and weights (H, W)."""

    images: list[np.ndarray]
    labels: list[np.ndarray]
    weights: list[np.ndarray]
    input_size: int
    output_size: int
    augmentation: Augmentation
    seed: int
    batch: int = 1

    def sample(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sample `index` of the run: x (n, n, C), labels (m, m), weights (m, m)."""
        rng = np.random.default_rng([self.seed, SAMPLE_STREAM, index])
        i = int(rng.integers(len(self.images)))
        return draw(
            rng,
            self.images[i],
            self.labels[i],
            self.weights[i],
            self.input_size,
            self.output_size,
            self.augmentation,
        )

    def stacked(self, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Batch `number` of the run: x (N, n, n, C), labels (N, m, m), weights (N, m, m)."""
        first = number * self.batch
        parts = [self.sample(first + i) for i in range(self.batch)]
        return tuple(np.stack(arrays) for arrays in zip(*parts, strict=True))

    def stream(
        self, first: int, last: int, workers: int = WORKERS
    ) -> Iterator[tuple[tuple, float]]:
        """Yields (batch, seconds waited for it) for the batches first ... last - 1, in order."""
        ahead = 2 * workers  # batches prepared beyond the one in use
        with ThreadPoolExecutor(workers, thread_name_prefix="cunet-samples") as pool:
            ready = deque(
                pool.submit(self.stacked, i) for i in range(first, min(first + ahead, last))
            )
            try:
                for number in range(first, last):
                    start = time.perf_counter()
                    batch = ready.popleft().result()
                    waited = time.perf_counter() - start
                    if number + ahead < last:
                        ready.append(pool.submit(self.stacked, number + ahead))
                    yield batch, waited
            finally:
                for future in ready:
                    future.cancel()


class Batches:
    """A stream of batches, of which the next may be taken while a GPU is at work."""

    def __init__(self, stream: Iterator[tuple[tuple, float]]):
        self.stream, self.next = stream, None

    def take(self) -> tuple[tuple, float]:
        """The next batch, and the seconds waited for it."""
        taken, self.next = self.next or next(self.stream), None
        return taken

    def prepare(self) -> tuple | None:
        """The next batch, which take() will answer; None where there is none."""
        self.next = self.next or next(self.stream, None)
        return self.next and self.next[0]


def sample_workers(device: str) -> int:
    """How many threads prepare samples: beside a GPU most of the processors."""
    return WORKERS if device == "cpu" else min(MOST_WORKERS, max(WORKERS, available_threads() - 1))
