"""The books of a segmentation, in a folder beside its output: what was asked for, what is done.

    out.ome.zarr.cunet/
        task.json            what is made, from what and how: see task.py
        journals/*.jsonl     a line for each unit of work that is done; a file for each writer
        statistics/*.json    mean and deviation of sections, where the network wants their own
        scans/, numbers/     what the joining of objects keeps, removed at the end
        done.json            the result

A line is added after the pixels are on the disk. A process may be killed anywhere: a line that it
left incomplete counts for nothing, and its block is made again, to the same bits.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np

from cunet.errors import CunetError, of_system
from cunet.files.disk import write_error
from cunet.files.json_file import read_json
from cunet.files.lock import NotLockable, Taken, held, lock


class Books:
    """The folder of the books of an output; made by `create`."""

    def __init__(self, output: str | Path):
        self.output = Path(output)
        self.folder = self.output.with_name(self.output.name + ".cunet")

    @property
    def task(self) -> Path:
        """What is made, and how."""
        return self.folder / "task.json"

    @property
    def done(self) -> Path:
        """The result, once all is made."""
        return self.folder / "done.json"

    @property
    def empty(self) -> bool:
        """Whether the folder is there, and nothing was noted in it yet."""
        journals = self.folder / "journals"
        noted = self.task.exists() or self.done.exists() or any(journals.glob("*"))
        return self.folder.is_dir() and not noted

    def create(self) -> None:
        """Make the folder where it is not there."""
        try:
            (self.folder / "journals").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise write_error(error, self.folder) from error

    def remove(self) -> None:
        """Remove the books: all is to be made again."""
        try:
            shutil.rmtree(self.folder, ignore_errors=not self.folder.exists())
        except OSError as error:
            raise of_system(error, f"cannot remove '{self.folder}'") from error

    def tidy(self) -> None:
        """Remove what the joining of objects keeps, which nobody needs once it is done."""
        for kept in ("scans", "numbers"):
            shutil.rmtree(self.folder / kept, ignore_errors=True)

    @property
    def any_done(self) -> bool:
        """Whether a journal has a line, or all is made."""
        if self.done.exists():
            return True
        journals = (self.folder / "journals").glob("*.jsonl")
        return any(path.stat().st_size for path in journals)

    def result(self) -> dict[str, Any] | None:
        """What `done` holds, None before that."""
        try:
            found = read_json(self.done)
        except (OSError, ValueError):
            return None
        return found if found.get("finished") is True else None

    def read(self, stage: str, units: int, run: int | None = None) -> "Done":
        """What the journals say of the units of a stage, of which there are so many; or those
        alone that runs beginning with unit `run` have left."""
        found, pattern = Done(units), f"{stage}-{'*' if run is None else f'{run:09}-*'}.jsonl"
        try:
            for path in sorted((self.folder / "journals").glob(pattern)):
                with open(path, encoding="utf-8", errors="replace") as lines:
                    for line in lines:
                        found.add(_note(line))
        except OSError as error:
            raise of_system(error, f"cannot read the journals of '{self.output}'") from error
        return found

    @contextmanager
    def journal(self, stage: str, run: int) -> Iterator["Journal"]:
        """A journal of the run that begins with unit `run`; no other process has its name."""
        name = f"{stage}-{run:09}-{os.getpid()}-{secrets.token_hex(4)}.jsonl"
        journal = Journal(self.folder / "journals" / name)
        try:
            yield journal
        finally:
            journal.close()

    @contextmanager
    def finishing(self) -> Iterator[None]:
        """While one process joins what all have made; InUse where another one does."""
        with held(self.folder / ".finish.lock", self.output):
            yield

    @contextmanager
    def working(self, alone: bool = False) -> Iterator[None]:
        """While a process works on the output, beside others, or `alone`, to replace it. CunetError
        where others are in the way; a file system without locks lets all of them be."""
        with ExitStack() as stack:
            if self.folder.is_dir():
                stack.enter_context(self._locked(alone))
            yield

    @contextmanager
    def _locked(self, alone: bool) -> Iterator[None]:
        path = self.folder / ".work.lock"
        try:
            handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            raise write_error(error, self.folder) from error
        try:
            with suppress(NotLockable):
                lock(handle, shared=not alone)
            if not path.exists():  # whoever began it anew has removed it
                raise Taken
        except Taken:
            why = "worked on by other processes: stop them first" if alone else "begun anew now"
            os.close(handle)
            raise CunetError(f"'{self.output}' is {why}, or give another --out") from None
        try:
            yield
        finally:
            os.close(handle)


class Done:
    """Which units of a stage are done, and the sums of what their notes count.

    units  (n,) bool
    sums   name -> number, or list of numbers, added up over the units
    """

    def __init__(self, units: int):
        self.units = np.zeros(units, bool)
        self.sums: dict[str, Any] = {}

    def add(self, note: dict[str, Any] | None) -> None:
        """Count a note, once for each unit."""
        if note is None or not 0 <= note["unit"] < len(self.units) or self.units[note["unit"]]:
            return
        self.units[note["unit"]] = True
        for name, value in note.items():
            if name == "unit":
                continue
            if isinstance(value, list):
                before = self.sums.get(name, [0] * len(value))
                self.sums[name] = [a + b for a, b in zip(before, value, strict=True)]
            else:
                self.sums[name] = self.sums.get(name, 0) + value

    @property
    def left(self) -> np.ndarray:
        """The numbers of the units that are still to be done, in order."""
        return np.flatnonzero(~self.units)


class Journal:
    """Appends a line for every unit that is done; the file appears with the first."""

    def __init__(self, path: Path):
        self.path = path
        self._file: IO[str] | None = None

    def add(self, note: dict[str, Any]) -> None:
        """Write a line, to the disk at once. DeviceError where it has no room."""
        try:
            if self._file is None:
                self._file = open(self.path, "x", encoding="utf-8")
            self._file.write(json.dumps(note) + "\n")
            self._file.flush()
        except OSError as error:
            raise write_error(error, self.path) from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            with suppress(OSError):  # what it still holds is of a line that found no room
                self._file.close()


def _note(line: str) -> dict[str, Any] | None:
    """What a line says; None for one that was cut short or is damaged."""
    if not line.endswith("\n"):
        return None
    try:
        note = json.loads(line)
        fine = type(note["unit"]) is int
        for value in note.values():
            numbers = value if isinstance(value, list) else [value]
            fine = fine and all(type(n) in (int, float) for n in numbers)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return None
    return note if fine else None
