"""Bytes from an address, no more of them than expected.

Networks may come by https or http: their SHA-256 is known, so nobody can change one on the way
unnoticed. An index, which says what is right, must come by https, or by http from this computer.
A redirect from https to http or to another scheme is refused. file: is for files on this computer
or a mounted share. Everything else, such as ftp: and data:, is refused.
"""

import os
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener, url2pathname

from cunet.errors import CunetError, DataError, DeviceError

TIMEOUT = 30.0  # seconds without a single byte
BLOCK = 1 << 16
THIS_COMPUTER = {"localhost", "127.0.0.1", "::1"}
ALLOWED = "https, http or file"


class Failed(Exception):
    """Why nothing of use came from an address. content: something else came."""

    def __init__(self, text: str, content: bool = False):
        super().__init__(text)
        self.content = content


def failed(text: str, reasons: list[Failed]) -> CunetError:
    """The error to raise: DataError where an address gave something unexpected, DeviceError where
    none could be reached."""
    return DataError(text) if any(one.content for one in reasons) else DeviceError(text)


def check(url: str, index: bool = False) -> None:
    """CunetError for an address that is refused; index: whether it is that of an index."""
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


def text(url: str, limit: int, index: bool = False) -> str:
    """A text of at most `limit` bytes; raises Failed."""
    data = b"".join(blocks(url, limit, index))
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Failed("it is not text", content=True) from error


def blocks(url: str, limit: int, index: bool = False) -> Iterator[bytes]:
    """What is at an address, block by block; Failed where that is more than `limit` bytes, or where
    it cannot be read."""
    done = 0
    try:
        check(url, index)
        with closing(_open(url)) as source:
            for block in iter(partial(source.read, BLOCK), b""):
                done += len(block)
                if done > limit:
                    raise Failed(f"it has more than the {limit:,} bytes expected", content=True)
                yield block
    except HTTPError as error:
        error.close()
        raise Failed(f"the server returned {error.code} {error.reason}") from error
    except URLError as error:
        raise Failed(_in_words(error.reason)) from error
    except CunetError as error:
        raise Failed(str(error)) from error
    except (OSError, HTTPException, ValueError) as error:
        raise Failed(_in_words(error)) from error


def _open(url: str) -> Any:
    """An open response of a server, or an open file."""
    if url.startswith("file:"):
        path = local(url)
        if not path.is_file():  # a pipe would be waited for
            raise Failed(f"no file '{path}'")
        return open(path, "rb")
    request = Request(url, headers={"User-Agent": "cunet"})
    return build_opener(_Redirects).open(request, timeout=TIMEOUT)


class _Redirects(HTTPRedirectHandler):
    """Only to http and https, and never from https to http."""

    def redirect_request(
        self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> Any:
        to = urlsplit(newurl).scheme
        if to not in ("http", "https") or (req.type == "https" and to == "http"):
            fp.close()
            raise Failed(f"it redirects from {req.type} to '{newurl:.200}'", content=True)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _in_words(error: Any) -> str:
    """What went wrong on the way."""
    if isinstance(error, TimeoutError):
        return f"nothing came for {TIMEOUT:g} seconds"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__
