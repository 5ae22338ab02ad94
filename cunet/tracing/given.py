"""What is traced: a network, one page of an image and, if there is one, its truth, each given by a
file or as it is; checked, and brought to the size that the network computes at."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from cunet.checks import refused
from cunet.data.labels import IGNORE, read_labels
from cunet.data.meaning import meaning_of
from cunet.data.resize import resize_image, resize_labels
from cunet.data.values import check_values
from cunet.errors import CunetError, DataError
from cunet.net.checkpoint import load
from cunet.net.unet import UNet
from cunet.segmentation.one_image import image_of_channels
from cunet.segmentation.segment_file import read_page
from cunet.terminal import plural
from cunet.training.run_folder import read_settings
from cunet.training.run_state import model_of

USUAL_LR = 1e-3
Source = str | Path | np.ndarray


@dataclass(frozen=True)
class Model:
    """A network, the name it was given by, and the learning rate of its training; lr_from says
    where that is from."""

    net: UNet
    name: str
    lr: float
    lr_from: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Picture:
    """A page of an image: pixels (H, W, C), class ids (H, W) or None, and what they are called.

    size   height and width as given; scaled: the side of the square that they were scaled to
    pages  how many pages the file has
    """

    image: np.ndarray
    name: str
    page: int = 0
    pages: int = 1
    labels: np.ndarray | None = None
    truth: str = ""
    scaled: int | None = None
    size: tuple[int, int] = (0, 0)
    notes: tuple[str, ...] = ()


def model_given(net: UNet | str | Path, lr: float | None, device: str) -> Model:
    """The network, which may be given by whatever --model takes. lr: None for that of its run,
    where its file lies in a run folder, else 1e-3."""
    if isinstance(net, UNet):
        found, name, run, notes = net, repr(net), None, list[str]()
    elif isinstance(net, str | Path):
        file, notes = model_of(str(net))
        found, name, run = load(file, device), str(net), file.parent
    else:
        raise refused("net", "a cunet.UNet, or the name of a model file, run or network", net)
    if lr is not None:
        return Model(found, name, lr, "as given", tuple(notes))
    if run is not None and (run / "run.toml").is_file():
        return Model(found, name, float(read_settings(run)["lr"]), "of its run", tuple(notes))
    return Model(found, name, USUAL_LR, "the usual one", tuple(notes))


def picture_given(
    net: UNet, image: Source, page: int, truth: Source | None, labels: str | None
) -> Picture:
    """The page, its truth beside it, scaled where the network scales images. labels: "classes" or
    "instances", what the numbers of the truth mean where their shape does not tell."""
    found = _from_array(net, image, page) if _is_array(image) else _from_file(net, image, page)
    check_values(found.image, found.name)
    height, width = found.image.shape[:2]
    found = replace(found, size=(height, width))
    if truth is not None:
        ids, name, notes = _truth(net, truth, found, labels)
        found = replace(found, labels=ids, truth=name, notes=(*found.notes, *notes))
    if net.resize is None:
        return found
    small = resize_image(found.image, net.resize)
    if found.labels is not None:
        found = replace(found, labels=resize_labels(found.labels, net.resize))
    return replace(found, image=small, scaled=net.resize)


def _is_array(source: Source) -> bool:
    return isinstance(source, np.ndarray)


def _from_array(net: UNet, image: Source, page: int) -> Picture:
    if page:
        raise CunetError(f"page: an array is one image, found page {page}; give image[{page}]")
    return Picture(image_of_channels(np.asarray(image), net.shape.in_channels), "an array")


def _from_file(net: UNet, image: Source, page: int) -> Picture:
    found = read_page(str(image), page, net)
    warned = [f"{Path(str(image)).name}: {text}" for text in found.doubts] + found.range_warnings
    notes = tuple(f"warning: {text}" for text in warned)
    return Picture(found.pixels, str(image), page, found.pages, notes=notes)


def _truth(
    net: UNet, truth: Source, image: Picture, labels: str | None
) -> tuple[np.ndarray, str, list[str]]:
    """The class ids (H, W) uint8 of the page, what they are called, and notes."""
    name, notes = "an array" if _is_array(truth) else str(truth), list[str]()
    pages = _pages(truth, labels)
    if len(pages) > 1 and len(pages) != image.pages:
        raise DataError(
            f"truth '{name}' has {plural(len(pages), 'page')}, the image {image.pages}; expected "
            "as many, or the one page that belongs to the image"
        )
    if len(pages) < image.pages:
        notes.append(f"the only page of truth '{name}' is taken for that of page {image.page}")
    number = image.page if len(pages) > 1 else 0
    if pages[number].shape != image.size:
        raise DataError(
            f"truth '{name}': expected {image.size[0]} x {image.size[1]} pixels as in the image, "
            f"found {' x '.join(map(str, pages[number].shape))}"
        )
    values = set(np.unique(np.concatenate([np.unique(p) for p in pages])).tolist())
    classes = net.shape.classes
    mask = values <= {0, IGNORE} and IGNORE in values
    if labels is None and values - {IGNORE} <= set(range(classes)) and not mask:
        return pages[number].astype(np.uint8), name, notes  # the network's own class ids
    names = [f"truth '{name}' page {i}" for i in range(len(pages))]
    meaning = meaning_of(pages, names, labels)
    if meaning.classes > classes:
        raise DataError(
            f"truth '{name}' has {meaning.classes} classes, the network {classes}; give the labels "
            "of its classes, or --labels instances where each number is an object"
        )
    return meaning.labels[number], name, [*notes, *meaning.notes]


def _pages(truth: Source, labels: str | None) -> list[np.ndarray]:
    """The pages (H, W) of whole numbers."""
    if not isinstance(truth, np.ndarray):
        return read_labels(Path(truth), labels == "instances")[0]
    if truth.ndim != 2 or not truth.size or truth.dtype.kind not in "bui":
        raise refused("truth", "whole numbers (H, W)", truth)
    return [truth.astype(np.uint8) if truth.dtype.kind == "b" else truth]
