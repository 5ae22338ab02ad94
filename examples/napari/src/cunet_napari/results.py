"""What came out of a segmentation as napari's layers, at the place of their image.

Running again replaces the layers of the run before, unless a user changed them in between: what was
painted by hand is never lost.
"""

import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from cunet_napari.work import Objects

MADE = "cunet"  # the entry in a layer's metadata that says how it was made
Layer = tuple[np.ndarray, dict[str, Any], str]  # as napari takes it: data, options, type


@dataclass(frozen=True)
class Source:
    """What results belong to.

    name     of the image layer, with the page where it is one
    shape    of the axes before height and width that results have
    place    scale, translation ... of the image: see place.py
    text     how the results were made
    """

    name: str
    shape: tuple[int, ...]
    place: dict[str, Any]
    text: str


def probability_layers(source: Source, probability: np.ndarray, shown: bool) -> list[Layer]:
    """Grey layers from 0 to 1 of probabilities (K, pages, H, W): one for class 1, or for each of
    more than two classes. Hidden at first where mask or labels are shown.
    """
    count = len(probability)
    layers: list[Layer] = []
    for k, of_class in enumerate(probability):
        name = f"{source.name} prob" + (f" class {k}" if count > 1 else "")
        options = {"contrast_limits": (0, 1), "visible": shown and k == min(1, count - 1)}
        layers.append(_layer(source, name, of_class, options, "image"))
    return layers


def object_layers(source: Source, found: Objects, products: set[str]) -> list[Layer]:
    """The mask and the labels, as Labels layers; measures are the features of the labels."""
    layers: list[Layer] = []
    if "mask" in products:
        shown = "labels" not in products
        layers.append(
            _layer(source, f"{source.name} mask", found.mask, {"visible": shown}, "labels")
        )
    if "labels" in products:
        options = {"features": pd.DataFrame(found.table)}
        layers.append(_layer(source, f"{source.name} labels", found.labels, options, "labels"))
    return layers


def _layer(
    source: Source, name: str, pages: np.ndarray, options: dict[str, Any], kind: str
) -> Layer:
    data = pages.reshape(*source.shape, *pages.shape[-2:])
    made = {"name": name, "made": source.text, "sum": zlib.crc32(np.ascontiguousarray(data))}
    return data, {"name": name, "metadata": {MADE: made}, **options, **source.place}, kind


def put(viewer: Any, layers: list[Layer]) -> list[str]:
    """Show these layers in place of those of the run before, or as new ones. Returns the names of
    layers that were kept because somebody had changed them."""
    kept = []
    for data, options, kind in layers:
        old = _before(viewer, options["name"], kind, data)
        if old is not None and _changed(old):
            kept.append(old.name)
            old.metadata = {k: v for k, v in old.metadata.items() if k != MADE}
            old = None
        if old is None:
            getattr(viewer, f"add_{kind}")(data, **options)
            continue
        old.data = data
        for name in ("metadata", "features", "scale", "translate", "rotate", "units"):
            if name in options:
                setattr(old, name, options[name])
    return kept


def _before(viewer: Any, name: str, kind: str, data: np.ndarray) -> Any:
    """The layer that an earlier run made of the same image and product; None without one."""
    for layer in viewer.layers:
        made = layer.metadata.get(MADE)
        same = type(layer).__name__.lower() == kind and layer.ndim == data.ndim
        if made is not None and made["name"] == name and same:
            return layer
    return None


def _changed(layer: Any) -> bool:
    """Whether the pixels of a layer are not what was made."""
    pixels = np.ascontiguousarray(layer.data)
    return bool(zlib.crc32(pixels) != layer.metadata[MADE]["sum"])
