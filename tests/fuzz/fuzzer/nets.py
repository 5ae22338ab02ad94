"""Tiny networks with weights that give varied probabilities, and the checks of what they made."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import roifile
import tifffile
from PIL import Image

import cunet


def tiny(channels: int = 1, seed: int = 5, **more) -> "cunet.UNet":
    """One channel wide and one pooling deep; for images of 8-bit greys."""
    net = cunet.UNet(width=1, depth=1, in_channels=channels, dropout=0.0, seed=seed, **more)
    normalization = type(net.normalization)
    net.normalization = normalization(
        (120.0,) * channels, (60.0,) * channels, (0.0,) * channels, (255.0,) * channels
    )
    for parameter in net.parameters():
        if parameter.name.startswith("head"):
            parameter.value *= 2
    return net


def save(path: Path, **settings) -> Path:
    cunet.save(path, tiny(**settings))
    return path


def unsound_products(folder: Path) -> Iterator[str]:
    """What is wrong with the products in a folder: values out of range, files that do not open,
    products of one image that differ in size."""
    shapes = {}
    for path in sorted(folder.glob("*")):
        try:
            if path.suffix == ".png":
                with Image.open(path) as image:
                    values = np.asarray(image)
                if "overlay" in path.name:
                    continue
            elif path.suffix == ".csv":
                with open(path, newline="", encoding="ascii") as file:
                    if len({len(record) for record in csv.reader(file)}) != 1:
                        yield f"{path.name}: its records differ in length"
                continue
            elif path.suffix == ".zip":
                roifile.roiread(path)
                continue
            else:
                values = tifffile.imread(path)
        except Exception as error:
            yield f"{path.name} cannot be read: {error!r}"
            continue
        product = path.stem.rpartition("_")[2]
        if product == "prob":
            if values.dtype != np.float32 or not np.isfinite(values).all():
                bad = np.count_nonzero(~np.isfinite(values))
                yield f"{path.name}: {values.dtype}, {bad} of {values.size} not finite"
            elif values.min() < 0 or values.max() > 1:
                yield f"{path.name}: from {values.min()} to {values.max()}"
        elif product == "mask":
            odd = sorted(set(np.unique(values).tolist()) - {0, 1, 2, 255})
            if odd:
                yield f"{path.name}: holds {odd[:5]}"
        shapes[product] = values.shape
    if {"prob", "mask"} <= shapes.keys() and shapes["prob"] != shapes["mask"]:
        if shapes["prob"][-2:] != shapes["mask"][-2:]:
            yield f"prob is {shapes['prob']}, mask is {shapes['mask']}"
