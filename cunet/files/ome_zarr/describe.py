"""The metadata of OME-Zarr images as they are written: attributes of NGFF 0.4 and 0.5."""

from dataclasses import dataclass
from typing import Any

from cunet.files.ome_zarr.multiscales import Level

_KINDS = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_METHODS = {
    False: ("mean", "the mean of 2 x 2 pixels, rows and columns alone"),
    True: ("subsampling", "the first of 2 x 2 pixels, rows and columns alone"),
}


@dataclass(frozen=True)
class Described:
    """What all the images of a group have in common.

    axes, units, scale, translation  of the finest level
    """

    axes: str
    units: tuple[str, ...]
    scale: tuple[float, ...]
    translation: tuple[float, ...]

    def without_channels(self) -> "Described":
        """The same of a label image, which has no axis c."""
        kept = [i for i, axis in enumerate(self.axes) if axis != "c"]
        return Described(
            self.axes.replace("c", ""),
            tuple(self.units[i] for i in kept),
            tuple(self.scale[i] for i in kept),
            tuple(self.translation[i] for i in kept),
        )


def multiscales(name: str, what: Described, levels: int, labels: bool) -> dict[str, Any]:
    """The entry for an image of several levels, each half as high and wide as the one before."""
    axes = [
        {"name": axis, "type": _KINDS[axis]} | ({"unit": unit} if unit else {})
        for axis, unit in zip(what.axes, what.units, strict=True)
    ]
    places = [level_place(what, number, labels) for number in range(levels)]
    kind, sentence = _METHODS[labels]
    return {
        "name": name,
        "axes": axes,
        "datasets": [_dataset(place) for place in places],
        "type": kind,
        "metadata": {"method": "cunet", "description": sentence},
    }


def level_place(what: Described, number: int, labels: bool) -> Level:
    """A level's scale and translation.

    The middle of a mean of 2^n x 2^n pixels lies (2^n - 1) / 2 pixels from that of the first.
    """
    factor = 2**number
    scale, moved = [], []
    for axis, size, start in zip(what.axes, what.scale, what.translation, strict=True):
        halved = axis in "yx"
        scale.append(size * factor if halved else size)
        moved.append(start + (0.0 if labels or not halved else size * (factor - 1) / 2))
    return Level(str(number), tuple(scale), tuple(moved))


def attributes(version: str, entries: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a group: entries below "ome" from version 0.5 on, at the top before."""
    if version == "0.5":
        return {"ome": {"version": version, **entries}}
    entries = dict(entries)
    if "multiscales" in entries:
        entries["multiscales"] = [{"version": version, **one} for one in entries["multiscales"]]
    if "image-label" in entries:
        entries["image-label"] = {"version": version, **entries["image-label"]}
    return entries


def _dataset(place: Level) -> dict[str, Any]:
    steps: list[dict[str, Any]] = [{"type": "scale", "scale": list(place.scale)}]
    if any(place.translation):
        steps.append({"type": "translation", "translation": list(place.translation)})
    return {"path": place.path, "coordinateTransformations": steps}
