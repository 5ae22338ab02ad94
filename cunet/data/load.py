"""A data set from a folder, whatever its layout."""

from pathlib import Path

from cunet.data import ctc, dsb2018, isbi2012
from cunet.data import folder as pairs
from cunet.data.dataset import LAYOUTS, Dataset, listing
from cunet.errors import CunetError, not_among

KINDS = {"isbi2012": isbi2012, "ctc": ctc, "dsb2018": dsb2018, "folder": pairs}


def kind_of(folder: Path) -> str | None:
    """The kind of data set that a folder holds, as its files say; None for none."""
    return next((name for name, module in KINDS.items() if module.matches(folder)), None)


def data_of(labels: Path) -> Path | None:
    """The data set that a label file belongs to, by where it lies; None where it is none."""
    above = {"labels": 1, "masks": 2, "SEG": 2}.get(labels.parent.name, 0)
    folder = next(iter(labels.parents[above:]), None)
    return folder if folder is not None and kind_of(folder) is not None else None


def load(folder: str | Path, kind: str | None = None, meaning: str | None = None) -> Dataset:
    """Loads and checks the data set in `folder`, whose files say of what kind it is.

    kind, which overrides them: isbi2012, ctc, dsb2018, folder, or folder:NAME with the name of the
    labels' folder or the ending of label files.
    meaning: whether label files hold "classes" or "instances"; None: told by their shape.
    Raises CunetError if the folder is missing or of no known layout, DataError for invalid content.
    """
    try:
        return _load(Path(folder), kind, meaning)
    except PermissionError as error:
        raise CunetError(
            f"data folder '{folder}': '{error.filename}' may not be read. Give yourself the right."
        ) from error


def _load(path: Path, kind: str | None, meaning: str | None) -> Dataset:
    if not path.is_dir():
        found = "a file" if path.exists() else "nothing there"
        raise CunetError(f"data folder '{path}': expected a folder, found {found}. Check the path.")
    if kind is not None and kind.startswith("folder:"):
        return pairs.load(path, meaning, kind.removeprefix("folder:"))
    kind = kind or kind_of(path)
    if kind is None:
        raise CunetError(f"data folder '{path}': {LAYOUTS}; found {listing(path)}.")
    if kind not in KINDS:
        raise not_among("dataset", kind, [*KINDS, "folder:LABELS"])
    if kind in ("isbi2012", "folder"):
        return KINDS[kind].load(path, meaning)
    return KINDS[kind].load(path)  # these number their cells
