"""How images become the numbers a network was trained on: fixed then, stored in the model."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

SAMPLED_PIXELS = 4_000_000  # about, for percentiles
ROWS_AT_ONCE = 256  # of an image that are read
# An image's range of grey values may be WIDER times as wide as that of the training images, or as
# narrow, and its middle MOVED by this share of their width: slices of ISBI 2012 and frames of U373
# and HeLa keep within 1.35 and 0.13. At half the brightness the pixel error of em is doubled.
WIDER, MOVED = 1.67, 0.2
LOST = 1e-6  # of the squared mean: a smaller variance drowns in the rounding of large numbers


@dataclass(frozen=True)
class Normalization:
    """(image - mean) / deviation for every channel, and the range of the training images.

    low and high are the 0.1 and 99.9 percentiles of the training pixels; NaN where unknown. With
    per_image every image has the mean and deviation of its own pixels: see `fitted`.
    """

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    per_image: bool = False

    @classmethod
    def identity(cls, channels: int) -> "Normalization":
        """Leaves images as they are."""
        nan = (float("nan"),) * channels
        return cls((0.0,) * channels, (1.0,) * channels, nan, nan)

    @classmethod
    def of(cls, images: Sequence[np.ndarray]) -> "Normalization":
        """Zero mean and unit deviation over all pixels of the images (H, W, C), per channel.

        The percentiles are those of a regular sample of about SAMPLED_PIXELS pixels.
        """
        flat = [image.reshape(-1, image.shape[2]) for image in images]
        count = sum(len(pixels) for pixels in flat)
        mean = sum(pixels.sum(axis=0, dtype=np.float64) for pixels in flat) / count
        variance = sum(np.square(pixels - mean).sum(axis=0) for pixels in flat) / count
        every = max(1, count // SAMPLED_PIXELS)
        sample = np.concatenate([pixels[::every] for pixels in flat])
        low, high = np.percentile(sample, (0.1, 99.9), axis=0)
        if lost(mean, variance):
            mean, variance = _from_differences(lambda: iter(flat), count)
        return cls.of_statistics(mean, variance, low, high)

    @classmethod
    def of_statistics(
        cls, mean: np.ndarray, variance: np.ndarray, low: np.ndarray, high: np.ndarray
    ) -> "Normalization":
        """From what was found in pixels, (C,) each."""
        numbers = [tuple(v.tolist()) for v in (mean, _deviation(variance), low, high)]
        return cls(numbers[0], numbers[1], numbers[2], numbers[3])

    def fitted(self, read_rows: Callable[[int, int], np.ndarray], height: int) -> "Normalization":
        """What applies to one image: itself or, with per_image, zero mean and unit deviation of
        each channel of that image. read_rows(r0, r1) returns pixels (r1 - r0, W, C)."""
        if not self.per_image:
            return self
        blocks = [
            (first, min(height, first + ROWS_AT_ONCE)) for first in range(0, height, ROWS_AT_ONCE)
        ]

        def pixels() -> Iterator[np.ndarray]:
            for first, last in blocks:
                yield read_rows(first, last).reshape(-1, len(self.mean)).astype(np.float64)

        total = squares = np.zeros(len(self.mean))
        count = 0
        for part in pixels():
            count += len(part)
            total = total + part.sum(axis=0)
            squares = squares + np.square(part).sum(axis=0)
        mean = total / count
        variance = np.maximum(squares / count - mean * mean, 0)
        if lost(mean, variance):
            mean, variance = _from_differences(pixels, count)
        deviation = _deviation(variance)
        return replace(
            self, mean=tuple(mean.tolist()), deviation=tuple(deviation.tolist()), per_image=False
        )

    def apply(self, image: np.ndarray, dtype: str = "float32") -> np.ndarray:
        """The normalised image, (..., C) of any dtype in, of `dtype` out.

        What float32 cannot hold is subtracted in float64: 1e9 + 0.5 would be rounded to 1e9.
        """
        work = np.float64 if wide(image.dtype) else np.dtype(dtype)
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):  # its user looks
            scaled = image.astype(work)
            scaled -= np.asarray(self.mean, work)
            scaled /= np.asarray(self.deviation, work)
            return scaled.astype(dtype, copy=False)

    def far_from_training(self, low: np.ndarray, high: np.ndarray) -> str | None:
        """One line of warning where an image's 0.1 and 99.9 percentiles (per channel) lie far from
        the training images': the width of the range is another one, or its middle elsewhere."""
        for c, (seen_low, seen_high) in enumerate(zip(self.low, self.high, strict=True)):
            if not seen_low < seen_high:
                continue
            seen = seen_high - seen_low
            ratio = (high[c] - low[c]) / seen
            moved = abs(high[c] + low[c] - seen_high - seen_low) / (2 * seen)
            if moved > MOVED or not 1 / WIDER <= ratio <= WIDER:
                return (
                    f"intensities {low[c]:g} ... {high[c]:g} (channel {c}) lie far from the "
                    f"training images' {seen_low:g} ... {seen_high:g}: expect a poor result; "
                    "was the image rescaled or converted?"
                )
        return None


def wide(dtype: np.dtype) -> bool:
    """Whether numbers of this type have more digits than a float32."""
    return dtype.itemsize > (2 if dtype.kind in "iu" else 4)


def lost(mean: np.ndarray, variance: np.ndarray) -> bool:
    """Whether a variance is lost in rounding, so that it must be found from differences."""
    return bool((variance < LOST * mean * mean).any())


def _from_differences(
    parts: Callable[[], Iterator[np.ndarray]], count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of `count` pixels (n, C), of their differences from the first of them."""
    first = next(parts())[0].astype(np.float64)
    total = squares = np.zeros(len(first))
    for part in parts():
        apart = part - first
        total, squares = total + apart.sum(axis=0), squares + np.square(apart).sum(axis=0)
    mean = total / count
    return first + mean, np.maximum(squares / count - mean * mean, 0)


def _deviation(variance: np.ndarray) -> np.ndarray:
    """The deviation of each channel; 1 of a constant one, which stays constant."""
    deviation = np.sqrt(variance)
    deviation[deviation == 0] = 1.0
    return deviation
