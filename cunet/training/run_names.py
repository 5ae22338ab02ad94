"""How run folders are named."""

import os
import re
from pathlib import Path

from cunet.files.disk import write_error


def next_name(parent: str | Path, stem: str) -> Path:
    """parent/stem-<n> with the first free n, counted from 1."""
    stem = os.fsdecode(os.fsencode(stem)[:200])  # a folder may have the longest name there is
    stem = stem.removesuffix(".zarr").removesuffix(".ome") or stem
    taken = [re.fullmatch(rf"{re.escape(stem)}-(\d+)", p.name) for p in Path(parent).glob("*")]
    return Path(parent) / f"{stem}-{max([int(m[1]) for m in taken if m], default=0) + 1}"


def claimed(parent: str | Path, stem: str) -> Path:
    """The same as a new, empty folder that no other process gets."""
    path = next_name(parent, stem)
    stem, number = path.name.rpartition("-")[0], int(path.name.rpartition("-")[2])
    while True:
        try:
            path.mkdir(parents=True)
            return path
        except FileExistsError:  # another process was faster, or the folder cannot be listed
            number += 1
            path = path.with_name(f"{stem}-{number}")
        except OSError as error:
            raise write_error(error, path) from error
