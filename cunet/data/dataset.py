"""A data set: images, labels, and what the checks found.

H W are a slice's height and width, C its channels; slices may differ in size, not in C or dtype.
"""

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cunet.data.coding import Colours, refuse_mixed
from cunet.data.meaning import Meaning, meaning_of
from cunet.data.suspicion import refuse_stray
from cunet.data.values import check_values, standing_apart
from cunet.errors import DataError, of_system
from cunet.files.pixel_size import PixelSize
from cunet.terminal import plural

PAIRS = (
    "the folders images/ and labels/ (or masks/) with TIFF, PNG, JPEG or BMP files of matching "
    "names, or such files side by side (a.tif and a_mask.tif)"
)
LAYOUTS = (
    "expected the ISBI 2012 layout (train-volume.tif and train-labels.tif), that of ISBI 2013 "
    "(train-input.tif and train-labels.tif), the EPFL's (training.tif and "
    "training_groundtruth.tif), the Cell Tracking Challenge's (01/t000.tif and "
    "01_GT/SEG/man_seg000.tif), the Data Science Bowl's of 2018 (<id>/images/<id>.png and "
    f"<id>/masks/*.png), or {PAIRS}"
)


@dataclass(frozen=True)
class Dataset:
    """Images and labels of equal length, loaded and checked.

    images     (H, W, C) arrays in the dtype of the files, in memory or all on disk (on_disk.py)
    labels     (H, W) uint8 class ids, likewise; IGNORE marks pixels that do not count
    notes      what was found and decided, one sentence each
    hashes     SHA-256 of every file read, by its path inside the folder
    instances  (H, W) integer cell numbers where the data set has them
    pixel_sizes  of every slice, None where its file names none; () where no file does
    """

    name: str
    kind: str
    images: list[np.ndarray]
    labels: list[np.ndarray]
    class_names: tuple[str, ...]
    slice_names: tuple[str, ...]
    notes: tuple[str, ...] = ()
    hashes: dict[str, str] = field(default_factory=dict)
    instances: list[np.ndarray] | None = None
    pixel_sizes: tuple[PixelSize | None, ...] = ()


def listing(folder: Path) -> str:
    """What a folder holds, in a few words for an error."""
    names = sorted(p.name + ("/" if p.is_dir() else "") for p in folder.iterdir())
    if not names:
        return "an empty folder"
    return some(names, 6)


