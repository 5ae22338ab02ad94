"""Images and labels of one's own: files that belong together by their names (see layouts.py).

A file of several pages is several slices. Labels are classes or numbered objects (see meaning.py).
"""

from pathlib import Path

import numpy as np

from cunet.data.coding import Colours, colours_of
from cunet.data.dataset import Dataset, Slice, checked, sha256, shares, some
from cunet.data.labels import read_label_file
from cunet.data.layouts import Files, find, readings
from cunet.errors import DataError
from cunet.files import open_image, read_description


def matches(folder: Path) -> bool:
    """Whether the folder has such a layout."""
    return bool(readings(folder))


def load(folder: str | Path, meaning: str | None = None, choice: str | None = None) -> Dataset:
    """Loads and checks all images with their labels, in the order of their names.

    meaning: see dataset.checked. choice: the name of the labels' folder, or the ending of label
    files, where the folder can be read in several ways. Raises CunetError if a folder is missing or
    empty or can be read in several ways, DataError if files have no partner, are invalid or do not
    fit together.
    """
    folder = Path(folder)
    files, notes = find(folder, choice)
    slices: list[Slice] = []
    said: dict[str, list[str]] = {}  # note -> the files that it is on
    for one in files:
        pages, remarks = _slices(one, meaning == "instances")
        slices += pages
        for note, file in remarks:
            said.setdefault(note, []).append(file)
    images, read, found = checked(slices, meaning)
    notes += [_of_files(note, named) for note, named in said.items()] + _own_products(files)
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
            path.relative_to(folder).as_posix(): sha256(path)
            for one in files
            for path in (*one.images, one.labels)
        },
        instances=read.instances,
    )


def _of_files(note: str, files: list[str]) -> str:
    """A note with the name of the file that it is on, where it says one."""
    return note + (f" ({some(files, 1)})" if files[0] else "")


def _own_products(files: list[Files]) -> list[str]:
    """A warning where label files are what `cunet segment` made."""
    made = [one.labels for one in files if read_description(one.labels).startswith("cunet segment")]
    if not made:
        return []
    return [
        f"warning: {some([path.name for path in made])}: made by cunet segment, so that the "
        "network would learn what another one predicted. Are these the labels?"
    ]


def _slices(one: Files, objects: bool) -> tuple[list[Slice], list[tuple[str, str]]]:
    """The slices of one image and its label file; notes, each with a file's name or ""."""
    images, colours, notes = _image(one)
    labels = read_label_file(one.labels, objects)
    place = "labels" if one.labels.parent == one.images[0].parent else one.labels.parent.name + "/"
    notes += [(f"{place}: {note}", "") for note in labels.notes]
    notes += [(f"{place}: {note}", one.labels.name) for note in labels.coded]
    if len(images) != len(labels.pages):
        raise DataError(
            f"'{one.labels}' and '{one.images[0]}' differ in pages, {len(labels.pages)} against "
            f"{len(images)}; expected a page of labels for every page of the image."
        )
    many = len(images) > 1
    return [
        Slice(
            f"{one.name}[{i}]" if many else one.name,
            x,
            y,
            f"'{one.images[0]}'" + (f" page {i}" if many else ""),
            f"'{one.labels}'" + (f" page {i}" if many else ""),
            colours,
            labels.colours,
        )
        for i, (x, y) in enumerate(zip(images, labels.pages, strict=True))
    ], notes


def _image(one: Files) -> tuple[list[np.ndarray], Colours, list[tuple[str, str]]]:
    """The pages (H, W, C) of an image, how viewers show its numbers, and notes as of _slices.

    Several files are channels, one after the other.
    """
    channels, notes = [], []
    place = (
        "images" if one.labels.parent == one.images[0].parent else one.images[0].parent.name + "/"
    )
    for path in one.images:
        with open_image(path) as image:
            channels.append([image.read(page) for page in range(image.pages)])
            plain = (f"axes {image.axes}", *(n for n in image.notes if n not in image.doubts))
            notes += [(f"{place}: {note}", "") for note in plain]
            notes += [(f"warning: {place}: {note}", path.name) for note in image.doubts]
            colours = colours_of(image, [np.zeros(1, np.uint8)])
    first = channels[0]
    for path, pages in zip(one.images, channels, strict=True):
        alike = [
            (a.shape[:2], a.dtype) == (b.shape[:2], b.dtype)
            for a, b in zip(first, pages, strict=False)
        ]
        if len(pages) != len(first) or not all(alike):
            raise DataError(
                f"'{path}' and '{one.images[0]}' are channels of one image but differ in pages, "
                f"size or dtype: {len(pages)} of {pages[0].shape[:2]} {pages[0].dtype} against "
                f"{len(first)} of {first[0].shape[:2]} {first[0].dtype}."
            )
    pages = [np.concatenate(planes, axis=2) for planes in zip(*channels, strict=True)]
    return pages, colours, notes
