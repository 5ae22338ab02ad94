"""Sizes and units: of a layer in napari, and of a file that cunet reads or writes.

A napari layer has a scale and a unit for each axis; "pixel" is a unit that nobody gave. cunet's
files have pixels per unit, a distance of slices and an interval of frames.
"""

from typing import Any

import numpy as np

from cunet.files.calibration import Calibration
from cunet.files.image_file import ImageFile
from cunet.files.units import METRES, length, seconds

LONG = {"nm": "nanometer", "um": "micrometer", "mm": "millimeter", "cm": "centimeter",
        "m": "meter", "inch": "inch"}  # fmt: skip


def pixel_size(scale: Any, units: Any) -> tuple[tuple[float, float] | None, str]:
    """((height, width) of a pixel, unit) from the scale and units of a layer's last two axes; None
    where its unit is none of length."""
    down, across = (length(str(unit)) for unit in units[-2:])
    if down is None or across is None:
        return None, "um"
    unit = across[0]
    height = float(scale[-2]) * down[1] * METRES[down[0]] / METRES[unit]
    width = float(scale[-1]) * across[1]
    return ((height, width), unit) if height > 0 and width > 0 else (None, "um")


def calibration_of(scale: Any, units: Any, axes: str) -> Calibration:
    """What a file says of a layer with these axes, such as TYX; what has no unit is left out."""
    size, unit = pixel_size(scale, units)
    found = dict(zip(axes, zip(map(float, scale), map(str, units), strict=True), strict=True))
    spacing, interval = None, None
    if "Z" in found and size is not None and (deep := length(found["Z"][1])) is not None:
        spacing = found["Z"][0] * deep[1] * METRES[deep[0]] / METRES[unit]
    if "T" in found and (factor := seconds(found["T"][1])) is not None:
        interval = found["T"][0] * factor
    if size is None:
        return Calibration(interval=interval)
    return Calibration(1 / size[1], 1 / size[0], unit, spacing, True, interval)


def options_of(image: ImageFile) -> dict[str, Any]:
    """scale, units and axis_labels of the pages of a file, as a layer takes them."""
    own, axes = image.calibration, [axis for axis, _ in image.page_axes]
    unit = LONG.get(own.unit, "pixel")
    inch = own.unit == "inch" and not own.imagej  # that of a print, which is no size
    sides = (own.yres, own.xres) if unit != "pixel" and not inch else (None, None)
    scale, units = [], []
    for axis in axes:
        known = {"Z": (own.spacing, unit), "T": (own.interval, "second")}.get(axis, (None, ""))
        scale.append(known[0] or 1.0)
        units.append(known[1] if known[0] else "pixel")
    for side in sides:
        scale.append(1 / side if side else 1.0)
        units.append(unit if side else "pixel")
    return {"scale": scale, "units": units, "axis_labels": [a.lower() for a in axes] + ["y", "x"]}


def of_pages(layer: Any, channel_axis: int | None, index: tuple[int, ...] | None) -> dict[str, Any]:
    """Where the pages of an image layer lie: its scale, translation, units and so on, for a layer
    that has no axis of channels, and of all pages or the one at `index`, which keeps its axes."""
    kept = [axis for axis in range(layer.ndim) if axis != channel_axis]
    square = np.ix_(kept, kept)
    translate = np.array(layer.translate)[kept]
    if index is not None:
        offset = np.zeros(len(kept))
        offset[: len(index)] = index
        translate = translate + np.array(layer.rotate)[square] @ (
            np.array(layer.scale)[kept] * offset
        )
    options = {
        "scale": np.array(layer.scale)[kept],
        "translate": translate,
        "rotate": np.array(layer.rotate)[square],
        "units": [layer.units[axis] for axis in kept],
        "axis_labels": [layer.axis_labels[axis] for axis in kept],
    }
    if channel_axis is None:
        options |= {"shear": layer.shear, "affine": layer.affine}
    return options
