"""Make a small model file of a finished run, as the networks that come with cunet were made.

The parameters of last.npz are rounded to float16, which halves the file; of the training only the
normalisation of the images is kept, and the running statistics where it has batch normalisation.
Where a record (.json), a card (.md) and an index name the file already, its size and SHA-256 are
put there. Prints both, and what the rounding changes on some slices of the run's data (all of which
the network may have seen).

    python examples/bundle.py runs/isbi2012-1 cunet/models/em.npz
    python examples/bundle.py runs/nuclei-1 cunet/models/nuclei.npz
"""

import hashlib
import json
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
    written_down(path, digest)
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


def written_down(path: Path, digest: str) -> None:
    """Put the size and hash of a file in its record, its card and the index, where they are."""
    record, card = path.with_suffix(".json"), path.with_suffix(".md")
    index = path.parent / "index.json"
    if not record.exists():
        return
    known = json.loads(record.read_text(encoding="utf-8"))
    old, known["sha256"], known["bytes"] = known["sha256"], digest, path.stat().st_size
    record.write_text(json.dumps(known, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    if card.exists():
        card.write_text(card.read_text(encoding="utf-8").replace(old, digest), encoding="utf-8")
    if index.exists():
        entries = json.loads(index.read_text(encoding="utf-8"))
        entries[path.stem] |= {"sha256": digest, "bytes": path.stat().st_size}
        index.write_text(json.dumps(entries, indent=2) + "\n", encoding="utf-8")
    print(f"{record.name}, and the card and index beside it: the SHA-256 and size are put in")


if __name__ == "__main__":
    main()
