"""What is said of the files of a data set, and their hashes."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from cunet.data.dataset import sha256, some
from cunet.data.layouts import Files
from cunet.files import open_image, read_description
from cunet.files.ome_zarr import is_node

ROWS = 512  # of a page that are hashed at once


def of_files(note: str, files: list[str]) -> str:
    """A note with the name of the file that it is on, where it says one."""
    return note + (f" ({some(files, 1)})" if files[0] else "")


def own_products(files: Sequence[Files]) -> list[str]:
    """A warning where label files are what `cunet segment` made."""
    made = [one.labels for one in files if read_description(one.labels).startswith("cunet segment")]
    if not made:
        return []
    return [
        f"warning: {some([path.name for path in made])}: made by cunet segment, so that the "
        "network would learn what another one predicted. Are these the labels?"
    ]


def places(one: Files) -> tuple[str, str]:
    """Where an image and its labels lie, in the words of a note."""
    if one.images[0] in one.labels.parents:
        return "image", one.labels.relative_to(one.images[0]).as_posix()
    if one.labels.parent == one.images[0].parent:
        return "images", "labels"
    return one.images[0].parent.name + "/", one.labels.parent.name + "/"


def name_in(folder: Path, path: Path) -> str:
    """The path of a file inside the data folder; the folder itself may be an image."""
    return "image" if path == folder else path.relative_to(folder).as_posix()


def hash_of(path: Path) -> str:
    """The SHA-256 of a file's bytes or, of an OME-Zarr image, of its pixels: however its chunks
    are cut and packed."""
    if not is_node(path):
        return sha256(path)
    digests = []
    with open_image(path) as image:
        for page in range(image.pages):
            digest = begun((image.height, image.width, image.channels), image.dtype)
            for first in range(0, image.height, ROWS):
                rows = image.read_rows(page, first, min(image.height, first + ROWS))
                digest.update(np.ascontiguousarray(rows).data)
            digests.append(digest.hexdigest())
    return of_pages(digests)


def begun(shape: tuple[int, ...], dtype: np.dtype) -> "hashlib._Hash":
    """The hash of a page that has seen its shape (H, W, C) and dtype; the pixels follow."""
    return hashlib.sha256(f"{shape} {dtype.str} ".encode())


def of_pages(digests: Iterable[str]) -> str:
    """The hash of an image with pages of these hashes."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()
