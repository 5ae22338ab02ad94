"""The demonstration: a synthetic membrane stack, a small net, two baselines that it must beat."""

from pathlib import Path

import numpy as np

from cunet.data.images import TiffOutput
from cunet.data.synthetic import membranes
from cunet.metrics.pixel import PixelCounts

SLICES, SIDE = 16, 256
BLURS = (0.0, 0.5, 1.0, 1.5, 2.0, 3.0)  # pixels; the best of them is the baseline
SETTINGS = {
    "width": 8,
    "depth": 3,
    "tile": 188,
    "steps": 1200,
    "lr": 3e-3,
    "fold": "0/4",
    "validate_every": 200,
    "device": "cpu",
}


def write_stack(folder: Path, seed: int) -> None:
    """A synthetic stack in the ISBI 2012 layout."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, stack in zip(
        ("train-volume.tif", "train-labels.tif"), membranes(SLICES, SIDE, SIDE, seed), strict=True
    ):
        with TiffOutput(folder / name, SLICES, SIDE, SIDE, np.uint8) as file:
            for page, pixels in enumerate(stack):
                file.write_rows(page, 0, pixels)


def baselines(images: list[np.ndarray], cells: list[np.ndarray]) -> dict[str, float]:
    """Pixel errors that need no network: the image itself, blurred as helps most, and all white.

    images (H, W, 1) uint8, cells (H, W) bool.
    """
    from scipy.ndimage import gaussian_filter

    blurred = []
    for sigma in BLURS:
        counts = PixelCounts()
        for image, white in zip(images, cells, strict=True):
            gray = image[..., 0].astype(np.float32) / 255
            counts.add(gaussian_filter(gray, sigma) if sigma else gray, white)
        blurred.append(counts.pixel_error())
    white_only = PixelCounts()
    for white in cells:
        white_only.add(np.ones(white.shape, np.float32), white)
    return {"blurred image": min(blurred), "all white": white_only.pixel_error()}
