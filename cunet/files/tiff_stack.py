"""The pages of a TIFF that are the one image in it, and the axes that its metadata give them.

tifffile makes them into a series where the metadata fit the pages. Where they do not - they are
stale, not complete or lie in another file - the pages are read in stored order, as the pages of a
plain file or of several writes are, provided that they are of one kind.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from cunet.errors import DataError
from cunet.files import ome

_NAMES = {"imagej": "ImageJ", "shaped": "tifffile", "ome": "OME"}  # of metadata
_BY_PAGE = ("shaped", "generic", "uniform")  # series that repeated writing makes
_MOST_SEARCHED = 500  # pages; of more, levels of a pyramid are not told from pages


@dataclass
class Stack:
    """One image: planes of one size and type.

    axes, shape  of all pages, such as 'TZYX'; axes of length 1 say nothing and are left out
    pages        a tifffile page or frame for each plane, where dataoffset is None
    dataoffset   where the planes lie one after the other, uncompressed
    kind         the metadata that named the axes: tifffile's word, 'plain' for none
    doubts       what a user must hear about it
    """

    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype | None
    keyframe: Any
    pages: Any
    dataoffset: int | None
    kind: str
    doubts: tuple[str, ...] = ()


def only_stack(tif: tifffile.TiffFile, path: Path, pages: int) -> Stack:
    """The one image in a file of `pages` pages, at full resolution; thumbnails do not count.

    Raises DataError where it holds several images, or where its metadata are wrong about which of
    its pages are channels.
    """
    doubt, series = "", []
    try:
        if tif.is_ome:
            first = tif.pages.first
            ome.check(first.description, pages, first.imagewidth * first.imagelength, path)
        series = _series(tif, pages)
    except ome.Doubtful as error:
        doubt = str(error)
    except (DataError, MemoryError):
        raise
    except Exception as error:
        doubt = f"its metadata cannot be read, or do not fit its pages ({error})"
    every = [s for s in series if s.keyframe is not None and not s.keyframe.is_reduced]
    names = [name for kind, name in _NAMES.items() if getattr(tif, f"is_{kind}")]
    lost = any(s.kind in ("generic", "uniform") for s in every)
    if not doubt and names and (lost or (not every and names[0] != "tifffile")):
        doubt = f"its {names[0]} metadata announce other pages than the {pages} found"
    if not doubt and len(every) == 1:
        found = every[0]
        if getattr(found, "transform", None) is not None:
            raise DataError(
                f"'{path}' stores its values in a coding of their own ({found.kind}); expected "
                "plain numbers. Save it as an ordinary TIFF."
            )
        planes = math.prod(found.shape) // max(math.prod(found.keyframe.shape), 1)
        if planes <= pages or (pages == 1 and _one_directory_for_all(found)):
            alone = len(series) == 1 and len(found.levels) == 1
            unread = pages - planes if alone else 0
            if unread <= 0 or found.kind not in ("imagej", "shaped"):
                return _stack(found, unread)
        name = _NAMES.get(found.kind, found.kind)
        doubt = f"its {name} metadata announce {planes:,} pages, the file has {pages:,}"
    if not doubt and len(every) > 1:
        _check_writes(every, path)
    if doubt and tif.is_imagej:
        _check_imagej(tif, path, pages)
    stack = plain_stack(tif, path)
    if doubt:
        stack.doubts = (f"{doubt}: its pages are read in the order in which they are stored",)
    return stack


def _series(tif: tifffile.TiffFile, pages: int) -> list[tifffile.TiffPageSeries]:
    """tifffile's series, without its searches that take the square of the number of pages."""
    if pages > _MOST_SEARCHED:
        if tif.is_shaped:
            tif.pages.useframes = False
            if getattr(tif.pages.get(1), "is_shaped", False):  # every page was written alone
                return []
        vars(tif)["_series_generic"] = lambda: None  # the last resort
    return tif.series


def _stack(series: tifffile.TiffPageSeries, unread: int) -> Stack:
    """A series of tifffile, of which `unread` pages of the file are not a part."""
    kept = [
        (axis, size)
        for axis, size in zip(series.axes, series.shape, strict=True)
        if size != 1 or axis in "TZYX"
    ]
    if series.kind == "lsm" and series.keyframe.axes.startswith("S"):
        # Zeiss's channels are samples of one page, in a plane each
        kept = [("S" if axis == "C" else axis, size) for axis, size in kept]
    doubts = []
    if unread > 0 and series.kind == "ome":
        doubts.append(f"{unread} more pages are not in its OME metadata and not read")
    return Stack(
        "".join(axis for axis, _ in kept),
        tuple(size for _, size in kept),
        None if series.dtype is None else np.dtype(series.dtype),
        series.keyframe,
        series.pages,
        series.dataoffset or None,  # 0 stands for pixels that were never written
        series.kind,
        tuple(doubts),
    )


