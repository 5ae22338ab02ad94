"""Images and labels of one's own: files that belong together by their names (see layouts.py).

A file of several pages is several slices. Labels are classes or numbered objects (see meaning.py).
"""

from pathlib import Path

import numpy as np

from cunet.data.coding import Colours, colours_of
from cunet.data.dataset import Dataset, Slice, checked, shares
from cunet.data.file_notes import hash_of, name_in, of_files, own_products, places
from cunet.data.labels import read_label_file
from cunet.data.layouts import Files, find, readings
from cunet.data.on_disk_folder import load_on_disk
from cunet.data.room import why_on_disk
from cunet.data.slices import refuse_unlike_channels, slices_of
from cunet.files import open_image
from cunet.files.ome_zarr import is_node
from cunet.files.pixel_size import PixelSize


def matches(folder: Path) -> bool:
    """Whether the folder has such a layout, or is an OME-Zarr image."""
    return is_node(folder) or bool(readings(folder))


def load(folder: str | Path, meaning: str | None = None, choice: str | None = None) -> Dataset:
    """Loads and checks all images with their labels, in the order of their names.

    meaning: see dataset.checked. choice: the name of the labels' folder, or the ending of label
    files, where the folder can be read in several ways. Raises CunetError if a folder is missing or
    empty or can be read in several ways, DataError if files have no partner, are invalid or do not
    fit together.
    """
    folder = Path(folder)
    files, notes = find(folder, choice)
    if why := why_on_disk(files):
        return load_on_disk(folder, files, [*notes, why], meaning)
    slices: list[Slice] = []
    said: dict[str, list[str]] = {}  # note -> the files that it is on
    for one in files:
        pages, remarks = _slices(one, meaning == "instances")
        slices += pages
        for note, file in remarks:
            said.setdefault(note, []).append(file)
    images, read, found = checked(slices, meaning)
    notes += [of_files(note, named) for note, named in said.items()] + own_products(files)
    shown = ", ".join(f"{100 * s:.1f} %" for s in shares(read.labels, read.classes))
    return Dataset(
        name=folder.resolve().name,
        kind="folder",
        images=images,
        labels=read.labels,
        class_names=read.class_names,
        slice_names=tuple(s.name for s in slices),
        notes=(*notes, *found, f"shares of classes 0 to {read.classes - 1}: {shown}"),
        hashes={
            name_in(folder, path): hash_of(path)
            for one in files
            for path in (*one.images, one.labels)
        },
        instances=read.instances,
        pixel_sizes=tuple(s.pixel_size for s in slices),
    )


def _slices(one: Files, objects: bool) -> tuple[list[Slice], list[tuple[str, str]]]:
    """The slices of one image and its label file; notes, each with a file's name or ""."""
    images, colours, size, notes = _image(one)
    labels = read_label_file(one.labels, objects)
    place = places(one)[1]
    notes += [(f"{place}: {note}", "") for note in labels.notes]
    notes += [(f"{place}: {note}", one.labels.name) for note in labels.coded]
    return slices_of(one, images, labels.pages, colours, labels.colours, size), notes


def _image(
    one: Files,
) -> tuple[list[np.ndarray], Colours, PixelSize | None, list[tuple[str, str]]]:
    """The pages (H, W, C) of an image, how viewers show its numbers, the size of its pixels, and
    notes as of _slices.

    Several files are channels, one after the other.
    """
    channels, notes = [], []
    place = places(one)[0]
    for path in one.images:
        with open_image(path) as image:
            channels.append([image.read(page) for page in range(image.pages)])
            plain = (f"axes {image.axes}", *(n for n in image.notes if n not in image.doubts))
            notes += [(f"{place}: {note}", "") for note in plain]
            notes += [(f"warning: {place}: {note}", path.name) for note in image.doubts]
            colours = colours_of(image, [np.zeros(1, np.uint8)])
            size = PixelSize.of(image.calibration)
    refuse_unlike_channels(one, channels)
    pages = [np.concatenate(planes, axis=2) for planes in zip(*channels, strict=True)]
    return pages, colours, size, notes
