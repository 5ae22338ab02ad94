"""A data set from arrays in memory, checked as files are."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from cunet.checks import array, refused
from cunet.data.dataset import Dataset, Slice, checked, shares
from cunet.data.labels import LARGEST
from cunet.errors import DataError

KIND = "arrays"


def dataset_of(images: Any, labels: Any, meaning: str | None = None) -> Dataset:
    """The data set of images (H, W) or (H, W, C) and their labels (H, W), bool or whole numbers.

    Each is a list, or one array with the images along its first axis. Labels mean what they mean in
    files, see data/labels.py, and so does `meaning`. Slices are called 0, 1, 2 ...; hashes are
    those of the arrays. Raises CunetError for what is no such array, DataError as `checked` does.
    """
    pixels = _listed("images", images)
    pages = [_whole(f"labels[{i}]", page) for i, page in enumerate(_listed("labels", labels))]
    if len(pixels) != len(pages):
        raise DataError(
            f"images and labels: expected as many of both, found {len(pixels)} images and "
            f"{len(pages)} labels; one image is given as images=[image]"
        )
    slices: list[Slice] = []
    hashes: dict[str, str] = {}
    for i, (image, page) in enumerate(zip(pixels, pages, strict=True)):
        image = image[..., None] if image.ndim == 2 else image
        if image.ndim != 3 or not image.size:
            raise refused(f"images[{i}]", "an array (H, W) or (H, W, C)", image)
        if page.ndim != 2:
            raise refused(f"labels[{i}]", "an array (H, W)", page)
        if image.shape[:2] != page.shape and image.shape[1:] == page.shape:
            raise refused(
                f"images[{i}]",
                "channels last, (H, W, C)",
                image,
                "turn it: image.transpose(1, 2, 0)",
            )
        image = image.view(np.uint8) if image.dtype == bool else image
        slices.append(Slice(str(i), image, page, f"images[{i}]", f"labels[{i}]"))
        hashes |= {f"images[{i}]": _sha256(image), f"labels[{i}]": _sha256(page)}
    try:
        found, read, notes = checked(slices, meaning)
    except DataError as error:
        raise DataError(_in_python(str(error))) from error
    shown = ", ".join(f"{100 * s:.1f} %" for s in shares(read.labels, read.classes))
    return Dataset(
        name=KIND,
        kind=KIND,
        images=found,
        labels=read.labels,
        class_names=read.class_names,
        slice_names=tuple(s.name for s in slices),
        notes=(*map(_in_python, notes), f"shares of classes 0 to {read.classes - 1}: {shown}"),
        hashes=hashes,
        instances=read.instances,
    )


def _in_python(text: str) -> str:
    """A text that names the option of the command line, with the argument in its place."""
    return re.sub(r"--labels (\w+)", r"meaning='\1'", text)


def _listed(name: str, given: Any) -> Sequence[np.ndarray]:
    """The arrays of a list, or those along the first axis of an array."""
    if isinstance(given, list | tuple):
        found = [array(f"{name}[{i}]", one) for i, one in enumerate(given)]
    else:
        whole = array(name, given)
        if whole.ndim < 3:
            raise refused(
                name, "a list of arrays, or one array (N, H, W)", whole, f"of one give {name}=[it]"
            )
        found = list(whole)
    if not found:
        raise refused(name, "at least one array", given)
    for i, one in enumerate(found):
        if one.dtype.kind not in "buif":
            raise refused(f"{name}[{i}]", "an array of real numbers", one)
    return found


def _whole(name: str, page: np.ndarray) -> np.ndarray:
    """Labels as integers; as in files, whole numbers may be stored as floating point."""
    if page.dtype == bool:
        return page.view(np.uint8)
    if page.dtype.kind != "f":
        return page
    if not (np.isfinite(page) & (page == np.floor(page)) & (np.abs(page) <= LARGEST)).all():
        raise refused(
            name,
            "whole numbers",
            page,
            "a probability map or an interpolated mask? Give class ids, 0 and 255, or bool",
        )
    return page.astype(np.int64)


def _sha256(values: np.ndarray) -> str:
    """The hash of an array's shape, type and numbers."""
    head = f"{values.shape} {values.dtype.str} ".encode()
    return hashlib.sha256(head + np.ascontiguousarray(values).tobytes()).hexdigest()
