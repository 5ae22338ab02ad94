"""Images in and out: TIFF, PNG and OME-Zarr, and in alone JPEG and BMP.

Arrays are (pages,) H, W, C in the dtype of the file.
"""

import os
import stat
from pathlib import Path

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from cunet.errors import CunetError, DataError, of_system
from cunet.files.atomic import Part
from cunet.files.calibration import Calibration
from cunet.files.descriptions import KEYWORD, read_description, stored_text, writable
from cunet.files.grey import as_colour, as_grey
from cunet.files.image_file import ImageFile
from cunet.files.ome_zarr import OmeZarrImage, is_node
from cunet.files.picture_input import MAGIC, PictureImage
from cunet.files.png_chunks import PNG
from cunet.files.png_input import PngImage
from cunet.files.tiff_input import TiffImage
from cunet.files.tiff_output import TiffOutput

__all__ = [
    "Calibration",
    "ImageFile",
    "TiffOutput",
    "as_colour",
    "as_grey",
    "open_image",
    "read_description",
    "stored_text",
    "write_png",
]

FORMATS = "TIFF, PNG, JPEG or BMP"
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OTHERS = {b"GIF8": "GIF", b"RIFF": "WebP", b"\x89HDF": "HDF5", b"PK": "ZIP"}


def open_image(path: str | Path, indices: bool = False) -> ImageFile:
    """Opens a TIFF, PNG, JPEG or BMP file, or the folder of an OME-Zarr image.

    The content of a file decides which it is, not its name.

    With `indices` the values of a PNG or BMP with a colour table are its indices, as label files
    need.
    Raises CunetError if the file is missing or may not be read, DataError if it is no valid image.
    """
    path = Path(path)
    if is_node(path):
        return OmeZarrImage(path)
    try:
        if not stat.S_ISREG(os.stat(path).st_mode) and not path.is_dir():
            raise CunetError(f"'{path}' is no file but a pipe or device. Save the image first.")
        with open(path, "rb") as file:
            start = file.read(8)
    except FileNotFoundError:
        raise CunetError(f"no file '{path}'. Check the name and the folder.") from None
    except OSError as error:
        raise of_system(error, f"cannot read '{path}'") from error
    if not start:
        raise DataError(f"'{path}' is empty (0 bytes); expected an image. Copy it again.")
    if start.startswith(_TIFF):
        return TiffImage(path)
    if start == PNG:
        return PngImage(path, indices)
    picture = next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), None)
    if picture:
        return PictureImage(path, picture, indices)
    found = next((name for magic, name in _OTHERS.items() if start.startswith(magic)), None)
    if found:
        raise DataError(f"'{path}' is a {found} file; expected {FORMATS}. Save it as TIFF.")
    raise DataError(f"'{path}' is no image that cunet reads: expected {FORMATS}. Save it as TIFF.")


def write_png(path: str | Path, array: np.ndarray, description: str = "") -> None:
    """Writes uint8 (H, W) or (H, W, 3), or uint16 (H, W), as PNG; whole or not at all.

    Raises DeviceError if the disk has no room, CunetError if the file cannot be written.
    """
    path, array = Path(path), np.asarray(array)
    colour = array.ndim == 3 and array.shape[2] == 3
    if not array.size or (
        not (array.dtype == np.uint8 and (array.ndim == 2 or colour))
        and not (array.dtype == np.uint16 and array.ndim == 2)
    ):
        raise ValueError(
            f"'{path}': a PNG is uint8 (H, W) or (H, W, 3), or uint16 (H, W); "
            f"got {array.dtype} {array.shape}"
        )
    notes = PngInfo()
    if description:
        notes.add_itxt(KEYWORD, writable(description))
    with Part(path, array.nbytes) as part:
        Image.fromarray(np.ascontiguousarray(array)).save(part.file, format="PNG", pnginfo=notes)