def some(names: Sequence[str], shown: int = 3) -> str:
    """The first names of a list, and how many more there are."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def sha256(path: Path) -> str:
    """The hash of a file's bytes, as 64 hexadecimal digits; of an OME-Zarr, which is a folder, that
    of the names and bytes of all its files but those of the label images in it."""
    try:
        if path.is_dir():
            return _sha256_of_folder(path)
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise of_system(error, f"cannot read '{path}'") from error


def _sha256_of_folder(folder: Path) -> str:
    total = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if name.parts[0] != "labels" and path.is_file():
            with open(path, "rb") as file:
                total.update(hashlib.file_digest(file, "sha256").digest())
            total.update(os.fsencode(name.as_posix()))
    return total.hexdigest()


@dataclass(frozen=True)
class Slice:
    """One image and its raw labels as read, with the names that errors use.

    image_colours, label_colours: how viewers show the numbers; {} where that is not known
    """

    name: str
    image: np.ndarray
    labels: np.ndarray
    image_name: str
    label_name: str
    image_colours: Colours = field(default_factory=dict)
    label_colours: Colours = field(default_factory=dict)
    pixel_size: PixelSize | None = None


def checked(
    slices: Sequence[Slice], meaning: str | None = None
) -> tuple[list[np.ndarray], Meaning, list[str]]:
    """(images, what the labels mean, notes on both), after every check of the pixels.

    meaning: "classes" or "instances" where a person has said which, see meaning.meaning_of. Raises
    DataError, naming the file and the values, for labels of another size than their image, mixed
    dtypes or channel counts, infinite, NaN or "no data" pixels, files coded the other way round,
    all that meaning_of refuses, and masks whose stray pixels make them class ids.
    """
    slices, notes = _grey_where_others_are(slices)
    first = slices[0]
    for s in slices:
        refuse_unlike(s, first)
        check_values(s.image, f"image {s.image_name}")
    names = [s.label_name for s in slices]
    refuse_mixed(((s.image_name, s.image_colours) for s in slices), "images")
    found = meaning_of([s.labels for s in slices], names, meaning)
    numbered = found.instances is not None and any(len(s.label_colours) > 2 for s in slices)
    refuse_mixed(((s.label_name, s.label_colours) for s in slices), "labels", numbered)
    notes += [summary([s.image for s in slices]), *found.notes]
    if meaning is None and found.instances is None:
        notes += refuse_stray(found.labels, names)
    flat = [s.image_name for s in slices if s.image.min() == s.image.max()]
    apart = [(s.image_name, value) for s in slices if (value := standing_apart(s.image))]
    return [s.image for s in slices], found, [*notes, *of_values(flat, apart)]


def refuse_unlike(s: Slice, first: Slice) -> None:
    """DataError where labels have another size than their image, or an image has other channels or
    another dtype than the first."""
    if s.labels.shape != s.image.shape[:2]:
        raise DataError(
            f"labels {s.label_name} are {_size(s.labels)} but the image {s.image_name} is "
            f"{_size(s.image)} (height x width); expected equal sizes."
        )
    if s.image.dtype != first.image.dtype or s.image.shape[2] != first.image.shape[2]:
        raise DataError(
            f"image {s.image_name} has {plural(s.image.shape[2], 'channel')} of "
            f"{s.image.dtype}, "
            f"{first.image_name} has {first.image.shape[2]} of {first.image.dtype}; expected "
            "the same in all images. Convert one of them."
        )


def of_values(flat: Sequence[str], apart: Sequence[tuple[str, str]]) -> list[str]:
    """Notes on images with a single grey value, and on those with a value that stands apart."""
    notes = []
    if flat:
        notes.append(
            f"{plural(len(flat), 'image has', 'images have')} a single grey value: "
            f"{', '.join(flat[:3])}"
        )
    if apart:
        name, value = apart[0]
        more = f" (and {plural(len(apart) - 1, 'more image')} like it)" if apart[1:] else ""
        notes.append(f"warning: image {name} holds {value}{more}")
    return notes


def _grey_where_others_are(slices: Sequence[Slice]) -> tuple[Sequence[Slice], list[str]]:
    """Images of three equal channels among grey ones are read as grey, which a note says."""
    channels = {s.image.shape[2] for s in slices}
    if channels != {1, 3}:
        return slices, []
    taken, names = [], []
    for s in slices:
        grey = s.image[..., :1]
        if s.image.shape[2] == 3 and (s.image == grey).all():
            names.append(s.image_name)
            s = replace(s, image=grey.copy())
        taken.append(s)
    return taken, of_grey(names)


def of_grey(names: Sequence[str]) -> list[str]:
    """A note on images of three equal channels among grey ones."""
    note = f"grey saved as colour: the equal channels are read as one: {some(names)}"
    return [note] if names else []


def shares(labels: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """The share of each class among the pixels that are not ignored; (K,), sums to 1."""
    return shares_of([np.bincount(page.ravel(), minlength=256) for page in labels], classes)


def shares_of(counts: Sequence[np.ndarray], classes: int) -> np.ndarray:
    """The same from the number of pixels of each class in every page, (256,) each."""
    total = np.sum(counts, axis=0)[:classes]
    return total / total.sum()


def _size(array: np.ndarray) -> str:
    return f"{array.shape[0]} x {array.shape[1]}"


def summary(images: Sequence[np.ndarray]) -> str:
    """How many slices there are, of which sizes, channels and dtype, in words."""
    shapes = {image.shape[:2]: image for image in sorted(images, key=lambda x: x.size)}
    sizes = [_size(image) for image in shapes.values()]
    size = sizes[0] if len(sizes) == 1 else f"{len(sizes)} sizes from {sizes[0]} to {sizes[-1]}"
    channels = images[0].shape[2]
    return (
        f"{plural(len(images), 'slice')}, {size} pixels (height x width), "
        f"{plural(channels, 'channel')} of {images[0].dtype}"
    )