def _one_directory_for_all(series: tifffile.TiffPageSeries) -> bool:
    """Whether a file of one directory is meant to have more planes, one behind the other."""
    key, start = series.keyframe, series.dataoffset
    if start is None:
        return False
    end = start + math.prod(series.shape) * series.dtype.itemsize
    if series.kind == "shaped" and "truncated" not in str(key.shaped_description):
        if end > key.parent.filehandle.size:  # nobody meant this; the description is an older one
            return False
    return not start <= key.offset < end


def plain_stack(tif: tifffile.TiffFile, path: Path) -> Stack:
    """The pages of a file in stored order; DataError where they are of several kinds.

    They may differ in compression and in strips, not in what their values are.
    """
    tif.pages.useframes = False
    kinds: dict[tuple, list[Any]] = {}
    keys: dict[int, Any] = {}
    for index in range(len(tif.pages)):
        page: Any = tif.pages.get(index)
        samples = page.dtype, page.photometric, tuple(page.extrasamples)
        kind = page.is_reduced, page.shape, page.axes, *samples
        key = keys.setdefault(page.hash, page)
        if page is not key:  # one set of tags for all that are like it
            page = tifffile.TiffFrame(
                tif,
                index,
                offset=page.offset,
                dataoffsets=page.dataoffsets,
                databytecounts=page.databytecounts,
                keyframe=key,
            )
        kinds.setdefault(kind, []).append(page)
    kinds = {kind: found for kind, found in kinds.items() if not kind[0]} or kinds
    if len(kinds) > 1:
        shown = ", ".join(f"{k[1]} {k[3]} {_name(k[4])}" for k in list(kinds)[:4])
        raise DataError(
            f"'{path}' holds {len(kinds)} images of different kinds ({shown}); expected pages of "
            "one size and type. Save each in a file of its own."
        )
    (pages,) = kinds.values()
    first = pages[0]
    axes, shape = first.axes, tuple(first.shape)
    if len(pages) > 1:
        axes, shape = "Q" + axes, (len(pages), *shape)
    return Stack(axes, shape, first.dtype, first, pages, None, "plain")


def _check_writes(every: list[tifffile.TiffPageSeries], path: Path) -> None:
    """DataError unless several series are pages, written one after the other."""
    shapes = ", ".join(str(s.shape) for s in every[:4])
    if every[0].kind == "ome":
        raise DataError(
            f"'{path}' holds {len(every)} scenes ({shapes}), images of their own in OME's "
            "metadata; expected one. Save each scene in a file of its own."
        )
    for series in every:
        outer = [a for a, n in zip(series.axes, series.shape, strict=True) if n > 1]
        if series.kind not in _BY_PAGE or len(set(outer) - set("YXS")) > 1 or "C" in outer:
            raise DataError(
                f"'{path}' holds {len(every)} images of different kinds ({shapes}); expected "
                "pages of one size and type. Save each in a file of its own."
            )


def _check_imagej(tif: tifffile.TiffFile, path: Path, pages: int) -> None:
    """DataError where ImageJ's metadata do not fit, and plain pages would be wrong too."""
    texts = tif.imagej_metadata or {}
    claimed = [texts.get(name, 1) for name in ("images", "channels", "slices", "frames")]
    images, channels, *_ = (n if isinstance(n, int) else 1 for n in claimed)
    bytes_claimed = images * tif.pages.first.nbytes
    if pages == 1 and tif.pages.first.is_final and bytes_claimed >= 2**32 - 2**26:
        # beyond 4 GB ImageJ writes one directory for all pages
        raise DataError(
            f"'{path}' is truncated: its {images:,} pages need {bytes_claimed:,} bytes, the file "
            f"has {tif.filehandle.size:,}. Copy or save it again."
        )
    if channels > 1:
        raise DataError(
            f"'{path}': its ImageJ metadata announce {images:,} images in {channels} channels, the "
            f"file has {pages:,} pages; it is not known which page is which channel. The metadata "
            "are wrong, not the pixels: save it again, or without them."
        )


def _name(photometric: Any) -> str:
    return str(getattr(photometric, "name", photometric)).lower()
