"""The Cell Tracking Challenge's layout (Maska et al. 2014): sequences of frames, some annotated.

    01/t000.tif                 frames              01_GT/SEG/man_seg000.tif   cell numbers, 0: none
    01_GT/TRA/man_track000.tif  markers, optional   01_RES/mask000.tif         what a program found

TIFF names may end in any spelling, such as .TIF or .tiff.

The data folder is the one that holds 01 and 01_GT, or one sequence, such as DIC-C2DH-HeLa/01. Only
annotated frames are read. An annotated frame need not have all of its cells annotated: pixels known
to be unannotated are ignored in training (see `unknown`).
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from cunet.data.coding import Colours, colours_of, refuse_mixed
from cunet.data.ctc_files import (
    ground_truth,
    numbered,
    numbered_folders,
    of_frame,
    only_annotations,
    sequences,
)
from cunet.data.dataset import Dataset, Slice, checked, listing, sha256, shares, some
from cunet.data.labels import IGNORE, LabelFile, read_label_file
from cunet.data.suspicion import many_pieces
from cunet.errors import CunetError, DataError
from cunet.files import open_image
from cunet.files.listing import files_of
from cunet.files.pixel_size import PixelSize
from cunet.terminal import plural

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
    notes += _unused(folder, found)
    refuse_mixed((file for sequence in read for file in sequence.colours), "annotations", True)
    images, meaning, summary = checked(slices)
    labels = meaning.labels
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
        pixel_sizes=tuple(s.pixel_size for s in slices),
    )


def _unused(folder: Path, found: list[Path]) -> list[str]:
    """A note on sequences that have a folder for annotations and none that is read."""
    inside = [] if found == [folder.resolve()] else numbered_folders(folder.resolve())
    empty = [path.name for path in inside if path not in found and ground_truth(path).is_dir()]
    return [f"not used, no annotations SEG/man_seg000.tif: {', '.join(empty)}"] if empty else []


def read_cells(path: Path) -> np.ndarray:
    """The cell numbers (H, W) of a file of one page; 0 is no cell. Raises DataError."""
    return _cells_of(read_label_file(path))


def _cells_of(file: LabelFile) -> np.ndarray:
    page, count = file.pages[0], len(file.pages)
    if count != 1 or page.min() < 0:
        found = f"{count} pages" if count != 1 else f"the number {page.min()}"
        raise DataError(
            f"'{file.path}': expected one page of cell numbers from 0 up, found {found}."
        )
    return page


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
    colours  the name of every annotation and how viewers show its numbers
    """

    slices: list[Slice]
    cells: list[np.ndarray]
    unknown: list[np.ndarray]
    notes: list[str]
    files: list[Path]
    colours: list[tuple[str, Colours]]


def _read(sequence: Path) -> _Sequence:
    truth, frames, files = ground_truth(sequence), [], []
    images, tracks = numbered(sequence, "t"), numbered(truth / "TRA", "man_track")
    for number, path in only_annotations(truth).items():
        image_path, marker = of_frame(images, number), of_frame(tracks, number)
        if image_path is None:
            missing = sequence / f"t{number}.tif"
            raise CunetError(f"no file '{missing}', the frame that '{path}' annotates.")
        frames.append((f"{sequence.name}/t{number}", image_path, path, marker))
        files += [file for file in (image_path, path, marker) if file is not None]
    read = [read_label_file(path) for _, _, path, _ in frames]
    cells = [_cells_of(file) for file in read]
    usual = float(np.median([len(np.unique(page[page > 0])) for page in cells]))
    slices, skipped, partial = [], [], []
    for (name, image_path, path, marker), page in zip(frames, cells, strict=True):
        with open_image(image_path) as image:
            if image.pages != 1:
                raise DataError(f"'{image_path}' has {image.pages} pages; a frame is one page.")
            pixels, colours = image.read(0), colours_of(image, [np.zeros(1, np.uint8)])
            size = PixelSize.of(image.calibration)
        labels = (page > 0).astype(np.uint8)
        skipped.append(unknown(page, None if marker is None else _markers(marker, page), usual))
        if skipped[-1].any():
            partial.append(name)
        where = f"'{image_path}'", f"'{path}'"
        slices.append(Slice(name, pixels, labels, *where, colours, pixel_size=size))
    rest = len(images) - len(frames)
    notes = [
        f"sequence {sequence.name}: {plural(len(frames), 'annotated frame')}, "
        f"{plural(rest, 'other')} not used"
    ]
    notes += [f"{file.path.name}: {note}" for file in read for note in file.coded][:3]
    if many_pieces(cells):
        notes.append(
            f"warning: each number in {truth.name}/SEG is several pieces: are these masks, not "
            "cell numbers? Touching cells are then one"
        )
    used = {path for _, _, path, _ in frames}
    others = [path.name for path in files_of(truth / "SEG") if path not in used]
    if others:
        notes.append(f"{truth.name}/SEG: not used: {some(others)}")
    unmarked = [name for name, _, _, marker in frames if marker is None]
    if tracks and unmarked:
        notes.append(f"{truth.name}/TRA: no markers of {some(unmarked)}")
    if partial:
        notes.append(
            f"annotated in part; pixels without a marked cell have no label: {', '.join(partial)}"
        )
    named = [(f"'{file.path}'", file.colours) for file in read]
    return _Sequence(slices, cells, skipped, notes, files, named)


def _markers(path: Path, cells: np.ndarray) -> np.ndarray:
    """The markers (H, W) of an annotated frame. DataError where they are of another size."""
    markers = read_cells(path)
    if markers.shape != cells.shape:
        raise DataError(
            f"markers '{path}' are {markers.shape[0]} x {markers.shape[1]} but the annotation of "
            f"this frame is {cells.shape[0]} x {cells.shape[1]} (height x width); expected equal "
            "sizes."
        )
    return markers
