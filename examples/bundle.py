"""Make a small model file of a finished run, as the network that comes with cunet was made.

The parameters of last.npz are rounded to float16, which halves the file; of the training only the
normalisation of the images is kept. Prints the size, the SHA-256 for the model card, and what the
rounding changes on the slices of the run's data (all of which the network may have seen).

    python examples/bundle.py runs/isbi2012-1 cunet/models/isbi2012.npz
"""

import hashlib
import sys
from pathlib import Path

import numpy as np

import cunet
from cunet.data.labels import IGNORE, cells
from cunet.data.load import load as load_data
from cunet.metrics.pixel import PixelCounts
from cunet.training.run_folder import read_settings, steps_done

COMPARED_SLICES = 5


def main() -> None:
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    run, path = Path(sys.argv[1]), Path(sys.argv[2])
    if path.exists():
        sys.exit(f"'{path}' exists; remove it, or name another file")
    config = cunet.Config(**read_settings(run))
    if steps_done(run) != config.steps:
        sys.exit(f"run '{run}' is not finished: cunet train --resume {run}")
    net = cunet.load(run / "last.npz")
    path.parent.mkdir(parents=True, exist_ok=True)
    cunet.save(path, net, progress={"step": config.steps}, half=True)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    print(f"{path}: {path.stat().st_size:,} bytes, SHA-256 {digest}")
    dataset, rounded = load_data(config.data, config.dataset), cunet.load(path)
    counts, largest = (PixelCounts(), PixelCounts()), 0.0
    for i in range(0, len(dataset.images), -(-len(dataset.images) // COMPARED_SLICES)):
        image, labels = dataset.images[i], dataset.labels[i]
        pages = [cunet.segment(image, each)[..., 1:].sum(axis=2) for each in (net, rounded)]
        for count, page in zip(counts, pages, strict=True):
            count.add(page, cells(labels), labels != IGNORE)
        largest = max(largest, float(np.abs(pages[0] - pages[1]).max()))
    before, after = (count.pixel_error() for count in counts)
    print(f"rounding: probabilities differ by at most {largest:.4f}, pixel error {before:.6f} "
          f"before and {after:.6f} after")  # fmt: skip


if __name__ == "__main__":
    main()
