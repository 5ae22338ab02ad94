"""The size of a pixel, for measures in units of length beside those in pixels."""

import math
import re
from dataclasses import dataclass
from numbers import Real

from cunet.errors import CunetError
from cunet.files.calibration import Calibration
from cunet.files.pixel_size import SQUARE, is_size
from cunet.files.units import length

UM_PER_CM = 1e4


@dataclass(frozen=True)
class Scale:
    """The sides of a pixel in `unit`; without a unit the size is not known.

    `unit` has only letters and digits, so that it can be part of a column's name: um, nm ...
    """

    width: float = 1.0
    height: float = 1.0
    unit: str = ""

    @property
    def square(self) -> bool:
        """Whether both sides are equal, but for the rounding in files."""
        return math.isclose(self.width, self.height, rel_tol=SQUARE)


def scale_of(calibration: Calibration) -> Scale:
    """The pixel size that an image's metadata name.

    Plain TIFF knows the centimetre and the inch only: centimetres are given as um, and inches,
    which are those of a print (72 dpi), count as no size.
    """
    xres, yres, unit = calibration.xres, calibration.yres, calibration.unit
    if not (xres and yres and unit and is_size(calibration)):
        return Scale()
    factor = 1.0
    if unit == "cm" and not calibration.imagej:
        unit, factor = "um", UM_PER_CM
    return Scale(factor / xres, factor / yres, re.sub("[^0-9A-Za-z]+", "_", unit))


def scale_from(pixel_size: float | tuple[float, float] | None, unit: str) -> Scale:
    """The scale of a pixel of one side, or of (height, width), in a unit of length.

    CunetError for a size that is not a positive number, and for another unit.
    """
    if pixel_size is None:
        return Scale()
    height, width = pixel_size if isinstance(pixel_size, tuple | list) else (pixel_size,) * 2
    for side in (height, width):
        if not (isinstance(side, Real) and 0 < float(side) < math.inf):
            raise CunetError(
                f"pixel_size: expected a number above 0, or (height, width), found {pixel_size!r}"
            )
    known = length(unit)
    if known is None:
        raise CunetError(f"unit: expected one of length, such as um or nm, found {unit!r}")
    name, factor = known
    return Scale(factor * width, factor * height, name)
