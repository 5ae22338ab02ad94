"""The Cell Tracking Challenge's layout (Maska et al. 2014): sequences of frames, some annotated.

    01/t000.tif                 frames              01_GT/SEG/man_seg000.tif   cell numbers, 0: none
    01_GT/TRA/man_track000.tif  markers, optional   01_RES/mask000.tif         what a program found

The data folder is the one that holds 01 and 01_GT, or one sequence, such as DIC-C2DH-HeLa/01. Only
annotated frames are read. An annotated frame need not have all of its cells annotated: pixels known
to be unannotated are ignored in training (see `unknown`).
"""

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from cunet.data.dataset import Dataset, Slice, checked, listing, sha256, shares
from cunet.data.labels import IGNORE, read_labels
from cunet.errors import CunetError, DataError
from cunet.files import open_image

CLASS_NAMES = ("background", "cell")
PARTLY_ANNOTATED = 0.5  # a frame with fewer cells than this share of the usual number is


def matches(folder: Path) -> bool:
    """Whether the folder holds annotated sequences, or is one."""
    return bool(sequences(folder))


def load(folder: str | Path) -> Dataset:
    """Loads and checks the annotated frames, named 01/t000, in the order of sequence and time.

    Raises CunetError where frames are missing, DataError for invalid content.
    """
    folder = Path(folder)
    found = sequences(folder)
    if not found:
        raise CunetError(
            f"data folder '{folder}': expected frames 01/t000.tif and annotations "
            f"01_GT/SEG/man_seg000.tif, or such a sequence itself; found {listing(folder)}."
        )
    read = [_read(sequence) for sequence in found]
    slices = [one for sequence in read for one in sequence.slices]
    skipped = [pixels for sequence in read for pixels in sequence.unknown]
    files = [path for sequence in read for path in sequence.files]
    notes = [note for sequence in read for note in sequence.notes]
    images, labels, _, summary = checked(slices)
    for page, skip in zip(labels, skipped, strict=True):
        page[skip] = IGNORE
    share = 100 * shares(labels, 2)[1]
    return Dataset(
        name=folder.resolve().name,
        kind="ctc",
        images=images,
        labels=labels,
        class_names=CLASS_NAMES,
        slice_names=tuple(s.name for s in slices),
        notes=(*notes, *summary, f"class 1 is cell: {share:.1f} % of the pixels that count"),
        hashes={path.relative_to(found[0].parent).as_posix(): sha256(path) for path in files},
        instances=[cells for sequence in read for cells in sequence.cells],
    )


def sequences(folder: Path) -> list[Path]:
    """The annotated sequences that a folder holds, by name; the folder itself if it is one."""
    folder = folder.resolve()
    if annotations(ground_truth(folder)):
        return [folder]
    inside = sorted(p for p in folder.iterdir() if p.is_dir() and re.fullmatch(r"\d+", p.name))
    return [path for path in inside if annotations(ground_truth(path))]


def ground_truth(sequence: Path) -> Path:
    """01 -> 01_GT."""
    return sequence.with_name(sequence.name + "_GT")


def annotations(truth: Path) -> dict[str, Path]:
    """Frame number as written ("007") -> man_seg file of a folder such as 01_GT, in order."""
    files = [(re.fullmatch(r"man_seg(\d+)\.tif", p.name), p) for p in truth.glob("SEG/*.tif")]
    return {match[1]: path for match, path in sorted(files, key=lambda f: f[1].name) if match}


def read_cells(path: Path) -> np.ndarray:
    """The cell numbers (H, W) of a file of one page; 0 is no cell. Raises DataError."""
    pages, _ = read_labels(path)
    if len(pages) != 1 or pages[0].min() < 0:
        found = f"{len(pages)} pages" if len(pages) != 1 else f"the number {pages[0].min()}"
        raise DataError(f"'{path}': expected one page of cell numbers from 0 up, found {found}.")
    return pages[0]


def unknown(cells: np.ndarray, markers: np.ndarray | None, usual: float) -> np.ndarray:
    """The pixels (H, W) bool that are not annotated as cell but may belong to one.

    With markers, one in every cell: the pixels nearer to the marker of a cell that is not annotated
    than to any annotated cell. Without: everything outside the annotated cells, if there are less
    than half as many as usual in the sequence; single missing cells cannot be detected this way.
    """
    if markers is not None:
        annotated = np.unique(markers[(cells > 0) & (markers > 0)])
        lone = (markers > 0) & ~np.isin(markers, annotated)
        if not lone.any():
            return lone
        if not cells.any():
            return np.ones(cells.shape, bool)
        distance = ndimage.distance_transform_edt
        return (cells == 0) & (distance(~lone) < distance(cells == 0))
    few = len(np.unique(cells[cells > 0])) < PARTLY_ANNOTATED * usual
    return (cells == 0) & few


@dataclass(frozen=True)
class _Sequence:
    """The annotated frames of one sequence.

    cells    (H, W) cell numbers of each frame
    unknown  (H, W) bool: the pixels of each frame that are not known to be background
    """

    slices: list[Slice]
    cells: list[np.ndarray]
    unknown: list[np.ndarray]
    notes: list[str]
    files: list[Path]


def _read(sequence: Path) -> _Sequence:
    truth, frames, files = ground_truth(sequence), [], []
    for number, path in annotations(truth).items():
        image_path, marker = sequence / f"t{number}.tif", truth / "TRA" / f"man_track{number}.tif"
        if not image_path.is_file():
            raise CunetError(f"no file '{image_path}', the frame that '{path}' annotates.")
        frames.append((f"{sequence.name}/t{number}", image_path, path, marker))
        files += [file for file in (image_path, path, marker) if file.is_file()]
    cells = [read_cells(path) for _, _, path, _ in frames]
    usual = float(np.median([len(np.unique(page[page > 0])) for page in cells]))
    slices, skipped, partial = [], [], []
    for (name, image_path, path, marker), page in zip(frames, cells, strict=True):
        with open_image(image_path) as image:
            if image.pages != 1:
                raise DataError(f"'{image_path}' has {image.pages} pages; a frame is one page.")
            pixels = image.read(0)
        labels = (page > 0).astype(np.uint8)
        skipped.append(unknown(page, read_cells(marker) if marker.is_file() else None, usual))
        if skipped[-1].any():
            partial.append(name)
        slices.append(Slice(name, pixels, labels, f"'{image_path}'", f"'{path}'"))
    rest = len(list(sequence.glob("t*.tif"))) - len(frames)
    notes = [f"sequence {sequence.name}: {len(frames)} annotated frames, {rest} others not used"]
    if partial:
        notes.append(
            f"annotated in part; pixels without a marked cell have no label: {', '.join(partial)}"
        )
    return _Sequence(slices, cells, skipped, notes, files)
