"""The record of a network: what identifies its file, so that a changed one is noticed.

NAME.json, the record of NAME.npz, is an object with

    sha256   of the file, 64 hexadecimal digits         license  of the network, in a few words
    bytes    its length                                 source   where it came from
    for      what it was made for
    authors  who made it, a list of "Name" or "Name (affiliation)"
    cite     what to cite, a list of "text, https://..."
    pixel_size  of its training images, as 4 nm       } of a network whose file was written
    skewness    of them, two numbers (net/trained_on) } before files said so themselves

The record guards against damage and mistakes, not against someone who forges both files.
"""

import hashlib
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cunet.errors import CunetError, DataError, of_system
from cunet.files.json_file import json_text, read_json
from cunet.files.pixel_size import PixelSize

MAX_TEXT = 500  # characters of a licence, a source or a purpose
MAX_RECORD = 64 << 10  # bytes of a record itself
MAX_CARD = 256 << 10  # bytes of a card
MAX_BYTES = 1 << 36  # of a network: the paper's has 124 MB
_SHA256 = re.compile(r"[0-9a-f]{64}")


class Wrong(ValueError):
    """What is wrong with an entry, in a few words; its reader names the file."""


@dataclass(frozen=True)
class Record:
    """What is known of a file; made_for is written as `for`."""

    sha256: str
    bytes: int
    license: str = ""
    source: str = ""
    made_for: str = ""
    authors: tuple[str, ...] = ()
    cite: tuple[str, ...] = ()
    pixel_size: str = ""
    skewness: tuple[float, float] | None = None

    @property
    def images(self) -> dict[str, Any]:
        """What it says of the training images, by the names of a file's header."""
        known = {"pixel_size": self.pixel_size or None, "skewness": self.skewness}
        return {name: value for name, value in known.items() if value is not None}

    @classmethod
    def of(cls, found: Any) -> "Record":
        """From an object of JSON; raises Wrong."""
        if not isinstance(found, dict):
            raise Wrong(f"expected an object, found {type(found).__name__}")
        sha256, size = found.get("sha256"), found.get("bytes")
        if not isinstance(sha256, str) or not _SHA256.fullmatch(sha256.lower()):
            raise Wrong(f"sha256: expected 64 hexadecimal digits, found {sha256!r:.80}")
        if type(size) is not int or not 0 < size <= MAX_BYTES:
            raise Wrong(f"bytes: expected a number from 1 to {MAX_BYTES:,}, found {size!r:.40}")
        license, source, made_for = (text_at(found, key) for key in ("license", "source", "for"))
        authors, cite = texts_at(found, "authors"), texts_at(found, "cite")
        pixel_size, skewness = text_at(found, "pixel_size"), skewness_at(found)
        if pixel_size:
            try:
                PixelSize.parse(pixel_size)
            except CunetError as error:
                raise Wrong(str(error)) from None
        return cls(
            sha256.lower(), size, license, source, made_for, authors, cite, pixel_size, skewness
        )

    def text(self) -> str:
        """As JSON."""
        names = ("sha256", "bytes", "license", "source")
        lists = {n: list(getattr(self, n)) for n in ("authors", "cite") if getattr(self, n)}
        own = {n: getattr(self, n) for n in names} | {"for": self.made_for}
        return json_text(own | lists | self.images) + "\n"


def text_at(found: dict[str, Any], key: str) -> str:
    """A text in an object, "" where it is not there; raises Wrong."""
    text = found.get(key, "")
    if not isinstance(text, str) or len(text) > MAX_TEXT:
        raise Wrong(f"{key}: expected a text of at most {MAX_TEXT} characters, found {text!r:.60}")
    return text


def skewness_at(found: dict[str, Any]) -> tuple[float, float] | None:
    """The two skewnesses in an object, None where they are not there; raises Wrong."""
    values = found.get("skewness")
    if values is None:
        return None
    two = isinstance(values, list | tuple) and len(values) == 2
    if not two or not all(type(v) in (int, float) and abs(v) < 1e6 for v in values):
        raise Wrong(f"skewness: expected two numbers, found {values!r:.60}")
    return float(values[0]), float(values[1])


def texts_at(found: dict[str, Any], key: str) -> tuple[str, ...]:
    """A list of texts in an object, () where it is not there; raises Wrong."""
    texts = found.get(key, [])
    if not isinstance(texts, list):
        raise Wrong(f"{key}: expected a list of texts, found {texts!r:.60}")
    return tuple(text_at({key: text}, key) for text in texts)


def record_path(path: Path) -> Path:
    """The record of a network's file."""
    return path.with_suffix(".json")


def card_path(path: Path) -> Path:
    """The card of a network's file."""
    return path.with_suffix(".md")


def read_record(path: Path, strict: bool = True) -> Record | None:
    """The record of a network's file; None without one.

    strict: DataError where the file of that name is no record. Otherwise it is ignored, as model
    files may be in a folder with unrelated files.
    """
    record = record_path(path)
    try:
        return Record.of(read_json(record, MAX_RECORD))
    except FileNotFoundError:
        return None
    except OSError as error:
        if not strict:
            return None
        raise of_system(error, f"cannot read '{record}'") from error
    except ValueError as error:
        if not strict:
            return None
        raise DataError(
            f"'{record}' is no record of model '{path}' ({error}); get or add the model again, or "
            "delete the record"
        ) from error


def digest(path: Path) -> str:
    """The SHA-256 of a file; errors as for reading it."""
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for
        raise CunetError(f"model '{path}' is not a regular file; copy it into one")
    try:
        with open(path, "rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise of_system(error, f"cannot read model '{path}'") from error


def differs(path: Path, record: Record) -> str:
    """How a file differs from the one that a record is of, "" if it does not."""
    size = os.stat(path).st_size
    if size != record.bytes:
        return f"{size:,} bytes, expected {record.bytes:,}"
    if (found := digest(path)) != record.sha256:
        return f"SHA-256 {found[:16]}..., expected {record.sha256[:16]}..."
    return ""


def refuse_changed(path: Path, strict: bool = False) -> Record | None:
    """The record of a network's file, None without one; DataError where the file is not the one
    that it was written for. strict: as in read_record."""
    record = read_record(path, strict)
    if record is not None and path.is_file() and (other := differs(path, record)):
        raise DataError(
            f"model '{path}' is damaged or was replaced ({other}, as its record says). Get or add "
            f"it again with --overwrite or, if it is as you want it, delete '{record_path(path)}'"
        )
    return record
