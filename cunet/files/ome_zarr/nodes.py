"""The nodes of a zarr store on disk: folders that say in JSON whether they are group or array.

Version 3 has one file zarr.json; version 2 has .zgroup or .zarray, and .zattrs for the attributes.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cunet.errors import CunetError, DataError, of_system
from cunet.files.atomic import write_text
from cunet.files.disk import write_error
from cunet.files.json_file import json_text, read_json

_FILES = ("zarr.json", ".zarray", ".zgroup", ".zattrs")


@dataclass(frozen=True)
class Node:
    """A group or an array.

    folder      where it is
    kind        "group" or "array"
    format      of zarr: 2 or 3
    attributes  whatever programs have put there
    document    the JSON that describes it
    """

    folder: Path
    kind: str
    format: int
    attributes: dict[str, Any]
    document: dict[str, Any]


def is_node(folder: Path) -> bool:
    """Whether a folder is a node of a zarr store, or has the name of one."""
    return folder.is_dir() and (folder.suffix == ".zarr" or holds_node(folder))


def holds_node(folder: Path) -> bool:
    """Whether a folder holds one of the files that make it a node; it is not listed."""
    return any((folder / name).is_file() for name in _FILES)


def read_node(folder: Path) -> Node:
    """The node in a folder. CunetError where there is no folder, DataError where it is no node."""
    if not folder.is_dir():
        raise CunetError(f"no folder '{folder}'. Check the name.")
    if (folder / "zarr.json").is_file():
        document = _json(folder / "zarr.json")
        kind = document.get("node_type")
        if kind not in ("group", "array"):
            raise DataError(
                f"'{folder / 'zarr.json'}': expected the node_type group or array, found {kind!r}. "
                "Copy or save the image again."
            )
        return Node(folder, kind, 3, _attributes(document, folder / "zarr.json"), document)
    attributes: dict[str, Any] = {}
    if (folder / ".zattrs").is_file():
        attributes = _json(folder / ".zattrs")
    for name, kind in ((".zarray", "array"), (".zgroup", "group")):
        if (folder / name).is_file():
            return Node(folder, kind, 2, attributes, _json(folder / name))
    if not attributes:
        raise DataError(
            f"'{folder}' is no zarr store: none of {', '.join(_FILES[:3])} is in it. Give the "
            "folder of an OME-Zarr image, or copy it again, with hidden files."
        )
    return Node(folder, "group", 2, attributes, {"zarr_format": 2})


def write_group(folder: Path, format: int, attributes: dict[str, Any]) -> None:
    """Make a folder a group with these attributes, or replace them; whole or not at all."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise write_error(error, folder) from error
    if format == 3:
        group = {"zarr_format": 3, "node_type": "group", "attributes": attributes}
        write_text(folder / "zarr.json", json_text(group))
        return
    write_text(folder / ".zgroup", json_text({"zarr_format": 2}))
    write_text(folder / ".zattrs", json_text(attributes))  # without it, it is a group of anything


def _json(file: Path) -> dict[str, Any]:
    try:
        return read_json(file)
    except OSError as error:
        raise of_system(error, f"cannot read '{file}'") from error
    except json.JSONDecodeError as error:
        raise DataError(
            f"'{file}' is damaged or truncated: no valid JSON ({error}). Copy it again."
        ) from error
    except ValueError as error:
        raise DataError(f"'{file}' cannot be read as JSON: {error}. Copy it again.") from error


def _attributes(document: dict[str, Any], file: Path) -> dict[str, Any]:
    found = document.get("attributes", {})
    if not isinstance(found, dict):
        raise DataError(
            f"'{file}': expected an object of attributes, found {type(found).__name__}. Save the "
            "image again."
        )
    return found
