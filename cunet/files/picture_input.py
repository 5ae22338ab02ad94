"""Reading JPEG and BMP: one page, grey or colour, 8 bits. The picture is held as a whole.

JPEG is for images alone, never for labels: it changes the values a little.
"""

import os
import struct
import warnings
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image, UnidentifiedImageError

from cunet.errors import DataError, machine_failed, no_memory, of_system
from cunet.files.calibration import Calibration
from cunet.files.whole import WholeImage

MAGIC = {b"\xff\xd8\xff": "JPEG", b"BM": "BMP"}
_CHANNELS = {"1": 1, "L": 1, "P": 1, "RGB": 3, "RGBA": 3}  # of Pillow's modes
_MOST_PIXELS = 2 * 2**30 // 12  # more are Pillow's DecompressionBombError
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, TypeError, IndexError, struct.error)
_MOST_PER_BYTE = 1024  # pixels that a byte can stand for: an empty block of 8 x 8 takes half a bit


class PictureImage(WholeImage):
    """A JPEG or BMP file open for reading; `open_image` makes it.

    Alpha is dropped, and `notes` says so. A colour table is refused unless `indices` is given: then
    the values are the indices into it. Raises DataError for damage and for CMYK colours.
    """

    calibration = Calibration()

    def __init__(self, path: Path, kind: str, indices: bool = False) -> None:
        self.path, self.kind, self.lossy = path, kind, kind == "JPEG"
        with self._open() as image:
            self.width, self.height = image.size
            self._mode = image.mode
            turned = self.lossy and image.getexif().get(ExifTags.Base.Orientation, 1) != 1
        if self._mode not in _CHANNELS:
            raise DataError(
                f"'{path}' is a {kind} file with colours as {self._mode}; expected grey or RGB. "
                "Save it as TIFF."
            )
        if self._mode == "P" and not indices:
            raise DataError(
                f"'{path}' is a {kind} file with a colour table; expected grey or RGB pixels. "
                "Convert it."
            )
        if self.width * self.height > _MOST_PIXELS:
            raise DataError(
                f"'{path}' is a {kind} file of {self.width} x {self.height} pixels, too large to "
                "be held whole. Save it as TIFF with tiles: it is then read in pieces."
            )
        stored = os.path.getsize(path)
        if self.width * self.height > _MOST_PER_BYTE * stored:
            raise DataError(
                f"'{path}' is a damaged or truncated {kind} file: it claims {self.width} x "
                f"{self.height} pixels, more than its {stored:,} bytes can hold. Save it again."
            )
        self.channels = _CHANNELS[self._mode]
        self.highest = 1 if self._mode == "1" else 255  # value of a pixel
        self.axes = "YX" if self.channels == 1 else "YXS"
        self.dtype = np.dtype(np.uint8)
        notes = [f"{kind}: the whole image is held in memory"]
        if self._mode == "RGBA":
            notes.append("alpha channel dropped, 3 channels kept")
        if self._mode == "P":
            notes.append("colour table ignored: the indices are read")
        if turned:
            self.doubts = (
                "marked as turned or mirrored (EXIF orientation): the pixels are read as stored, "
                "viewers may show them otherwise",
            )
        self.notes = (*notes, *self.doubts)

    def _open(self) -> Image.Image:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of sizes, which are checked, and of odd metadata
                return Image.open(self.path, formats=[self.kind])
        except Exception as error:
            raise self._failed(error) from error

    def _decode(self) -> np.ndarray:
        try:
            with self._open() as image:
                return self._pixels(image)
        except DataError:
            raise
        except Exception as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> Exception:
        """The error to raise for one of Pillow's or of the machine."""
        if isinstance(error, MemoryError):
            return no_memory(self.path)
        if isinstance(error, Image.DecompressionBombError):
            return DataError(f"'{self.path}' is a {self.kind} file too large to be held whole.")
        if machine_failed(error):
            return of_system(error, f"cannot read '{self.path}'")
        if isinstance(error, UnidentifiedImageError):
            return DataError(f"'{self.path}' is a damaged {self.kind} file. Save it again.")
        if not isinstance(error, _DAMAGE):
            return error
        return DataError(f"'{self.path}' is a damaged or truncated {self.kind} file: {error}")

    def colour_table(self) -> np.ndarray | None:
        if self._mode != "P":
            return None
        with self._open() as image:
            colours = image.palette.getdata()[1] if image.palette else b""
            step = len(image.palette.mode) if image.palette else 3
        table = np.frombuffer(colours[: len(colours) // step * step], np.uint8).reshape(-1, step)
        return table[:, :3]
