"""What may be wrong with a TIFF: checked when it is opened, before any pixel is read.

tifffile reads a cut or damaged file as far as it can; here it is refused, and so is a file that
claims more pixels than its bytes can hold.
"""

import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from cunet.errors import DataError, DeviceError, machine_failed, no_memory, of_system
from cunet.files.tiff_stack import Stack

# tifffile also logs the damage it meets; an error that says so is enough.
logging.getLogger("tifffile").addHandler(logging.NullHandler())

# The most bytes that one byte can become, by TIFF's number of the compression: deflate's longest
# match has 258 bytes and takes two bits; a code of LZW has 12 bits and names at most 3,838 bytes;
# a pair of PackBits' bytes makes 128; a block of JPEG, 64 samples, takes two bits; four bytes of
# Zstandard make 2^17; of LZMA 10,000 were measured. Others know no limit.
_MOST_PER_BYTE = {1: 1, 5: 2560, 8: 1032, 32946: 1032, 32773: 64}
_MOST_PER_BYTE |= {6: 4096, 7: 4096, 34925: 1 << 18, 34926: 1 << 16, 50000: 1 << 16}
_FAX = (2, 3, 4)  # a row of fax takes a bit at least
_LARGEST_TILE = 1 << 24  # pixels, where the image has fewer
_SLACK = 4096  # bytes; nobody is harmed by so few


@contextmanager
def damage_refused(path: Path) -> Iterator[None]:
    """Turns whatever tifffile raises inside into a DataError that names the file."""
    try:
        yield
    except (DataError, DeviceError):
        raise
    except MemoryError as error:
        raise no_memory(path) from error
    except Exception as error:  # a damaged directory fails in too many ways to list
        if machine_failed(error):
            raise of_system(error, f"cannot read '{path}'") from error
        raise DataError(f"'{path}' is a damaged or truncated TIFF: {error}") from error


def check_pages(tif: tifffile.TiffFile, stack: Stack, path: Path) -> list[str]:
    """Raises DataError unless every page is there and its strips and tiles can hold it.

    Returns notes on pieces that were never written.
    """
    size = tif.filehandle.size
    if 0 in stack.shape:
        raise DataError(f"'{path}' has no pixels: {stack.axes} {stack.shape}. Save it again.")
    if stack.dataoffset is not None:
        end = stack.dataoffset + math.prod(stack.shape) * np.dtype(stack.dtype).itemsize
        _check_end(end, size, path)
        return []
    end, missing, every = 0, 0, 0
    for index, page in enumerate(stack.pages):
        if page is None or page.parent is not tif:
            raise DataError(
                f"'{path}': page {index} is missing or lies in another file of a set. "
                "Save all pages in one TIFF."
            )
        key = page.keyframe
        if contiguous(page):
            end = max(end, page.dataoffsets[0] + key.nbytes)
            continue
        sides = key.tilewidth, key.tilelength, key.tiledepth
        if key.is_tiled and math.prod(sides) > max(_LARGEST_TILE, 4 * math.prod(key.shape)):
            raise DataError(
                f"'{path}' claims tiles of {' x '.join(map(str, sides))} pixels (page {index}), "
                f"more than an image of {key.shape} needs. Save it again."
            )
        pieces = math.prod(key.chunked)
        places = [*zip(page.dataoffsets, page.databytecounts, strict=False)][:pieces]
        if len(places) < pieces:
            raise DataError(f"'{path}' is damaged: page {index} lacks strips or tiles")
        written = [(at, count) for at, count in places if at and count]
        if not written:
            raise DataError(
                f"'{path}': the pixels of page {index} were never written; the file keeps their "
                "place, and nothing is there. Save it again."
            )
        end = max(end, *map(sum, written))
        lacking = pieces - len(written)
        missing, every = missing + lacking, every + pieces
        whole, piece = packed_bytes(key)
        claimed, stored = whole - lacking * piece, sum(count for _, count in written)
        most = _MOST_PER_BYTE.get(int(key.compression), math.inf) * stored
        if int(key.compression) in _FAX:
            most = 8 * stored * (-(-key.imagewidth // 8))
        if end <= size and claimed > most + _SLACK * len(written):
            raise DataError(
                f"'{path}' claims {key.shape} pixels in {stored:,} bytes (page {index}), which "
                f"can hold {most:,} bytes, not {claimed:,}. Save it again."
            )
    _check_end(end, size, path)
    if missing:
        return [f"{missing} of its {every} strips or tiles were never written: read as empty"]
    return []


def _check_end(end: int, size: int, path: Path) -> None:
    if end > size:
        raise DataError(
            f"'{path}' is truncated: its pixels need {end:,} bytes, the file has "
            f"{size:,}. Copy or save it again."
        )


def packed_bytes(key: Any) -> tuple[int, int]:
    """The least bytes of a page and the most of one strip or tile, before compression."""
    each = key.bitspersample if isinstance(key.bitspersample, tuple) else (key.bitspersample,)
    bits = sum(each) / len(each)  # of a sample; those of a pixel may differ
    samples = key.samplesperpixel if key.planarconfig == 1 else 1
    rows, width = (
        (key.tilelength, key.tilewidth)
        if key.is_tiled
        else (min(key.rowsperstrip, key.imagelength), key.imagewidth)
    )
    return int(math.prod(key.shape) * bits / 8), int(rows * (width * samples * bits / 8 + 1))


def contiguous(page: tifffile.TiffPage | tifffile.TiffFrame) -> bool:
    """Whether a page's pixels are one uncompressed piece; tifffile looks at the first page only."""
    starts, counts = page.dataoffsets, page.databytecounts
    return bool(page.is_final and len(starts) and starts[0]) and all(
        a + n == b for a, n, b in zip(starts, counts, starts[1:], strict=False)
    )
