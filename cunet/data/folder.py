"""A folder of pairs: images/ and labels/ with TIFF or PNG files of the same stems.

A file of several pages is several slices.
"""

import unicodedata
from pathlib import Path

import numpy as np

from cunet.data.coding import colours_of
from cunet.data.dataset import (
    LAYOUTS,
    Dataset,
    Slice,
    checked,
    image_files,
    listing,
    sha256,
    shares,
    some,
)
from cunet.data.labels import read_label_file
from cunet.errors import CunetError, DataError
from cunet.files import open_image
from cunet.terminal import plural


def matches(folder: Path) -> bool:
    """Whether the folder has this layout."""
    return (folder / "images").is_dir() and (folder / "labels").is_dir()


def load(folder: str | Path, meaning: str | None = None) -> Dataset:
    """Loads and checks all pairs, in the order of their names. meaning: see dataset.checked.

    Raises CunetError if a folder is missing or empty, DataError if files have no partner, are
    invalid or do not fit together.
    """
    folder = Path(folder)
    if not matches(folder):
        raise CunetError(f"data folder '{folder}': {LAYOUTS}; found {listing(folder)}.")
    images, notes = _files(folder / "images")
    labels, more = _files(folder / "labels")
    notes += more
    for stem in sorted(images.keys() ^ labels.keys()):
        have, want = ("images", "labels") if stem in images else ("labels", "images")
        path = (images | labels)[stem]
        raise DataError(
            f"'{path}' in {have}/ has no partner in {want}/; expected a file named {stem}.tif or "
            f"{stem}.png there ({plural(len(images), 'image')}, "
            f"{plural(len(labels), 'label file')})."
        )
    slices: list[Slice] = []
    said: dict[str, list[str]] = {}  # note -> the files that it is on
    for stem in sorted(images):
        pair, remarks = _pair(stem, images[stem], labels[stem])
        slices += pair
        for note, file in remarks:
            said.setdefault(note, []).append(file)
    pixels, ids, classes, found = checked(slices, meaning)
    notes += [_of_files(note, files) for note, files in said.items()]
    shown = ", ".join(f"{100 * s:.1f} %" for s in shares(ids, classes))
    return Dataset(
        name=folder.resolve().name,
        kind="folder",
        images=pixels,
        labels=ids,
        class_names=tuple(f"class {k}" for k in range(classes)),
        slice_names=tuple(s.name for s in slices),
        notes=(*notes, *found, f"shares of classes 0 to {classes - 1}: {shown}"),
        hashes={
            str(path.relative_to(folder).as_posix()): sha256(path)
            for stem in sorted(images)
            for path in (images[stem], labels[stem])
        },
    )


def _files(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """The image files of a folder by stem, and a note on what else lies there."""
    files: dict[str, Path] = {}
    found, note = image_files(folder)
    for path in found:
        stem = unicodedata.normalize(
            "NFC", path.stem.removesuffix(".ome")
        )  # macOS takes letters apart
        if stem in files:
            raise DataError(f"'{path}' and '{files[stem]}' have the same stem; keep one of them.")
        files[stem] = path
    if not files:
        raise CunetError(f"'{folder}' holds no TIFF or PNG file; found {listing(folder)}.")
    return files, note


def _of_files(note: str, files: list[str]) -> str:
    """A note with the name of the file that it is on, where it says one."""
    return note + (f" ({some(files, 1)})" if files[0] else "")


def _pair(
    stem: str, image_path: Path, label_path: Path
) -> tuple[list[Slice], list[tuple[str, str]]]:
    """The slices of one image file and its label file; notes, each with a file's name or ""."""
    with open_image(image_path) as image:
        images = [image.read(page) for page in range(image.pages)]
        plain = (f"axes {image.axes}", *(n for n in image.notes if n not in image.doubts))
        notes = [(f"images/: {note}", "") for note in plain]
        notes += [(f"warning: images/: {note}", image_path.name) for note in image.doubts]
        image_colours = colours_of(image, [np.zeros(1, np.uint8)])
    file = read_label_file(label_path)
    labels = file.pages
    notes += [(f"labels/: {note}", "") for note in file.notes]
    notes += [(f"labels/: {note}", label_path.name) for note in file.coded]
    if len(images) != len(labels):
        raise DataError(
            f"'{label_path}' and '{image_path}' differ in pages, {len(labels)} against "
            f"{len(images)}; expected a page of labels for every page of the image."
        )
    many = len(images) > 1
    return [
        Slice(
            f"{stem}[{i}]" if many else stem,
            x,
            y,
            f"'{image_path}'" + (f" page {i}" if many else ""),
            f"'{label_path}'" + (f" page {i}" if many else ""),
            image_colours,
            file.colours,
        )
        for i, (x, y) in enumerate(zip(images, labels, strict=True))
    ], notes
