"""The demonstration: no data and no GPU needed. A synthetic stack, a small net, two baselines.

demo = cunet.training.demo.begin("demo")
for record in demo.train(): ...
demo.segment(); demo.scores(record["val_pixel_error"])
"""

import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cunet.data.labels import cells
from cunet.data.synthetic import SIDE, write_stack
from cunet.files import open_image
from cunet.metrics.pixel import baselines
from cunet.net.checkpoint import load
from cunet.net.tiles import tile_for_output
from cunet.segmentation.how import How
from cunet.segmentation.products import outputs
from cunet.segmentation.segment_file import segment_file
from cunet.training.config import Config, make
from cunet.training.loop import train
from cunet.training.prepared import Prepared, prepare

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


@dataclass(frozen=True)
class Demo:
    """A demonstration, its stack already written; folder holds data/, run/ and the products."""

    folder: Path
    config: Config
    prepared: Prepared

    def train(self) -> Generator[dict[str, Any], None, None]:
        """The training, as cunet.train: a record after every step."""
        return train(self.config, self.prepared)

    def segment(self) -> dict[str, list[Path]]:
        """Write probability, mask and overlay of the held-out slices: product -> files."""
        net, pages = load(self.folder / "run" / "last.npz"), self.prepared.held_out
        targets = {name: self.folder / f"held_out_{name}.tif" for name in ("prob", "mask")}
        targets["overlay"] = self.folder / "held_out_overlay.png"
        with open_image(self.folder / "data" / "train-volume.tif") as image:
            segment_file(
                image, net, targets, How(tile=tile_for_output(SIDE, net.shape.depth)), pages
            )
        return {product: outputs(product, path, pages) for product, path in targets.items()}

    def scores(self, pixel_error: float) -> dict[str, float]:
        """The pixel error of the net beside those of two baselines on the held-out slices."""
        dataset, held_out = self.prepared.dataset, self.prepared.held_out
        images = [dataset.images[i] for i in held_out]
        truth = [cells(dataset.labels[i]) for i in held_out]
        return {"U-Net": pixel_error} | baselines(images, truth)


def begin(folder: str | Path, steps: int | None = None, seed: int = 0) -> Demo:
    """Write the synthetic stack to folder/data and prepare a training of `steps` updates
    (1,200, about a minute). An older run in folder/run is removed."""
    folder = Path(folder)
    shutil.rmtree(folder / "run", ignore_errors=True)
    write_stack(folder / "data", seed)
    given = {"data": str(folder / "data"), "out": str(folder / "run"), "seed": seed}
    config = make("cpu", None, SETTINGS | given | ({"steps": steps} if steps else {}))
    return Demo(folder, config, prepare(config))
