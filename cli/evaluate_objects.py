"""What `cunet evaluate dsb` reads: label images of what was found, and the truth of each."""

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cunet.cli import common
from cunet.cli.segment_files import IMAGES

if TYPE_CHECKING:
    import numpy as np

    from cunet.metrics.dsb2018 import Tally

ENDINGS = ("_labels", "", "_mask")  # of a file's stem; of two files of one image the first counts
OTHERS = ("_prob", "_overlay")  # other products of `cunet segment`


@dataclass(frozen=True)
class Pair:
    """One image: the file of what was found; a file of the truth, or a folder of masks."""

    name: str
    pred: Path
    truth: Path


def find_pairs(pred: Path, truth: Path, quiet: bool) -> tuple[list[Pair], int]:
    """What belongs together, in the order of names, and how many of the truth are not predicted.

    CunetError where files are missing, DataError for a prediction without truth.
    """
    from cunet.data.dataset import listing
    from cunet.data.dsb2018 import image_folders
    from cunet.errors import CunetError, DataError

    for path in (pred, truth):
        if not path.exists():
            raise CunetError(f"no file or folder '{path}'. Check the name and the folder.")
    if truth.is_file():
        if pred.is_dir():
            raise CunetError(
                f"'{pred}' is a folder but '{truth}' is a file; give two files or two folders."
            )
        return [Pair(pred.stem, pred, truth)], 0
    truths = image_folders(truth) or label_files(truth, quiet)
    if not truths:
        raise CunetError(
            f"'{truth}': expected label images (TIFF or PNG), or <id>/masks/*.png as in "
            f"stage1_train; found {listing(truth)}."
        )
    preds = label_files(pred, quiet) if pred.is_dir() else {key_of(pred)[0]: pred}
    if not preds:
        raise CunetError(f"'{pred}' holds no label image (TIFF or PNG); found {listing(pred)}.")
    if pred.is_file() and len(truths) == 1:
        return [Pair(pred.stem, pred, *truths.values())], 0
    alone = [name for name in preds if name not in truths]
    if alone:
        raise DataError(
            f"'{preds[alone[0]]}' has no truth in '{truth}'; expected one named {alone[0]} there "
            f"({len(preds) - len(alone)} of {len(preds)} predictions have one). Remove it, or name "
            "predictions as the images."
        )
    return [Pair(n, preds[n], truths[n]) for n in sorted(preds)], len(truths) - len(preds)


def label_files(folder: Path, quiet: bool) -> dict[str, Path]:
    """Name without ending -> label image of a folder.

    Of a mask and labels of one image the labels are taken; probabilities and overlays are left out.
    DataError for two files that cannot be told apart so.
    """
    from cunet.errors import DataError

    found: dict[str, list[tuple[int, Path]]] = {}
    skipped = 0
    for path in sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGES):
        if path.stem.endswith(OTHERS):
            skipped += 1
        elif not path.name.startswith("."):
            name, rank = key_of(path)
            found.setdefault(name, []).append((rank, path))
    for files in found.values():
        files.sort()
        if len(files) > 1 and files[0][0] == files[1][0]:
            raise DataError(
                f"'{files[0][1]}' and '{files[1][1]}' are both of one image; keep one of them."
            )
        skipped += len(files) - 1
    if skipped:
        common.say(f"{folder}: {skipped} file(s) not used: labels are taken, not others", quiet)
    return {name: files[0][1] for name, files in found.items()}


def key_of(path: Path) -> tuple[str, int]:
    """The name of the image that a label file belongs to, and the place of its ending."""
    stem = path.stem.removesuffix(".ome")
    ending = next((e for e in ENDINGS if e and stem.endswith(e) and stem != e), "")
    return stem.removesuffix(ending), ENDINGS.index(ending)


