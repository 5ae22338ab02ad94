"""The size of a pixel, as a person writes it (8nm, 0.65 um, 4 x 8 nm) and as files hold it.

Unlike a calibration it has both sides, and a unit of length: sizes can be compared.
"""

import re
from dataclasses import dataclass
from typing import Any

from cunet.errors import CunetError
from cunet.files.calibration import LARGEST, SMALLEST, Calibration, Found, checked
from cunet.files.units import METRES, length

SQUARE = 1e-4  # relative difference of the sides up to which a pixel counts as square
ALIKE = 4 / 3  # how many times as large pixels may be that a network takes for its own
LONGEST = 60  # characters of a text that may be a size
_OWN_UNITS = (("mm", 1e-3), ("um", 1e-7), ("nm", 0.0))  # each with the length it begins at
_NUMBER = r"(\d+(?:\.\d*)?(?:[eE][+-]?\d+)?|\.\d+)"
_SIZE = re.compile(rf"\s*{_NUMBER}(?:\s*[x×*]\s*{_NUMBER})?\s*(\S(?:.*\S)?)?\s*")


@dataclass(frozen=True)
class PixelSize:
    """The height and width of a pixel in `unit`, one of nm, um, mm, cm, m and inch."""

    height: float
    width: float
    unit: str

    @classmethod
    def parse(cls, value: Any, name: str = "pixel_size") -> "PixelSize":
        """From a text such as 8nm, 0.65 um or, height x width, 4x8nm. CunetError, which calls the
        value `name`, for a number without a unit and for all else that is no size."""
        is_short = isinstance(value, str) and len(value) <= LONGEST
        found = _SIZE.fullmatch(value) if is_short else None
        expected = f"{name}: expected a number and its unit, such as 8nm or 0.65um"
        if found is None:
            raise CunetError(f"{expected}; found {value!r:.40}")
        if found[3] is None:
            raise CunetError(f"{expected}; found {value!r:.40}, without a unit: {value.strip()}nm?")
        known = length(found[3])
        if known is None:
            raise CunetError(f"{expected}; found the unit {found[3]!r:.20} in {value!r:.40}")
        unit, factor = known
        sides = [float(text) * factor for text in (found[1], found[2] or found[1])]
        metres = [float(f"{side * METRES[unit]:.6g}") for side in sides]  # as files have it
        if not all(SMALLEST <= side <= LARGEST for side in metres):
            raise CunetError(f"{name}: no pixel measures {value!r:.40}; such as 8nm or 0.65um")
        return cls(sides[0], sides[1], unit)

    @classmethod
    def of(cls, calibration: Calibration) -> "PixelSize | None":
        """That of an image; None where its metadata name none, in no unit of length, or that of a
        print."""
        xres, yres, unit = calibration.xres, calibration.yres, calibration.unit
        if not (xres and yres and is_size(calibration) and unit in METRES):
            return None
        height, width = METRES[unit] / yres, METRES[unit] / xres
        if unit not in dict(_OWN_UNITS):  # cm of plain TIFF, which knows no smaller unit
            unit = next(name for name, least in _OWN_UNITS if min(height, width) >= least)
        return cls(height / METRES[unit], width / METRES[unit], unit)

    def put_into(self, calibration: Calibration) -> tuple[Calibration, list[str]]:
        """The calibration with this size in place of its own, in units that every file can hold,
        and notes on what else of it had to be left out."""
        unit, factor = ("um", 25400.0) if self.unit == "inch" else (self.unit, 1.0)  # no print's
        sides = self.width * factor, self.height * factor
        x, y = ((1 / side, unit) for side in sides)
        z, t = calibration.spacing, calibration.interval
        notes: list[str] = []
        found = Found(x, y, z and (z, calibration.unit), t and (t, "s"))  # type: ignore[arg-type]
        return checked(found, calibration.imagej, notes), notes

    @property
    def metres(self) -> tuple[float, float]:
        """Height and width."""
        return self.height * METRES[self.unit], self.width * METRES[self.unit]

    def times(self, other: "PixelSize") -> tuple[float, float]:
        """How many times as high and as wide these pixels are."""
        own, others = self.metres, other.metres
        return own[0] / others[0], own[1] / others[1]

    def is_like(self, other: "PixelSize", most: float = ALIKE) -> bool:
        """Whether neither side is more than `most` times that of the other."""
        most *= 1 + 1e-9  # sides are rounded
        return all(1 / most <= ratio <= most for ratio in self.times(other))

    def __str__(self) -> str:
        """As it is written: 4 nm, or 4 x 8 nm, height x width."""
        height, width = f"{self.height:.6g}", f"{self.width:.6g}"
        square = abs(self.height - self.width) <= SQUARE * self.width
        return f"{height} {self.unit}" if square else f"{height} x {width} {self.unit}"


def size_text(name: str, value: Any) -> str:
    """A check of arguments: a text that is a size, unchanged."""
    PixelSize.parse(value, name)
    return value


def is_size(calibration: Calibration) -> bool:
    """Whether its resolution is that of an image: plain TIFF in inches has that of a print."""
    return calibration.unit != "inch" or calibration.imagej
