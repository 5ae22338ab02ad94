"""The metadata of an OME-Zarr image, NGFF 0.4 and 0.5: axes, levels and the sizes of pixels."""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cunet.errors import DataError
from cunet.files.ome_zarr.nodes import Node

ORDER = "tczyx"
VERSIONS = ("0.4", "0.5")
_SAVE = "Save the image again, as OME-Zarr 0.4 or 0.5."


@dataclass(frozen=True)
class Level:
    """One resolution: its array's path below the image, and the place of its pixels.

    scale        the size of a pixel along each axis, in the axes' units
    translation  where the middle of the first pixel lies
    """

    path: str
    scale: tuple[float, ...]
    translation: tuple[float, ...]


@dataclass(frozen=True)
class Multiscales:
    """An image at several resolutions.

    version  of NGFF: "0.4" or "0.5"
    axes     their letters, such as "czyx"
    units    one for each axis, "" where none is given
    levels   the finest first
    label    whether it is a label image
    doubts   what a user must hear
    """

    version: str
    name: str
    axes: str
    units: tuple[str, ...]
    levels: tuple[Level, ...]
    label: bool
    doubts: tuple[str, ...] = ()


def entries(node: Node) -> dict[str, Any]:
    """The entries of OME among a node's attributes: below "ome" from version 0.5 on."""
    found = node.attributes.get("ome", node.attributes)
    if not isinstance(found, dict):
        raise _wrong(node.folder, "ome", "an object", found)
    return found


def read_multiscales(node: Node) -> Multiscales:
    """The multiscales of a group that has some. Raises DataError for metadata that are not valid,
    of which it says what was expected and what was found."""
    folder, every = node.folder, entries(node)
    scales = every.get("multiscales")
    if not isinstance(scales, list) or not scales or not isinstance(scales[0], dict):
        raise _wrong(folder, "multiscales", "a list of at least one object", scales)
    first = scales[0]
    version = _version(node, every, first)
    axes, units = _axes(folder, first.get("axes"))
    levels = first.get("datasets")
    if not isinstance(levels, list) or not levels:
        raise _wrong(folder, "datasets", "a list of at least one level", levels)
    above = (1.0,) * len(axes), (0.0,) * len(axes)
    if first.get("coordinateTransformations"):
        above = _place(folder, "multiscales", first["coordinateTransformations"], axes, above)
    doubts = []
    if len(scales) > 1:
        doubts.append(f"{len(scales)} multiscales in one group: the first is read")
    return Multiscales(
        version,
        str(first.get("name") or folder.name),
        axes,
        units,
        tuple(_level(folder, number, level, axes, above) for number, level in enumerate(levels)),
        "image-label" in every,
        tuple(doubts),
    )


def _version(node: Node, every: dict[str, Any], first: dict[str, Any]) -> str:
    """The version that the metadata claim. DataError for one that is not read."""
    inside = "ome" in node.attributes
    found = every.get("version") if inside else first.get("version", "0.4")
    if found not in VERSIONS or inside != (found == "0.5"):
        where = 'below "ome"' if inside else 'not below "ome"'
        raise DataError(
            f"'{node.folder}' is OME-Zarr of version {found!s:.20}, {where}; expected 0.4, or 0.5 "
            f'with its entries below "ome". {_SAVE}'
        )
    return str(found)


def _axes(folder: Path, axes: Any) -> tuple[str, tuple[str, ...]]:
    if not isinstance(axes, list) or not axes or not all(isinstance(a, dict) for a in axes):
        raise _wrong(folder, "axes", "a list of objects with name, type and unit", axes)
    names = [axis.get("name") for axis in axes]
    said = ", ".join(str(name) for name in names)
    known = all(isinstance(name, str) and len(name) == 1 and name in ORDER for name in names)
    if not known or names != sorted(set(names), key=ORDER.index) or names[-2:] != ["y", "x"]:
        raise DataError(
            f"'{folder}' has the axes {said:.80}; expected some of t, c, z, y, x in this order, "
            f"with y and x. {_SAVE}"
        )
    units = [axis.get("unit") or "" for axis in axes]
    if not all(isinstance(unit, str) for unit in units):
        raise _wrong(folder, "unit", "a text", units)
    return "".join(names), tuple(units)


def _level(
    folder: Path, number: int, level: Any, axes: str, above: tuple[tuple[float, ...], ...]
) -> Level:
    path = level.get("path") if isinstance(level, dict) else None
    if not isinstance(path, str) or not path:
        raise _wrong(folder, f"datasets[{number}]", 'an object with a "path"', level)
    if path.startswith(("/", "\\")) or ".." in Path(path).parts:
        raise _wrong(folder, f"datasets[{number}].path", "a path below the image", path)
    steps = level.get("coordinateTransformations")
    return Level(path, *_place(folder, f"datasets[{number}]", steps, axes, above))


def _place(
    folder: Path, what: str, steps: Any, axes: str, above: tuple[tuple[float, ...], ...]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Scale and translation of the steps of a level, those that hold for all levels put on top."""
    what += ".coordinateTransformations"
    if not isinstance(steps, list) or not all(isinstance(step, dict) for step in steps):
        raise _wrong(folder, what, "a list with a scale", steps)
    kinds = [step.get("type") for step in steps]
    if kinds not in (["scale"], ["scale", "translation"]):
        said = ", ".join(str(kind) for kind in kinds) or "none"
        raise _wrong(folder, what, "a scale, and behind it at most a translation", said)
    scale = _numbers(folder, f"{what} (scale)", steps[0].get("scale"), axes)
    if min(scale) <= 0:
        raise _wrong(folder, f"{what} (scale)", "numbers above 0", list(scale))
    translation = (0.0,) * len(axes)
    if len(steps) > 1:
        found = steps[1].get("translation")
        translation = _numbers(folder, f"{what} (translation)", found, axes)
    scales, moves = above
    return (
        tuple(a * b for a, b in zip(scale, scales, strict=True)),
        tuple(a * b + c for a, b, c in zip(translation, scales, moves, strict=True)),
    )


def _numbers(folder: Path, what: str, found: Any, axes: str) -> tuple[float, ...]:
    fine = isinstance(found, list) and len(found) == len(axes)
    if not fine or not all(type(n) in (int, float) and math.isfinite(n) for n in found):
        raise _wrong(folder, what, f"{len(axes)} finite numbers, for {', '.join(axes)}", found)
    return tuple(float(n) for n in found)


def _wrong(folder: Path, what: str, expected: str, found: Any) -> DataError:
    text = "none" if found is None else f"{found!s:.80}"
    return DataError(
        f"'{folder}': its OME metadata have a wrong entry {what}: expected {expected}, found "
        f"{text}. {_SAVE}"
    )