def score(pairs: list[Pair], quiet: bool) -> "tuple[dict[str, Tally], list[str]]":
    """Page name -> what is counted of it, and what was noticed about the files.

    All images of a side are masks or none is, as an image of one numbered object holds 0 and 1 too.
    """
    from cunet.threads import parallel

    progress = common.Progress(len(pairs), quiet=quiet)
    done = iter(range(1, len(pairs) + 1))
    counted: list[tuple] = [()] * len(pairs)

    def one(i: int) -> None:
        found, truth, notes = read_pair(pairs[i])
        counted[i] = tallies(found, truth, pairs[i].truth.is_dir()), notes
        progress.update(next(done), "images")

    with warnings.catch_warnings():  # all threads share the filters, which PngImage changes
        parallel(one, range(len(pairs)))
    progress.close()
    notes = [note for _, said in counted for note in said]
    masks = tuple(all(any(key[side] for key in each) for each, _ in counted) for side in (0, 1))
    chosen = [each[masks] for each, _ in counted]
    sides = (("PRED", lambda tally: tally.found), ("TRUTH", lambda tally: tally.truth))
    for (side, objects), mask in zip(sides, masks, strict=True):
        if mask and any(objects(tally) for pages in chosen for tally in pages):
            notes.append(f"{side} holds masks: their 4-connected components are the objects")
    return {
        pair.name + (f"[{number}]" if len(pages) > 1 else ""): tally
        for pair, pages in zip(pairs, chosen, strict=True)
        for number, tally in enumerate(pages)
    }, notes


def tallies(
    found: "list[np.ndarray]", truth: "list[np.ndarray]", numbered: bool
) -> "dict[tuple[bool, bool], list[Tally]]":
    """(whether found, whether truth is taken as masks) -> what is counted of the pages so.

    Masks are possible where all pages hold 0 and 255, or 0 and 1; of the truth not if `numbered`.
    """
    from cunet.data.weight_map import components
    from cunet.metrics.dsb2018 import Tally

    readings = []
    for pages, never in ((found, False), (truth, numbered)):
        binary = any(all(((p == 0) | (p == high)).all() for p in pages) for high in (1, 255))
        ways = {False: pages}
        if binary and not never:
            ways[True] = [components(page > 0) for page in pages]
        readings.append(ways)
    return {
        (a, b): [Tally.of(*both) for both in zip(readings[1][b], readings[0][a], strict=True)]
        for a in readings[0]
        for b in readings[1]
    }


def read_pair(pair: Pair) -> "tuple[list[np.ndarray], list[np.ndarray], list[str]]":
    """The pages of what was found and of the truth, (H, W) integers, and what was noticed."""
    from cunet.data.dsb2018 import kaggle_cells
    from cunet.data.labels import read_labels
    from cunet.errors import DataError
    from cunet.files import open_image

    pages, said = read_labels(pair.pred)
    notes = [f"{pair.pred}: {note}" for note in said]
    if pair.truth.is_dir():
        picture = pair.truth / "images" / f"{pair.truth.resolve().name}.png"
        shape = pages[0].shape
        if picture.is_file():
            with open_image(picture) as image:
                shape = image.height, image.width
        cells, said = kaggle_cells(pair.truth, shape)
        truth = [cells]
    else:
        truth, said = read_labels(pair.truth)
    notes += [f"{pair.truth}: {note}" for note in said]
    if len(truth) != len(pages):
        raise DataError(
            f"'{pair.pred}' has {len(pages)} page(s), '{pair.truth}' has {len(truth)}; expected "
            "as many in both."
        )
    for path, read in ((pair.pred, pages), (pair.truth, truth)):
        if min(page.min() for page in read) < 0:
            raise DataError(f"'{path}' holds negative numbers; expected 0 and object numbers.")
    if pages[0].shape != truth[0].shape:
        height, width = truth[0].shape
        raise DataError(
            f"'{pair.pred}' is {pages[0].shape[0]} x {pages[0].shape[1]} but '{pair.truth}' is "
            f"{height} x {width} (height x width); expected equal sizes. Are they of one image?"
        )
    return pages, truth, notes
