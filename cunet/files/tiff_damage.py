"""What may be wrong with a TIFF: checked when it is opened, before any pixel is read.

tifffile reads a cut or damaged file as far as it can; here it is refused.
"""

import logging
import math
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tifffile

from cunet.errors import DataError

# tifffile also logs the damage it meets; an error that says so is enough.
logging.getLogger("tifffile").addHandler(logging.NullHandler())


@contextmanager
def damage_refused(path: Path) -> Iterator[None]:
    """Turns whatever tifffile raises inside into a DataError that names the file."""
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:  # a damaged directory fails in too many ways to list
        raise DataError(f"'{path}' is a damaged or truncated TIFF: {error}") from error


def only_series(tif: tifffile.TiffFile, path: Path) -> tifffile.TiffPageSeries:
    """The one image in the file, at full resolution; thumbnails do not count.

    Raises DataError where the file is cut, or holds several images or other pages than it says.
    """
    if len(tif.pages) == 0 or not _directories_end(tif):
        raise DataError(
            f"'{path}' is a truncated TIFF: after {len(tif.pages)} pages it points beyond "
            "its end. Copy or save it again."
        )
    every = [s for s in tif.series if s.keyframe is not None and not s.keyframe.is_reduced]
    if len(every) != 1:
        shapes = ", ".join(str(s.shape) for s in every[:4])
        raise DataError(
            f"'{path}' holds {len(every)} images of different kinds ({shapes}); expected "
            "pages of one size, type and compression. Save each in a file of its own."
        )
    series = every[0]
    metadata = {"imagej": tif.is_imagej, "shaped": tif.is_shaped, "ome": tif.is_ome}
    for kind, present in metadata.items():
        if present and series.kind in ("generic", "uniform"):  # tifffile's last resort
            raise DataError(
                f"'{path}' is damaged: its {kind} metadata announce other pages than the "
                f"{len(tif.pages)} found. Copy or save it again."
            )
    return series


def check_pages(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries, path: Path) -> None:
    """Raises DataError unless every page is there and every strip and tile lies in the file."""
    size, key = tif.filehandle.size, series.keyframe
    if series.dataoffset is not None:
        end = series.dataoffset + math.prod(series.shape) * np.dtype(series.dtype).itemsize
    else:
        end, pieces = 0, math.prod(key.chunked)
        for index, page in enumerate(series.pages):
            if page is None or page.parent is not tif:
                raise DataError(
                    f"'{path}': page {index} is missing or lies in another file of a set. "
                    "Save all pages in one TIFF."
                )
            if contiguous(page):
                end = max(end, page.dataoffsets[0] + key.nbytes)
            elif min(len(page.dataoffsets), len(page.databytecounts)) < pieces:
                raise DataError(f"'{path}' is damaged: page {index} lacks strips or tiles")
            else:
                places = zip(page.dataoffsets, page.databytecounts, strict=True)
                end = max(end, *map(sum, places))
    if end > size:
        raise DataError(
            f"'{path}' is truncated: its pixels need {end:,} bytes, the file has "
            f"{size:,}. Copy or save it again."
        )


def contiguous(page: tifffile.TiffPage | tifffile.TiffFrame) -> bool:
    """Whether a page's pixels are one uncompressed piece; tifffile looks at the first page only."""
    starts, counts = page.dataoffsets, page.databytecounts
    return page.is_final and all(
        a + n == b for a, n, b in zip(starts, counts, starts[1:], strict=False)
    )


def _directories_end(tif: tifffile.TiffFile) -> bool:
    """Whether the chain of directories ends as it should; tifffile takes a break for its end."""
    layout, file = tif.tiff, tif.filehandle
    file.seek(tif.pages[-1].offset)
    (tags,) = struct.unpack(layout.tagnoformat, file.read(layout.tagnosize))
    file.seek(tags * layout.tagsize, 1)
    (following,) = struct.unpack(layout.offsetformat, file.read(layout.offsetsize))
    return following == 0
