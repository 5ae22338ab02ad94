"""What a disk holds after a power cut, computed from the trace of a command that ran through.

Of a file it holds what was last synced, of a file that was never synced nothing. The names are
either those of the last sync of their folder (names="synced"), or all that were given
(names="all"), as on a disk that keeps a journal of names but not of contents.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Call:
    """A call that went through; data: the bytes that a write wrote."""

    what: str
    inode: int
    at: int
    length: int
    path: str
    other: str
    data: bytes


@dataclass
class File:
    """A file: what is in it, and what of that is on the disk."""

    now: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


def calls(trace: Path) -> Iterator[Call]:
    """The calls in a trace."""
    raw, at = trace.read_bytes(), 0
    while at < len(raw):
        end = raw.index(b"\n", at)
        what, inode, place, length, path, other = os.fsdecode(raw[at:end]).split("\t")
        at, size = end + 1, int(length) if what == "write" else 0
        yield Call(what, int(inode), int(place), int(length), path, other, raw[at : at + size])
        at += size


class PowerCut:
    """The state of a folder, followed call by call. All of it is on the disk at the beginning."""

    def __init__(self, root: Path, before: Path):
        """root: the folder of the trace; before: another with the same content as at its start."""
        self.root = os.path.realpath(root)
        self.names: dict[str, File | None] = {}  # None is a folder
        self.inodes: dict[int, File] = {}
        for path in sorted(before.rglob("*")):
            name = str(Path(self.root) / path.relative_to(before))
            data = None if path.is_dir() else path.read_bytes()
            self.names[name] = None if data is None else File(bytearray(data), data)
        self.synced = dict(self.names)

    def _file(self, call: Call) -> File:
        """The file of a call, which may have been there before the trace began."""
        if call.inode not in self.inodes:
            found = self.names.get(call.path)
            self.inodes[call.inode] = found if found is not None else File()
        return self.inodes[call.inode]

    def go(self, call: Call) -> None:
        """Follow the next call."""
        if call.what == "point":  # where it was made; what it did comes next
            return
        if call.what == "new":
            self.names[call.path] = self.inodes[call.inode] = File()
        elif call.what == "empty":
            self._file(call).now.clear()
        elif call.what in ("write", "room", "size"):
            now = self._file(call).now
            end = call.at + call.length
            if call.what == "size":
                del now[call.length :]
            now.extend(bytes(max(0, end - len(now))))
            if call.what == "write":
                now[call.at : end] = call.data
        elif call.what == "sync":
            if call.path == self.root or call.path in self.names and self.names[call.path] is None:
                self._sync_names(call.path)
            else:
                file = self._file(call)
                file.synced = bytes(file.now)
        elif call.what == "mkdir":
            self.names[call.path] = self.synced[call.path] = None
        elif call.what == "rename":
            self.names[call.other] = self.names.pop(call.path)
        elif call.what == "link":
            self.names[call.other] = self.names[call.path]
        elif call.what in ("unlink", "rmdir"):
            self.names.pop(call.path)
            if call.what == "rmdir":
                self.synced.pop(call.path)
        else:
            raise ValueError(call.what)

    def _sync_names(self, folder: str) -> None:
        def inside(names: dict[str, File | None]) -> set[str]:
            return {name for name in names if os.path.dirname(name) == folder}

        for name in inside(self.synced) - inside(self.names):
            self.synced.pop(name)
        for name in inside(self.names):
            self.synced[name] = self.names[name]

    def content(self, names: str, data: str) -> dict[str, bytes | None]:
        """Name relative to the folder -> bytes, None for a folder. names: "all", "synced"; data:
        "now", "synced"."""
        given = self.names if names == "all" else self.synced
        return {
            os.path.relpath(name, self.root): None if file is None else bytes(getattr(file, data))
            for name, file in sorted(given.items(), key=lambda item: item[0])
        }


def lay_out(content: dict[str, bytes | None], folder: Path) -> None:
    """Make a folder of this content."""
    folder.mkdir(parents=True)
    for name, data in content.items():
        if data is None:
            (folder / name).mkdir()
        else:
            (folder / name).write_bytes(data)
