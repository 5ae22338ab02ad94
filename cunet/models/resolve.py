"""From a name to the one file that it means, its hash checked; nothing is fetched."""

from pathlib import Path
from typing import TYPE_CHECKING

from cunet.errors import CunetError, DataError
from cunet.models.places import find, unknown
from cunet.models.record import differs, read_record
from cunet.terminal import size as in_words

if TYPE_CHECKING:
    from cunet.models.index import Entry


def file_of(name: str) -> Path:
    """The file of a name, compared with its record or, without one, with the index.

    CunetError where it is not on this computer, with what to do; DataError where its hash differs.
    """
    path = find(name)
    if path is not None and read_record(path) is not None:
        return path
    from cunet.models.index import read_index  # not above: it loads urllib

    try:
        entries = read_index().entries
    except CunetError as error:
        if path is None:
            raise CunetError(f"no model '{name}' is here, and {error}") from error
        return path
    entry = entries.get(name)
    if path is None:
        raise unknown(name, entries) if entry is None else _absent(entry)
    if entry is not None and (other := differs(path, entry.record)):
        raise DataError(
            f"model '{path}' is not the file that the index names ({other}). Remove it and run: "
            f"cunet models get {name}"
        )
    return path


def _absent(entry: "Entry") -> CunetError:
    """The error for a name that the index alone knows."""
    terms = f", license: {entry.record.license}" if entry.record.license else ""
    return CunetError(
        f"model '{entry.name}' is not on this computer ({in_words(entry.record.bytes)}{terms}); "
        f"get it: cunet models get {entry.name}"
    )
