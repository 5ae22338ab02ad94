"""cunet's TIFFs and models as napari opens them, and labels as it saves them.

    x_prob.tif     grey layers from 0 to 1, one for each class
    x_mask.tif     a Labels layer of class ids (0 and 255 become 0 and 1)
    x_labels.tif   a Labels layer of objects
    model.npz      the model of the widget "Segment with a U-Net", which is opened for it
    run.toml       the same with the best network of the run in whose folder it lies

with the pixel size, the distance of slices and the interval of frames that the file has.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cunet import CunetError
from cunet.files import open_image
from cunet.files.display import for_numbers
from cunet.files.tiff_output import TiffOutput
from cunet.pictures.colours import object_colours
from cunet_napari.models import is_model
from cunet_napari.place import calibration_of, options_of
from cunet_napari.results import Layer

Paths = str | Sequence[str]
KINDS = ("_prob", "_mask", "_labels")
AXES = {0: "", 1: "Z", 2: "TZ"}  # of pages whose axes have no names that a TIFF knows


def product_reader(path: Paths) -> Callable[[Paths], list[Layer]] | None:
    """What reads products of cunet; None where the names are none of theirs."""
    return read_products if all(_kind(one) for one in _several(path)) else None


def read_products(path: Paths) -> list[Layer]:
    """Their layers; DataError for a file that is no image or is in colour."""
    return [layer for one in _several(path) for layer in _layers(Path(one))]


def _layers(path: Path) -> list[Layer]:
    kind = _kind(path)
    with open_image(path, indices=True) as image:
        options = options_of(image)
        lead = tuple(size for _, size in image.page_axes)
        pages = np.stack([image.read(page) for page in range(image.pages)])
    if kind == "_prob":
        layers: list[Layer] = []
        for k in range(pages.shape[-1]):
            name = path.stem + (f" class {k}" if pages.shape[-1] > 1 else "")
            shown = {"name": name, "contrast_limits": (0, 1), "visible": k == pages.shape[-1] // 2}
            data = pages[..., k].reshape(*lead, *pages.shape[1:3])
            layers.append((data, shown | options, "image"))
        return layers
    if pages.shape[-1] != 1 or pages.dtype.kind not in "bui":
        raise CunetError(
            f"'{path}': expected {kind[1:]} of one channel of integers, found "
            f"{pages.shape[-1]} of {pages.dtype}; open it with napari's own reader"
        )
    data = pages[..., 0].reshape(*lead, *pages.shape[1:3])
    if kind == "_mask" and data.dtype == np.uint8 and not ((data > 0) & (data < 255)).any():
        data = (data > 0).astype(np.uint8)
    return [(data, {"name": path.stem} | options, "labels")]


def model_reader(path: Paths) -> Callable[[Paths], list[tuple[None]]] | None:
    """What takes a model; None for several files, and for an .npz that is none of cunet."""
    given = _several(path)
    return take_model if len(given) == 1 and is_model(_model(given[0])) else None


def take_model(path: Paths) -> list[tuple[None]]:
    """Make it the model of the widget; there is no layer to show."""
    from cunet_napari.widget import take

    take(_model(_several(path)[0]))
    return [(None,)]


def _model(path: str) -> str:
    """What names a model: the file itself, or the folder of a run's settings. (A reader of folders
    would be asked about every folder, OME-Zarr too.)"""
    return str(Path(path).parent) if Path(path).name == "run.toml" else path


def write_labels(path: str, data: Any, meta: dict[str, Any]) -> list[str]:
    """Save a Labels layer as `cunet segment --products labels` does: numbers of 16 bits, of 32
    above 65,535, with its sizes, and in colours in ImageJ. CunetError where no TIFF can hold it."""
    data = data[0] if isinstance(data, list | tuple) or meta.get("multiscale") else data
    lead, (height, width) = data.shape[:-2], data.shape[-2:]
    labels = [str(axis).upper() for axis in meta.get("axis_labels", ())][: len(lead)]
    axes = AXES.get(len(lead)) if "".join(labels) not in ("T", "Z", "TZ") else "".join(labels)
    if axes is None:
        raise CunetError(
            f"'{path}': labels of {len(data.shape)} axes; a TIFF has up to 4 (time, slices, "
            "height, width). Save a part of them"
        )
    indices = list(np.ndindex(*lead))
    low, high = 0, 0
    for index in indices:
        page = np.asarray(data[index])
        low, high = min(low, int(page.min())), max(high, int(page.max()))
    if low < 0 or high > np.iinfo(np.uint32).max:
        raise CunetError(f"'{path}': expected labels from 0 to 4294967295, found {low} to {high}")
    ndim = len(data.shape)
    scale = meta.get("scale", (1.0,) * ndim)
    calibration = calibration_of(scale, meta.get("units", ("pixel",) * ndim), axes + "YX")
    kind = np.dtype(np.uint16 if high <= 65535 else np.uint32)
    named = list(zip(axes, lead, strict=True)) or None
    display = for_numbers(high, object_colours(255))
    with TiffOutput(
        path, len(indices), height, width, kind, 1, calibration, "napari labels", named, display
    ) as output:
        for number, index in enumerate(indices):
            output.write_rows(number, 0, np.asarray(data[index]).astype(kind))
    return [path]


def _kind(path: str | Path) -> str:
    """_prob, _mask or _labels; "" for another name."""
    path = Path(path)
    return next((k for k in KINDS if path.stem.endswith(k) and path.suffix == ".tif"), "")


def _several(paths: Paths) -> list[str]:
    return [paths] if isinstance(paths, str) else list(paths)
