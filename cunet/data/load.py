"""A data set from a folder, whatever its layout."""

from pathlib import Path

from cunet.data import ctc, dsb2018, epfl, isbi2012, isbi2013
from cunet.data import folder as pairs
from cunet.data.dataset import LAYOUTS, Dataset, listing
from cunet.errors import CunetError, not_among
from cunet.files.listing import is_file, tiff_named

KINDS = {
    "isbi2012": isbi2012,
    "isbi2013": isbi2013,
    "epfl": epfl,
    "ctc": ctc,
    "dsb2018": dsb2018,
    "folder": pairs,
}


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

    kind, which overrides them: isbi2012, isbi2013, epfl, ctc, dsb2018, folder, or folder:NAME with
    the name of the labels' folder or the ending of label files.
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
        found, do = ("a file" if path.exists() else "nothing there"), "Check the path"
        if path.suffix.lower() == ".zip" and path.exists():
            do = "Unzip it, and give the folder that is in it"
        raise CunetError(f"data folder '{path}': expected a folder, found {found}. {do}.")
    if kind is not None and kind.startswith("folder:"):
        return pairs.load(path, meaning, kind.removeprefix("folder:"))
    if kind is None:
        _refuse_two_stacks(path)
        kind = kind_of(path)
    if kind is None:
        zipped = ". Unzip what is zipped" if any(path.glob("*.zip")) else ""
        raise CunetError(f"data folder '{path}': {LAYOUTS}; found {listing(path)}{zipped}.")
    if kind not in KINDS:
        raise not_among("dataset", kind, [*KINDS, "folder:LABELS"])
    if kind in ("isbi2012", "epfl", "folder"):
        return KINDS[kind].load(path, meaning)
    return KINDS[kind].load(path)  # these number their cells


def _refuse_two_stacks(path: Path) -> None:
    """CunetError where the labels' name does not say to which of two volumes they belong."""
    volumes = isbi2012.VOLUME, isbi2013.VOLUME
    if all(is_file(tiff_named(path, name)) for name in volumes):
        raise CunetError(
            f"data folder '{path}' holds {volumes[0]} (ISBI 2012) and {volumes[1]} (ISBI 2013); "
            f"expected the volume that {isbi2012.LABELS} belongs to alone. Give --dataset isbi2012 "
            "or --dataset isbi2013."
        )
