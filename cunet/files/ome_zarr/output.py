"""Writing OME-Zarr: a group with an image and label images, whose blocks are filled one by one.

    create("out.ome.zarr", (30, 4096, 4096), "zyx", "uint8", labels={"mask": "uint8"})
    out = open_output("out.ome.zarr")
    out["image"][0:1, 0:1024, 0:1024] = probability
    out["mask"][0:1, 0:1024, 0:1024] = mask

Blocks that nobody has written read as 0. Metadata name only what is there: a process that is killed
leaves no image or a valid one.
"""

import os
import secrets
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from cunet.errors import CunetError, DataError, not_among
from cunet.files.calibration import Calibration
from cunet.files.descriptions import writable
from cunet.files.disk import write_error
from cunet.files.ome_zarr.array import Array
from cunet.files.ome_zarr.arrays import Layout, create_array, layout, layout_of
from cunet.files.ome_zarr.describe import Described, attributes, multiscales
from cunet.files.ome_zarr.multiscales import VERSIONS, Multiscales, entries, read_multiscales
from cunet.files.ome_zarr.nodes import holds_node, read_node, write_group
from cunet.files.ome_zarr.sizes import scale_of

IMAGE = "image"  # the name of the image itself, beside those of its label images


def create(
    path: str | Path,
    shape: Sequence[int],
    axes: str,
    dtype: Any,
    calibration: Calibration | None = None,
    *,
    translation: Sequence[float] | None = None,
    chunk: Sequence[int] | None = None,
    shard: Sequence[int] | None = None,
    version: str = "0.5",
    name: str = "",
    labels: Mapping[str, Any] | None = None,
    description: str = "",
) -> None:
    """Make an OME-Zarr group, where nothing is yet, with empty arrays of one level.

    shape, axes  of the image, such as (30, 512, 512) and "zyx"; label images leave out axis c
    dtype        of the image; None for label images alone
    calibration  the size of a pixel
    translation  where the middle of the first pixel lies along every axis, in its unit
    chunk        what is compressed as one, by default 512 rows and columns of one slice
    shard        what one file holds, a whole number of chunks; by default one. Version 0.4 has none
    labels       names and integer dtypes of label images
    description  how it was made, for `read_description`

    The group appears whole or not at all. Raises CunetError for what cannot be, and where something
    has that name.
    """
    path = Path(path)
    if version not in VERSIONS:
        raise not_among("the version of OME-Zarr", version, VERSIONS)
    if path.exists():
        raise CunetError(f"'{path}' is there already. Remove it, or choose another name.")
    files = layout(axes, shape, chunk, shard, version)
    scale, units = scale_of(calibration or Calibration(), axes)
    what = Described(axes, units, scale, tuple(translation or (0.0,) * len(axes)))
    hidden = path.with_name(f".{path.name[:40]}.{secrets.token_hex(8)}.part")
    try:
        for label, kind in (labels or {}).items():
            _check_label(label, kind)
            _create_label(hidden, label, kind, files, what, 1, dtype is not None)
        if labels:
            _write(hidden / "labels", version, {"labels": list(labels)})
        own = {"cunet": {"description": writable(description)}} if description else {}
        image = {}
        if dtype is not None:
            create_array(hidden / "0", files, dtype, False)
            image = {"multiscales": [multiscales(name or path.name, what, 1, False)]}
        _write(hidden, version, image, own)
        os.rename(hidden, path)
    except OSError as error:
        raise write_error(error, path) from error
    finally:
        with suppress(OSError):
            shutil.rmtree(hidden)


def add_label(path: str | Path, name: str, dtype: Any) -> None:
    """Make an empty label image in a group, like its image or its first label image in size, and
    with as many levels."""
    path = Path(path)
    names = label_names(path)
    _check_label(name, dtype)
    if name in names:
        raise CunetError(f"'{path}' has a label image '{name}' already. Choose another name.")
    first = IMAGE if _has_image(path) else next(iter(names), None)
    if first is None:
        raise DataError(
            f"'{path}' holds neither an image nor a label image: the size of '{name}' is not known"
        )
    found = _multiscales(path, first)
    files = layout_of(_array(path, first, 0), found.axes, found.version)
    _create_label(path, name, dtype, files, _described(found), len(found.levels), first == IMAGE)
    _write(path / "labels", found.version, {"labels": [*names, name]})


