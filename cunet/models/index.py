"""The index: networks that `cunet models get` can fetch, and what their files must be.

A JSON object of entries by name:

    {"mito-w32": {"file": "mito-w32.npz", "bytes": 14323905, "sha256": "9f2c...",
                  "urls": ["mito-w32.npz", "https://elsewhere.org/mito-w32.npz"],
                  "license": "CC-BY-4.0", "for": "mitochondria in EM, 4 nm", "card": "mito-w32.md"}}

file, bytes and sha256 are needed; urls are tried in turn. Addresses without a scheme are relative
to the index, so that an index with its files can be moved as a folder.

cunet's own index is always known; another one is a file or an address, given with --index or in
CUNET_INDEX. One at an address is fetched by `cunet models get` alone, which keeps a copy that all
other commands read.
"""

import hashlib
import json
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlsplit

from cunet.errors import CunetError, DataError
from cunet.files.atomic import write_text
from cunet.files.json_file import text_of
from cunet.models import fetch
from cunet.models.names import SPELLING, is_file_name, is_name
from cunet.models.places import HERE, own_folder
from cunet.models.record import Record, Wrong, text_at

OWN = HERE / "index.json"
MAX_INDEX = 4 << 20  # bytes: some ten thousand entries


@dataclass(frozen=True)
class Entry:
    """A network of an index. urls and card are whole addresses; card may be ""."""

    name: str
    file: str
    record: Record
    urls: tuple[str, ...]
    card: str = ""


@dataclass(frozen=True)
class Index:
    """Entries by name; where: the source of those that are not cunet's own ("" for none)."""

    entries: dict[str, Entry]
    where: str = ""
    notes: tuple[str, ...] = ()


def read_index(where: str | None = None, get: bool = False) -> Index:
    """cunet's own index and that of a file or an address, by default of CUNET_INDEX.

    get: fetch it, if it is at an address; otherwise its copy is read. Raises CunetError where it
    is not there, DataError where it is damaged, DeviceError where it cannot be fetched and there
    is no copy.
    """
    own = parse(text_of(OWN, "index", MAX_INDEX), str(OWN), OWN.absolute().as_uri())
    where = os.environ.get("CUNET_INDEX", "") if where is None else where
    if not where:
        return Index(own)
    if not is_address(where):
        path = Path(where)
        return Index(
            own | parse(text_of(path, "index", MAX_INDEX), where, path.absolute().as_uri()), where
        )
    if where.lower().startswith("file:"):
        path = fetch.local(where)
        return Index(own | parse(text_of(path, "index", MAX_INDEX), where, where), where)
    fetch.check(where, index=True)
    text, notes = _fetched(where) if get else (_copy(where), ())
    return Index(own | parse(text, where, where), where, notes)


def is_address(where: str) -> bool:
    """Whether this is an address and no path; C: is a drive."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:", where) is not None


def parse(text: str, where: str, base: str) -> dict[str, Entry]:
    """The entries of an index; DataError, which names `where`, if one is wrong. base: the address
    that relative ones start from."""
    try:
        try:
            document = json.loads(text)
        except RecursionError as error:
            raise Wrong("nested too deeply") from error
        if not isinstance(document, dict):
            raise Wrong(f"expected an object, found {type(document).__name__}")
        return {name: _entry(name, one, base) for name, one in document.items()}
    except ValueError as error:
        raise DataError(
            f"index '{where}' is damaged or no index of models ({error}); correct it, or take "
            "another one"
        ) from error


def _entry(name: str, found: Any, base: str) -> Entry:
    """One entry, every field of it checked."""
    if not is_name(name):
        raise Wrong(f"name {name!r:.80}: expected {SPELLING}")
    try:
        record = Record.of(found)
        if not is_file_name(found.get("file")):
            raise Wrong(
                f"file: expected NAME.npz without a folder, found {found.get('file')!r:.80}"
            )
        urls = found.get("urls", [])
        if not isinstance(urls, list):
            raise Wrong(f"urls: expected a list, found {urls!r:.60}")
        addresses = tuple(_address(url, base, "urls") for url in urls)
        card = text_at(found, "card")
        return Entry(
            name, found["file"], record, addresses, _address(card, base, "card") if card else ""
        )
    except Wrong as error:
        raise Wrong(f"'{name}': {error}") from error


def _address(url: Any, base: str, key: str) -> str:
    """A whole address. Only an index on this computer may name a file of this computer: whoever
    writes an index elsewhere must not have the files of its readers opened."""
    if not isinstance(url, str) or not url or not url.isprintable():
        raise Wrong(f"{key}: expected an address, found {url!r:.80}")
    try:
        whole = urlsplit(urljoin(base, url)).geturl()  # the scheme in small letters
        fetch.check(whole)
    except ValueError as error:  # CunetError is one
        raise Wrong(f"{key}: {error}") from error
    if whole.startswith("file:"):
        if not base.startswith("file:"):
            raise Wrong(f"{key}: '{url:.80}' is a file of this computer, the index is not")
        if urlsplit(whole).netloc not in ("", urlsplit(base).netloc):
            raise Wrong(f"{key}: '{url:.80}' is on another computer than the index")
    return whole


def _copy_path(where: str) -> Path:
    """Where the copy of an index is kept."""
    name = hashlib.sha256(where.encode("utf-8", "surrogatepass")).hexdigest()[:16]
    return own_folder().parent / "indexes" / f"{name}.json"


def _copy(where: str) -> str:
    """The copy of an index that was fetched before."""
    copy = _copy_path(where)
    if not copy.is_file():
        raise CunetError(
            f"index '{where}' has not been fetched yet, and only `get` fetches; run: "
            f"cunet models get --index {where}"
        )
    return text_of(copy, "index", MAX_INDEX)


def _fetched(where: str) -> tuple[str, tuple[str, ...]]:
    """The index at an address, of which a copy is kept; where it cannot be fetched, the earlier
    copy, and a note that says so."""
    copy = _copy_path(where)
    try:
        text = fetch.text(where, MAX_INDEX, index=True)
    except fetch.Failed as error:
        if not copy.is_file():
            raise fetch.failed(
                f"index '{where}' could not be fetched: {error}. Without internet: save it to a "
                "file elsewhere, and give that with --index",
                [error],
            ) from error
        return text_of(copy, "index", MAX_INDEX), (
            f"warning: index '{where}': {error}; its copy is used",
        )
    parse(text, where, where)  # what is damaged does not replace a good copy
    try:
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_text(copy, text)
    except (OSError, CunetError) as error:
        return text, (f"warning: no copy of index '{where}' is kept: {error}",)
    return text, ()
