"""Which label image belongs to which truth: two files, two folders, or arrays."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cunet.data.dataset import listing
from cunet.data.dsb2018 import image_folders
from cunet.errors import CunetError, DataError
from cunet.files.listing import images_of

ENDINGS = ("_labels", "", "_mask")  # of a file's stem; an image has one label file, the first
OTHER_PRODUCTS = ("_prob", "_overlay")  # of `cunet segment`, which hold no labels


@dataclass(frozen=True)
class Pair:
    """One image: its prediction and its truth, files or arrays."""

    name: str
    pred: Path | np.ndarray
    truth: Path | np.ndarray  # or a folder of masks


Arrays = np.ndarray | Sequence[np.ndarray]


def array_pairs(pred: Arrays, truth: Arrays) -> list[Pair]:
    """The images of two arrays (H, W) or (n, H, W), or two lists of (H, W); named 0, 1, 2 ..."""
    both = []
    for images in (pred, truth):
        alone = isinstance(images, np.ndarray) and images.ndim == 2
        both.append([np.asarray(image) for image in ([images] if alone else images)])
    if len(both[0]) != len(both[1]) or not both[0]:
        raise DataError(
            f"pred has {len(both[0])} image(s), truth has {len(both[1])}; expected as many in both"
        )
    return [Pair(str(i), *each) for i, each in enumerate(zip(*both, strict=True))]


def find_pairs(pred: Path, truth: Path) -> tuple[list[Pair], int, list[str]]:
    """Predictions with their truth, sorted by name; the number of truths without one; notes.

    CunetError where files are missing, DataError for a prediction without truth.
    """
    for path in (pred, truth):
        if not path.exists():
            raise CunetError(f"no file or folder '{path}'. Check the name and the folder.")
    if truth.is_file():
        if pred.is_dir():
            raise CunetError(
                f"'{pred}' is a folder but '{truth}' is a file; give two files or two folders."
            )
        return [Pair(pred.stem, pred, truth)], 0, []
    truths, notes = image_folders(truth), list[str]()
    if not truths:
        truths, notes = label_files(truth)
    if not truths:
        raise CunetError(
            f"'{truth}': expected label images (TIFF, PNG or BMP), or <id>/masks/*.png as in "
            f"stage1_train; found {listing(truth)}."
        )
    preds, more = label_files(pred) if pred.is_dir() else ({key_of(pred)[0]: pred}, [])
    notes += more
    if not preds:
        raise CunetError(
            f"'{pred}' holds no label image (TIFF, PNG or BMP); found {listing(pred)}."
        )
    if pred.is_file() and len(truths) == 1:
        return [Pair(pred.stem, pred, *truths.values())], 0, notes
    alone = [name for name in preds if name not in truths]
    if alone:
        raise DataError(
            f"'{preds[alone[0]]}' has no truth in '{truth}'; expected one named {alone[0]} there "
            f"({len(preds) - len(alone)} of {len(preds)} predictions have one). Remove it, or name "
            "predictions as the images."
        )
    return [Pair(n, preds[n], truths[n]) for n in sorted(preds)], len(truths) - len(preds), notes


def label_files(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Name without ending -> label image of a folder, and a note on files that are not used.

    Labels are preferred to a mask of the same image; probabilities and overlays are left out.
    DataError for two files of one image with the same ending.
    """
    found: dict[str, list[tuple[int, Path]]] = {}
    skipped = 0
    for path in images_of(folder):
        if path.stem.endswith(OTHER_PRODUCTS):
            skipped += 1
        else:
            name, rank = key_of(path)
            found.setdefault(name, []).append((rank, path))
    for files in found.values():
        files.sort()
        if len(files) > 1 and files[0][0] == files[1][0]:
            raise DataError(
                f"'{files[0][1]}' and '{files[1][1]}' are both of one image; keep one of them."
            )
        skipped += len(files) - 1
    notes = [f"{folder}: {skipped} file(s) not used: labels are taken, not others"]
    return {name: files[0][1] for name, files in found.items()}, notes if skipped else []


def key_of(path: Path) -> tuple[str, int]:
    """The name of the image that a label file belongs to, and the rank of its ending."""
    stem = unicodedata.normalize("NFC", path.stem.removesuffix(".ome"))  # macOS takes letters apart
    ending = next((e for e in ENDINGS if e and stem.endswith(e) and stem != e), "")
    return stem.removesuffix(ending), ENDINGS.index(ending)
