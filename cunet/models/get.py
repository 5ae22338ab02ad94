"""`get`: the network of a name brought here, whole and checked, or found here already."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cunet.errors import CunetError, DataError
from cunet.files.atomic import write_text
from cunet.models import fetch, store
from cunet.models.index import Entry, Index
from cunet.models.names import full_name
from cunet.models.places import OWN, Found, find, first, own_folder, unknown
from cunet.models.record import MAX_CARD, Record, differs, read_record, record_path

Progress = Callable[[int, int], None]  # bytes that have come, and all


@dataclass(frozen=True)
class Got:
    """A network that is here. url: where it came from, "" if it was here before; notes: for the
    user."""

    name: str
    path: Path
    url: str = ""
    notes: tuple[str, ...] = ()


def get(
    name: str,
    index: Index,
    overwrite: bool = False,
    progress: Progress = lambda done, total: None,
    waiting: Callable[[], None] = lambda: None,
) -> Got:
    """Have the network of a name here: fetched from the addresses of the index in turn, unless it
    is here and right.

    Raises CunetError for an unknown name and where another file of that name is here (unless
    overwrite), DataError where what comes is not what the index says, DeviceError where nothing
    comes or the disk is full. Then nothing is kept, and the error says what to do by hand.
    """
    name = full_name(name)
    entry, found = index.entries.get(name), first(name)
    if entry is None:
        path = find(name)
        if path is None:
            raise unknown(name, index.entries)
        return Got(name, path, notes=("the index does not have it: nothing was fetched",))
    if found is not None and _is_it(found, entry):
        return _here(found, entry)
    if found is not None and found.place != OWN:
        other = found.problem or differs(found.path, entry.record)
        raise CunetError(
            f"model '{name}' is there already ({found.place}: '{found.path}'), is found first, and "
            f"is another file than the index names ({other}): nothing was fetched"
        )
    path = store.own_path(name)
    with store.claimed(path, waiting):
        found = first(name)  # another process may have brought it
        if found is not None and _is_it(found, entry):
            return _here(found, entry)
        if found is not None and not overwrite:
            other = differs(path, entry.record)
            raise CunetError(
                f"'{path}' is another file than the index names ({other}); give --overwrite to "
                "replace it"
            )
        return _fetched(path, entry, progress)


def _is_it(found: Found, entry: Entry) -> bool:
    """Whether a file is the one of the index."""
    return not found.problem and not differs(found.path, entry.record)


def _here(found: Found, entry: Entry) -> Got:
    """What is here already. One that was put into the user's folder by hand gets its record."""
    own = found.path.parent == own_folder()
    try:
        record = read_record(found.path)
    except DataError:
        record = None
    if own and (record is None or record.sha256 != entry.record.sha256):
        write_text(record_path(found.path), entry.record.text())
    return Got(found.name, found.path)


def _fetched(path: Path, entry: Entry, progress: Progress) -> Got:
    """The network from the first address that gives it."""
    reasons: list[fetch.Failed] = []
    lines: list[str] = []
    card, notes = _card(entry) if entry.urls else ("", ())
    for url in entry.urls:
        try:
            blocks = _counted(fetch.blocks(url, entry.record.bytes), entry, progress)

            def record_of(sha256: str, size: int, url: str = url) -> Record:
                return _checked(sha256, size, entry, url)

            store.keep(path, blocks, record_of, card, entry.record.bytes)
            return Got(entry.name, path, url, notes)
        except fetch.Failed as error:
            reasons.append(error)
            lines.append(f"{url}: {error}")
    if not entry.urls:
        raise CunetError(
            f"model '{entry.name}': the index has no address for it; put the file '{entry.file}' "
            f"({entry.record.bytes:,} bytes) at '{path}'"
        )
    raise fetch.failed(
        f"model '{entry.name}' could not be fetched ({'; '.join(lines)}). By hand: download "
        f"{entry.urls[0]} on any computer, put it at '{path}', and run this again to check it",
        reasons,
    )


def _counted(blocks: Iterator[bytes], entry: Entry, progress: Progress) -> Iterator[bytes]:
    """The same blocks; progress() is called after each."""
    done = 0
    for block in blocks:
        yield block
        done += len(block)
        progress(done, entry.record.bytes)


def _checked(sha256: str, size: int, entry: Entry, url: str) -> Record:
    """The record of what came; Failed where it is not what the index says."""
    if size != entry.record.bytes:
        raise fetch.Failed(f"it ended after {size:,} of {entry.record.bytes:,} bytes", content=True)
    if sha256 != entry.record.sha256:
        raise fetch.Failed(
            f"its SHA-256 is {sha256[:16]}..., the index says {entry.record.sha256[:16]}...",
            content=True,
        )
    return replace(entry.record, source=url)


def _card(entry: Entry) -> tuple[str, tuple[str, ...]]:
    """The card of a network and, where it cannot be fetched, a note: a network works without."""
    if not entry.card:
        return "", ()
    try:
        return fetch.text(entry.card, MAX_CARD), ()
    except fetch.Failed as error:
        return "", (f"warning: no card: {entry.card}: {error}",)
