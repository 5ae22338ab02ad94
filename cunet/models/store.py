"""The user's own folder of networks: NAME.npz with NAME.md and NAME.json beside it.

A network appears whole or not at all. Its old record goes before it is replaced and the new one
comes after, so that a crash can leave a file without its record, but none with that of another.
"""

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from itertools import count
from pathlib import Path

from cunet.errors import CunetError, DeviceError
from cunet.files.atomic import Part, write_text
from cunet.files.disk import free_bytes, no_room, write_error
from cunet.files.lock import InUse, held, lock_of
from cunet.interrupts import uninterrupted
from cunet.models.names import IN_THE_BOX, full_name
from cunet.models.places import OWN, everything, first, own_folder
from cunet.models.record import Record, card_path, record_path

WAIT = 600.0  # seconds for another process that is writing the same network
LOOK = 0.2  # seconds until the next attempt


def own_path(name: str) -> Path:
    """The file of a name in the user's folder. CunetError where an earlier place has the name, so
    that it would never mean this file, and where it differs from another name only in capitals."""
    if full_name(name) in IN_THE_BOX:
        raise CunetError(f"name: '{name}' is a network that comes with cunet; take another name")
    found = first(name)
    if found is not None and found.place != OWN:
        raise CunetError(
            f"name: model '{name}' is there already ({found.place}: '{found.path}') and is found "
            "first; take another name"
        )
    for one in everything():  # many file systems would take both for one file
        if one.name != name and one.name.lower() == name.lower():
            raise CunetError(
                f"name: '{name}' differs from model '{one.name}' in capitals alone; take that name "
                "or another one"
            )
    return own_folder() / f"{name}.npz"


@contextmanager
def claimed(path: Path, waiting: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Lock a network while the block writes it, after any other process that does so; waiting() is
    called once if there is one. DeviceError where the folder cannot be written to."""
    until = time.monotonic() + WAIT
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _elsewhere(write_error(error, path.parent)) from error
    with ExitStack() as stack:
        for attempt in count():
            try:
                stack.enter_context(held(lock_of(path), path, "model"))
                break
            except InUse:
                if time.monotonic() > until:
                    raise
                if attempt == 0:
                    waiting()
                time.sleep(LOOK)
            except CunetError as error:
                raise _elsewhere(error) from error
        yield


def keep(
    path: Path,
    blocks: Iterable[bytes],
    record_of: Callable[[str, int], Record],
    card: str = "",
    needed: int = 0,
) -> Record:
    """Write a network of these blocks, its card and its record; returns the record.

    record_of(sha256, bytes) makes the record once all is written, or raises what is wrong: then
    nothing is kept. card: "" for none. Raises DeviceError where the disk has no room.
    """
    if needed > free_bytes(path):
        raise _elsewhere(no_room(path, needed))
    done, size = hashlib.sha256(), 0
    part = Part(path, needed)
    try:
        for block in blocks:
            part.add(block)
            done.update(block)
            size += len(block)
        record = record_of(done.hexdigest(), size)
    except BaseException as error:
        part.discard()
        raise _elsewhere(error) if isinstance(error, DeviceError) else error from None
    with uninterrupted():
        for old in (record_path(path), card_path(path)):
            try:
                old.unlink(missing_ok=True)
            except OSError as error:  # a folder of this name
                part.discard()
                raise _elsewhere(write_error(error, old)) from error
        part.publish()
        if card:
            write_text(card_path(path), card)
        write_text(record_path(path), record.text())
    return record


def _elsewhere(error: CunetError) -> DeviceError:
    """The error, with advice for a folder that cannot be written to."""
    return DeviceError(f"{error}; or set CUNET_CACHE to a folder that you may write to")
