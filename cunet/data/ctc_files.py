"""The files of the Cell Tracking Challenge's layout: sequences, their annotations, their frames.

Names may end in any spelling of TIFF, such as .TIF; see ctc.py for the layout.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from cunet.errors import CunetError
from cunet.files.listing import files_of, folders_of


def sequences(folder: Path) -> list[Path]:
    """The annotated sequences that a folder holds, by name; the folder itself if it is one."""
    folder = folder.resolve()
    if annotations(ground_truth(folder)):
        return [folder]
    return [path for path in numbered_folders(folder) if annotations(ground_truth(path))]


def numbered_folders(folder: Path) -> list[Path]:
    """The folders 01, 02 ... in a folder, by name."""
    return [path for path in folders_of(folder) if re.fullmatch(r"\d+", path.name)]


def ground_truth(sequence: Path) -> Path:
    """01 -> 01_GT."""
    return sequence.parent / (sequence.name + "_GT")


def annotations(truth: Path) -> dict[str, Path]:
    """Frame number as written ("007") -> man_seg file of a folder such as 01_GT, in order."""
    return dict(_with_numbers(truth / "SEG", "man_seg"))


def only_annotations(truth: Path) -> dict[str, Path]:
    """The same, in a folder that has one for each frame; CunetError for two of one frame."""
    files = numbered(truth / "SEG", "man_seg")
    for digits in files:
        same = [path for other, path in files.items() if int(other) == int(digits)]
        _refuse_several(same, digits)
    return files


def numbered(folder: Path, prefix: str) -> dict[str, Path]:
    """Number as written ("007") -> file of a folder such as man_seg007.tif, in order of the names.

    Raises CunetError for two files of one number, such as .tif and .TIF.
    """
    files: dict[str, Path] = {}
    for digits, path in _with_numbers(folder, prefix):
        _refuse_several([files.setdefault(digits, path), path], digits)
    return files


def _with_numbers(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    for path in files_of(folder):
        match = re.fullmatch(rf"{prefix}(\d+)\.tiff?", path.name, re.IGNORECASE)
        if match:
            yield match[1], path


def _refuse_several(same: list[Path], digits: str) -> None:
    if same[0] != same[-1]:
        raise CunetError(
            f"'{same[0]}' and '{same[-1]}' are both of frame {int(digits)}; keep one of them."
        )


def of_frame(files: dict[str, Path], digits: str) -> Path | None:
    """The file of a frame; the zeros before the number may differ, where it is then the only one.

    Raises CunetError where there are several.
    """
    same = [path for other, path in files.items() if int(other) == int(digits)]
    if digits in files or not same:
        return files.get(digits)
    _refuse_several(same, digits)
    return same[0]
