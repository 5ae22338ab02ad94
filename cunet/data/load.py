"""A data set from a folder, whatever its layout."""

from pathlib import Path

from cunet.data import ctc, dsb2018, isbi2012
from cunet.data import folder as pairs
from cunet.data.dataset import LAYOUTS, Dataset, listing
from cunet.errors import CunetError


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
    name, _, choice = (kind or "").partition(":")
    kinds = {"isbi2012": isbi2012, "ctc": ctc, "dsb2018": dsb2018, "folder": pairs}
    if kind is None:
        kind = next((name for name, module in kinds.items() if module.matches(path)), None)
    if kind is None:
        raise CunetError(f"data folder '{path}': {LAYOUTS}; found {listing(path)}.")
    if kind == "folder" or (name == "folder" and choice):
        return pairs.load(path, meaning, choice or None)
    if kind not in kinds:
        raise CunetError(
            f"no kind of data set '{kind}'; there are {', '.join(kinds)}, and folder:NAME, where "
            "NAME is the labels' folder or the ending of label files, such as folder:_mask."
        )
    if kind == "isbi2012":
        return isbi2012.load(path, meaning)
    return kinds[kind].load(path)  # these number their cells
