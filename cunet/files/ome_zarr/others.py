"""Zarr folders that are no image: what they are, and which path within them to give."""

from pathlib import Path
from typing import Any

from cunet.errors import DataError
from cunet.files.ome_zarr.multiscales import entries
from cunet.files.ome_zarr.nodes import Node, holds_node, read_node

_MOST_NAMED = 4


def no_image(node: Node) -> DataError:
    """The error for a node without multiscales."""
    if node.kind == "array":
        return _bare(node)
    folder, found = node.folder, entries(node)
    if "plate" in found:
        wells = _paths(found["plate"], "wells")
        return _holds(folder, "a plate of wells", [folder / well / "0" for well in wells])
    if "well" in found:
        images = _paths(found["well"], "images")
        return _holds(folder, "a well of a plate", [folder / image for image in images])
    if "bioformats2raw.layout" in found:
        return _holds(folder, "a container of images", _series(folder))
    if isinstance(found.get("labels"), list):
        named = [folder / str(label) for label in found["labels"]]
        return _holds(folder, "a group of label images", named)
    labels = _labels_below(folder)
    if labels:
        return _holds(folder, "a group of label images without an image", labels)
    return DataError(
        f"'{folder}' is a zarr group without the metadata of OME-Zarr: expected multiscales, found "
        f"{', '.join(map(str, found)) or 'no attributes':.80}. Give the folder of an image in it, "
        "or save the image as OME-Zarr 0.4 or 0.5."
    )


def _bare(node: Node) -> DataError:
    """The error for an array: the image that it belongs to, if it does."""
    above = node.folder.parent
    if holds_node(above):
        parent = read_node(above)
        if parent.kind == "group" and "multiscales" in entries(parent):
            return DataError(
                f"'{node.folder}' is one array of the OME-Zarr image '{above}'; expected the image "
                f"as a whole. Give '{above}'."
            )
    return DataError(
        f"'{node.folder}' is a bare zarr array, not OME-Zarr: nothing says what its axes are. Save "
        "it as OME-Zarr 0.4 or 0.5, or as TIFF."
    )


def _holds(folder: Path, what: str, images: list[Path]) -> DataError:
    named = ", ".join(f"'{image}'" for image in images[:_MOST_NAMED])
    if len(images) > _MOST_NAMED:
        named += f" and {len(images) - _MOST_NAMED:,} more"
    return DataError(
        f"'{folder}' is {what}; expected one image. "
        + (f"Give one of {named}." if images else "It names none: save it again.")
    )


def _paths(found: Any, name: str) -> list[str]:
    """The paths in a list of objects; none where it is no such list."""
    listed = found.get(name) if isinstance(found, dict) else None
    if not isinstance(listed, list):
        return []
    return [str(one["path"]) for one in listed if isinstance(one, dict) and "path" in one]


def _series(folder: Path) -> list[Path]:
    """The images of a container: those its folder OME names, else 0, 1 and so on."""
    if holds_node(folder / "OME"):
        series = entries(read_node(folder / "OME")).get("series")
        if isinstance(series, list) and series:
            return [folder / str(name) for name in series]
    images: list[Path] = []
    while holds_node(folder / str(len(images))):
        images.append(folder / str(len(images)))
    return images


def _labels_below(folder: Path) -> list[Path]:
    """The label images that the folder labels names."""
    if not holds_node(folder / "labels"):
        return []
    labels = entries(read_node(folder / "labels")).get("labels")
    return [folder / "labels" / str(name) for name in labels] if isinstance(labels, list) else []