def remove_label(path: str | Path, name: str) -> None:
    """Remove a label image, where there is one: the list of them loses its name first."""
    path = Path(path)
    names = label_names(path)
    if name in names:
        version = _multiscales(path, name).version
        _write(path / "labels", version, {"labels": [n for n in names if n != name]})
    try:
        shutil.rmtree(path / "labels" / name, ignore_errors=not (path / "labels" / name).exists())
    except OSError as error:
        raise write_error(error, path / "labels" / name) from error


def open_output(path: str | Path, level: int = 0) -> dict[str, Array]:
    """The arrays of a level, open for writing: "image", where there is one, and label images."""
    path = Path(path)
    names = [*([IMAGE] if _has_image(path) else []), *label_names(path)]
    return {name: _array(path, name, level, writable=True) for name in names}


def label_names(path: Path) -> list[str]:
    """The names of the label images of a group."""
    if not holds_node(path / "labels"):
        return []
    found = entries(read_node(path / "labels")).get("labels", [])
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise DataError(f"'{path / 'labels'}': expected a list of names, found {found!s:.80}")
    return found


def create_level(path: str | Path, name: str, level: int) -> Array:
    """The empty array of a level of the image or of a label image, open for writing.

    One that is there stays as it is. The metadata do not name it until `set_levels`.
    """
    path = Path(path)
    found, finest = _multiscales(path, name), _array(path, name, 0)
    files = layout_of(finest, found.axes, found.version).level(level)
    create_array(_folder(path, name) / str(level), files, finest.dtype, name != IMAGE)
    return _array(path, name, level, writable=True)


def set_levels(path: str | Path, name: str, levels: int) -> None:
    """Let the metadata of the image or of a label image name this many levels, all of which must be
    there. Label images must have as many as their image: they come first."""
    path = Path(path)
    found, folder = _multiscales(path, name), _folder(path, name)
    for level in range(levels):
        if not holds_node(folder / str(level)):
            raise CunetError(f"'{folder}' has no level {level}: it must be made before it is named")
    node = read_node(folder)
    every = {k: value for k, value in entries(node).items() if k not in ("version", "cunet")}
    every["multiscales"] = [multiscales(found.name, _described(found), levels, name != IMAGE)]
    _write(folder, found.version, every, _own(node.attributes))


def _create_label(
    path: Path, name: str, dtype: Any, files: Layout, what: Described, levels: int, source: bool
) -> None:
    """The arrays and the group of a label image; source: whether the group has an image."""
    files, what = files.without_channels(), what.without_channels()
    folder = path / "labels" / name
    for level in range(levels):
        create_array(folder / str(level), files.level(level), dtype, True)
    label = {"source": {"image": "../../"}} if source else {}
    scales = [multiscales(name, what, levels, True)]
    _write(folder, files.version, {"multiscales": scales, "image-label": label})


def _write(
    folder: Path, version: str, every: dict[str, Any], own: dict[str, Any] | None = None
) -> None:
    """Write the OME entries of a group, and our own beside them."""
    ome = attributes(version, every) if every else {}
    write_group(folder, 2 if version == "0.4" else 3, {**ome, **(own or {})})


def _own(found: dict[str, Any]) -> dict[str, Any]:
    return {"cunet": found["cunet"]} if "cunet" in found else {}


def _check_label(name: str, dtype: Any) -> None:
    if not name or name in (IMAGE, ".", "..") or set(name) & set('/\\:*?"<>|'):
        raise CunetError(f"a label image needs a name that a folder can have, not '{name}'")
    if np.dtype(dtype).kind not in "ui":
        raise CunetError(f"label image '{name}': expected an integer dtype, found {dtype}")


def _has_image(path: Path) -> bool:
    return "multiscales" in entries(read_node(path))


def _folder(path: Path, name: str) -> Path:
    return path if name == IMAGE else path / "labels" / name


def _multiscales(path: Path, name: str) -> Multiscales:
    return read_multiscales(read_node(_folder(path, name)))


def _described(found: Multiscales) -> Described:
    place = found.levels[0]
    return Described(found.axes, found.units, place.scale, place.translation)


def _array(path: Path, name: str, level: int, writable: bool = False) -> Array:
    return Array(_folder(path, name) / str(level), writable)
