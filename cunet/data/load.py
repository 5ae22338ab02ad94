"""A data set from a folder, whatever its layout."""

from pathlib import Path

from cunet.data import ctc, dsb2018, isbi2012
from cunet.data import folder as pairs
from cunet.data.dataset import LAYOUTS, Dataset, listing
from cunet.errors import CunetError


def load(folder: str | Path, kind: str | None = None, meaning: str | None = None) -> Dataset:
    """Loads and checks the data set in `folder`; `kind` overrides what its files say.

    meaning "classes": label files hold classes even where they look like cell numbers.
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
    kinds = {"isbi2012": isbi2012, "ctc": ctc, "dsb2018": dsb2018, "folder": pairs}
    if kind is None:
        kind = next((name for name, module in kinds.items() if module.matches(path)), None)
    if kind is None:
        raise CunetError(f"data folder '{path}': {LAYOUTS}; found {listing(path)}.")
    if kind not in kinds:
        raise CunetError(f"no kind of data set '{kind}'; there are {', '.join(kinds)}.")
    if kind in ("isbi2012", "folder"):
        return kinds[kind].load(path, meaning)
    return kinds[kind].load(path)  # these number their cells
