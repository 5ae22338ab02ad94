"""Reading PNG: one page, grey or colour, values as stored. It is read as a whole."""

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from cunet.errors import DataError, machine_failed, no_memory, of_system
from cunet.files.calibration import Calibration
from cunet.files.png_chunks import data_bytes, picture_alone
from cunet.files.whole import WholeImage
from cunet.terminal import plural

_GREY, _RGB, _PALETTE, _GREY_ALPHA, _RGBA = 0, 2, 3, 4, 6  # PNG's colour types
_SAMPLES = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 2, _RGBA: 4}
_CHANNELS = {_GREY: 1, _RGB: 3, _PALETTE: 1, _GREY_ALPHA: 1, _RGBA: 3}
_MOST_PIXELS = 2 * 2**30 // 12  # more are Pillow's DecompressionBombError
_LONGEST = 1_000_000  # pixels of a side, as in libpng: 10**8 rows of a pixel take half a minute
_BITS = {_GREY: (1, 2, 4, 8, 16), _PALETTE: (1, 2, 4, 8)}  # of a sample; of the others 8 and 16
_MOST_PER_BYTE = 1032  # bytes that deflate can make of one: a match of 258 takes two bits


class PngImage(WholeImage):
    """A PNG file open for reading; `open_image` makes it.

    Alpha is dropped, and `notes` says so. A colour table is refused unless `indices` is given: then
    the values are the indices into it (labels are often stored so). Greys of 1, 2 and 4 bits are
    read as stored, 0 ... 15 at most. Raises DataError for damage and for 16-bit colour.
    """

    calibration = Calibration()

    def __init__(self, path: Path, indices: bool = False) -> None:
        self.path = path
        with open(path, "rb") as file:
            header = file.read(26)
        if len(header) < 26 or header[12:16] != b"IHDR" or header[25] not in _CHANNELS:
            raise DataError(f"'{path}' is a damaged PNG: its header is not valid. Save it again.")
        self.width, self.height, self._bits, kind = struct.unpack(">IIBB", header[16:26])
        if self._bits not in _BITS.get(kind, (8, 16)):
            raise DataError(f"'{path}' is a damaged PNG: its header is not valid. Save it again.")
        if kind == _PALETTE and not indices:
            raise DataError(
                f"'{path}' is a PNG with a colour table; expected grey or RGB pixels. Convert it."
            )
        if self._bits == 16 and kind != _GREY:
            raise DataError(
                f"'{path}' is a PNG with 16-bit colour or alpha; expected 8 bits per channel, or "
                "16-bit grey. Save it as TIFF."
            )
        if not (self.width and self.height):
            raise DataError(f"'{path}' is a PNG of {self.width} x {self.height}: it has no pixels.")
        if self.width * self.height > _MOST_PIXELS or max(self.width, self.height) > _LONGEST:
            raise DataError(
                f"'{path}' is a PNG of {self.width} x {self.height} pixels, too large to be "
                "held whole. Save it as TIFF with tiles: it is then read in pieces."
            )
        line = 1 + (self.width * self._bits * _SAMPLES[kind] + 7) // 8
        stored = data_bytes(path)
        if line * self.height > _MOST_PER_BYTE * stored:
            raise DataError(
                f"'{path}' is a damaged or truncated PNG: it claims {self.width} x {self.height} "
                f"pixels, more than its {stored:,} bytes of pixels can hold. Save it again."
            )
        self._kind = kind
        self.channels = _CHANNELS[kind]
        self.axes = "YX" if self.channels == 1 else "YXS"
        self.dtype = np.dtype(np.uint16 if self._bits == 16 else np.uint8)
        self.white = 2 ** min(8, self._bits) - 1
        notes = ["PNG: the whole image is held in memory"]
        if kind in (_GREY_ALPHA, _RGBA):
            notes.append(f"alpha channel dropped, {plural(self.channels, 'channel')} kept")
        if kind == _PALETTE:
            notes.append("colour table ignored: the indices are read")
        self.notes = tuple(notes)

    def _decode(self) -> np.ndarray:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                image = Image.open(picture_alone(self.path), formats=["PNG"])
            with image:
                values = self._pixels(image)
        except MemoryError as error:
            raise no_memory(self.path) from error
        except UnidentifiedImageError as error:
            raise DataError(f"'{self.path}' is a damaged PNG. Save it again.") from error
        except (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error) as error:
            if machine_failed(error):
                raise of_system(error, f"cannot read '{self.path}'") from error
            raise DataError(f"'{self.path}' is a damaged or truncated PNG: {error}") from error
        if self._kind == _GREY and 1 < self._bits < 8:
            # Pillow has stretched them to 0 ... 255
            values //= 255 // (2**self._bits - 1)
        return values

    def colour_table(self) -> np.ndarray | None:
        if self._kind != _PALETTE:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(self.path, formats=["PNG"]) as image:
                    colours = image.palette.getdata()[1] if image.palette else b""
        except Exception:  # damage is told by whoever reads the pixels
            return None
        return np.frombuffer(colours[: len(colours) // 3 * 3], np.uint8).reshape(-1, 3)
