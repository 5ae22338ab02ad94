"""Makes a small model file of a finished run: the network that comes with cunet was made so.

The parameters of last.npz are rounded to float16, which halves the file; of the training only the
normalization of the images is kept. Prints the size, the SHA-256 for the model card, and what the
rounding changes on the slices of the run's data (all of which the network may have seen).

    python examples/bundle.py runs/isbi2012-1 cunet/models/isbi2012.npz
"""

import sys
from pathlib import Path

import numpy as np

from cunet.data.dataset import sha256
from cunet.data.labels import IGNORE, cells
from cunet.data.load import load
from cunet.metrics.pixel import PixelCounts
from cunet.net import checkpoint
from cunet.segmentation.tiling import segment, whole_tile
from cunet.training.config import Config
from cunet.training.run_folder import read_settings

SLICES = 5


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run, path = Path(sys.argv[1]), Path(sys.argv[2])
    if path.exists():
        sys.exit(f"'{path}' exists; remove it, or name another file")
    config = Config(**read_settings(run))
    header = checkpoint.read_header(run / "last.npz")
    if header["progress"]["step"] != config.steps:
        sys.exit(f"run '{run}' is not finished: cunet train --resume {run}")
    net = checkpoint.load(run / "last.npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.save(path, net, progress={"step": config.steps}, half=True)
    print(f"{path}: {path.stat().st_size:,} bytes, SHA-256 {sha256(path)}")
    dataset, rounded = load(config.data, config.dataset), checkpoint.load(path)
    counts, largest = (PixelCounts(), PixelCounts()), 0.0
    for i in range(0, len(dataset.images), -(-len(dataset.images) // SLICES)):
        image, labels = dataset.images[i], dataset.labels[i]
        tile = whole_tile(image, net.shape)
        pages = [segment(image, each, tile)[..., 1:].sum(axis=2) for each in (net, rounded)]
        for count, page in zip(counts, pages, strict=True):
            count.add(page, cells(labels), labels != IGNORE)
        largest = max(largest, float(np.abs(pages[0] - pages[1]).max()))
    before, after = (count.pixel_error() for count in counts)
    print(f"rounding: probabilities differ by at most {largest:.4f}, pixel error {before:.6f} "
          f"before and {after:.6f} after")  # fmt: skip


if __name__ == "__main__":
    main()
