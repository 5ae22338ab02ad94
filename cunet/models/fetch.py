"""Bytes from an address, no more than they may be and not for ever.

https and http are taken for networks: their SHA-256 is known, so that nobody on the way can change
one unseen. An index, which says what is right, comes by https alone, or by http from this computer.
No redirect leads from https back to http, nor to another scheme. file: is for what lies on this
computer or a mounted share. Everything else, such as ftp: and data:, is refused.
"""

import os
import time
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, url2pathname

from cunet.errors import CunetError, DataError, DeviceError
from cunet.terminal import size as in_words

TIMEOUT = 30.0  # seconds without a single byte
GRACE = 60.0  # seconds before a transfer may be called too slow
SLOWEST = 1000  # bytes a second, on average
BLOCK = 1 << 16
THIS_COMPUTER = {"localhost", "127.0.0.1", "::1"}
ALLOWED = "https, http or file"


class Failed(Exception):
    """Why an address gave nothing of use. content: it answered, with something else."""

    def __init__(self, text: str, content: bool = False):
        super().__init__(text)
        self.content = content


def failed(text: str, reasons: list[Failed]) -> CunetError:
    """The error to raise: DataError where an address gave something else than it should,
    DeviceError where none could be reached."""
    return DataError(text) if any(one.content for one in reasons) else DeviceError(text)


def check(url: str, index: bool = False) -> None:
    """CunetError for an address that is not taken; index: for one of an index."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise CunetError(f"'{url:.200}' is no address ({error})") from error
    if parts.scheme not in ("https", "http", "file"):
        raise CunetError(f"'{url:.200}': expected an address of {ALLOWED}")
    if parts.scheme == "file":
        local(url)
        return
    if not host or parts.username is not None or not (url.isascii() and url.isprintable()):
        raise CunetError(f"'{url:.200}': expected {parts.scheme}://HOST/PATH, without a user")
    if " " in url:
        raise CunetError(f"'{url:.200}': write the blank as %20")
    if index and parts.scheme == "http" and host not in THIS_COMPUTER:
        raise CunetError(
            f"index '{url:.200}': expected https, as nothing else vouches for what an index says; "
            "or download it and give the file"
        )


def local(url: str) -> Path:
    """The path of a file: address; of another computer on Windows alone, where shares have such
    names. Raises CunetError."""
    parts = urlsplit(url)
    host = "" if parts.netloc == "localhost" else parts.netloc
    if (host and os.name != "nt") or not parts.path.startswith("/"):
        raise CunetError(f"'{url:.200}': expected file:///PATH, on this computer")
    return Path(url2pathname(f"//{host}{parts.path}" if host else parts.path))


def text(url: str, limit: int, index: bool = False, timeout: float = TIMEOUT) -> str:
    """A text of at most `limit` bytes; raises Failed."""
    data = b"".join(blocks(url, limit, timeout, index))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Failed("what it gives is no text", content=True) from error


def blocks(url: str, limit: int, timeout: float = TIMEOUT, index: bool = False) -> Iterator[bytes]:
    """What is at an address, block by block; Failed where that is more than `limit` bytes, comes
    too slowly, or not at all."""
    begun, done = time.monotonic(), 0
    try:
        check(url, index)
        with closing(_open(url, timeout)) as source:
            read = getattr(source, "read1", source.read)
            said = getattr(source, "length", None)
            if isinstance(said, int) and said > limit:
                raise Failed(f"it has {in_words(said)}, expected {in_words(limit)}", content=True)
            while block := read(BLOCK):
                done += len(block)
                if done > limit:
                    raise Failed(f"it has more than the {limit:,} bytes expected", content=True)
                yield block
                took = time.monotonic() - begun
                if took > GRACE + done / SLOWEST:
                    raise Failed(f"too slow: {in_words(done)} in {took:.0f} s")
    except HTTPError as error:
        error.close()
        raise Failed(f"the server answers {error.code} {error.reason}") from error
    except URLError as error:
        raise Failed(_in_words(error.reason)) from error
    except CunetError as error:
        raise Failed(str(error)) from error
    except (OSError, HTTPException, ValueError) as error:
        raise Failed(_in_words(error)) from error


def _open(url: str, timeout: float) -> Any:
    """The open answer of a server, or a file."""
    if url.startswith("file:"):
        path = local(url)
        if not path.is_file():  # a pipe would be waited for
            raise Failed(f"no file '{path}'")
        return open(path, "rb")
    opener = build_opener(_Redirects)
    return opener.open(Request(url, headers={"User-Agent": "cunet"}), timeout=timeout)


class _Redirects(HTTPRedirectHandler):
    """Leads to http and https alone, and never from https to http."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        to = urlsplit(newurl).scheme
        if to not in ("http", "https") or (req.type == "https" and to == "http"):
            fp.close()
            raise Failed(f"it leads from {req.type} to '{newurl:.200}'", content=True)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _in_words(error: Any) -> str:
    """What went wrong on the way."""
    if isinstance(error, TimeoutError):
        return "no answer in time"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
