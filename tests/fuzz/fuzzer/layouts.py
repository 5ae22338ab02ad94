"""Good data sets of all layouts, as small as cunet trains on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import tifffile
from PIL import Image

SLICES, SIDE = 3, 24
TINY = "--width 1 --depth 1 --tile 30 --batch 1 --steps 4 --device cpu --threads 1".split()


def labels_of(image: np.ndarray) -> np.ndarray:
    return (image > 130).astype(np.uint8) * 255


def objects_of(image: np.ndarray) -> np.ndarray:
    """Numbered objects, with background between them."""
    numbers = np.zeros(image.shape, np.uint16)
    for k, (y, x) in enumerate([(2, 2), (2, 12), (12, 2), (13, 13)], 1):
        numbers[y : y + 7, x : x + 7] = k
    return numbers


def write(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".png":
        Image.fromarray(array).save(path, "PNG")
    else:
        tifffile.imwrite(path, array, photometric="rgb" if array.shape[-1] == 3 else "minisblack")


def isbi(folder: Path, images: np.ndarray) -> None:
    write(folder / "train-volume.tif", images)
    write(folder / "train-labels.tif", labels_of(images))


def snemi(folder: Path, images: np.ndarray) -> None:
    write(folder / "train-input.tif", images)
    write(folder / "train-labels.tif", np.stack([objects_of(image) for image in images]))


def epfl(folder: Path, images: np.ndarray) -> None:
    for part in ("training", "testing"):
        write(folder / f"{part}.tif", images)
        write(folder / f"{part}_groundtruth.tif", labels_of(images))


def ctc(folder: Path, images: np.ndarray) -> None:
    for i, image in enumerate(images):
        write(folder / "01" / f"t{i:03}.tif", image)
        write(folder / "01_GT" / "SEG" / f"man_seg{i:03}.tif", objects_of(image))
        write(folder / "01_GT" / "TRA" / f"man_track{i:03}.tif", objects_of(image))


def kaggle(folder: Path, images: np.ndarray) -> None:
    for i, image in enumerate(images):
        one = folder / f"id{i}"
        write(one / "images" / f"id{i}.png", np.dstack([image] * 3 + [np.full_like(image, 255)]))
        for k in range(1, 5):
            mask = (objects_of(image) == k).astype(np.uint8) * 255
            write(one / "masks" / f"nucleus{k}.png", mask)


def pairs(folder: Path, images: np.ndarray) -> None:
    for i, image in enumerate(images):
        write(folder / "images" / f"cell{i}.tif", image)
        write(folder / "labels" / f"cell{i}.png", labels_of(image))


LAYOUTS: dict[str, Callable[[Path, np.ndarray], None]] = {
    "isbi2012": isbi, "isbi2013": snemi, "epfl": epfl, "ctc": ctc, "dsb2018": kaggle,
    "folder": pairs,
}  # fmt: skip
