"""The pixel size of an image: read from ImageJ, OME or plain TIFF metadata, written to TIFF.

Sizes are decoration. One that cannot be read, or that no pixel has, is left out with a note, and
what is read can be written.
"""

import math
from dataclasses import dataclass
from typing import Any

import tifffile

from cunet.files import ome
from cunet.files.units import METRES, NO_UNITS, length, seconds

_TAG_UNITS = {2: "inch", 3: "cm"}
_PER_CM = {"nm": 1e7, "um": 1e4, "mm": 10.0, "cm": 1.0, "m": 0.01}
# Metres that a pixel may measure. Smaller ones overflow the tags of plain TIFF, which has the
# centimetre only, and an atom measures 1e-10.
SMALLEST, LARGEST = 3e-12, 1e4
_MOST_PER_UNIT = 4e9  # of pixels; the tags are ratios of 32-bit numbers


@dataclass(frozen=True)
class Calibration:
    """Pixels per unit in x and y, the unit ('' is unknown) and the distance of the slices in it.

    `imagej` says that the file had ImageJ's metadata, `interval` is the time between two frames in
    seconds. What is not known is None.
    """

    xres: float | None = None
    yres: float | None = None
    unit: str = ""
    spacing: float | None = None
    imagej: bool = False
    interval: float | None = None


@dataclass
class Found:
    """What metadata say, each with its unit.

    x, y are pixels per unit, z the distance of the slices, t the time between frames.
    """

    x: tuple[Any, str] | None = None
    y: tuple[Any, str] | None = None
    z: tuple[Any, str] | None = None
    t: tuple[Any, str] | None = None


def read_calibration(
    tif: tifffile.TiffFile, key: tifffile.TiffPage, kind: str
) -> tuple[Calibration, list[str]]:
    """The calibration of an open TIFF, and notes on what of it was left out.

    OME's sizes, else the tags in ImageJ's unit if any. `kind` is that of the series.
    """
    notes: list[str] = []
    try:
        imagej = kind == "imagej"
        found = Found()
        if kind == "ome":
            found = Found(**ome.sizes(tif.ome_metadata or ""))
            if found.x is not None:
                found.y = found.y or found.x
                found.x, found.y = ((_inverse(v), unit) for v, unit in (found.x, found.y))
        if kind == "lsm":
            found = _of_lsm(tif.lsm_metadata or {})
        if found.x is None:
            found = _from_tags(tif, key, kind, notes, found)
        return checked(found, imagej, notes), notes
    except MemoryError:
        raise
    except Exception as error:  # whatever stands there, the pixels can be read
        return Calibration(), [f"pixel size left out: its metadata cannot be read ({error})"]


def _of_lsm(sizes: dict[str, Any]) -> Found:
    """The sizes of Zeiss's LSM: metres a voxel, and seconds between frames; 0 where not known."""
    x, y, z = (sizes.get(f"VoxelSize{axis}") or None for axis in "XYZ")
    interval = sizes.get("TimeIntervall") or None  # spelt so
    return Found(
        x and (1e-6 / x, "um"), y and (1e-6 / y, "um"), z and (z * 1e6, "um"),
        interval and (interval, "s"),
    )  # fmt: skip


def _from_tags(
    tif: tifffile.TiffFile, key: tifffile.TiffPage, kind: str, notes: list[str], found: Found
) -> Found:
    """The sizes in the tags, and beside them those of ImageJ or tifffile."""
    texts: dict[str, Any] = {}
    if tif.is_imagej:
        texts = tif.imagej_metadata or {}
    elif kind == "shaped":
        texts = (tif.shaped_metadata or ({},))[0]
    tags = key.tags
    unit = _TAG_UNITS.get(int(tags.valueof("ResolutionUnit", default=1) or 1), "")
    zunit = str(texts.get("unit", unit))
    if tif.is_imagej:  # its unit belongs to the resolution tags
        unit = zunit
    x, y = (_ratio(tags.valueof(f"{axis}Resolution"), axis, notes) for axis in "XY")
    if (
        unit.strip().casefold() in NO_UNITS and x == y == 1
    ):  # what programs write that do not know the size
        x = y = None
    if x is not None and y is not None:
        found.x, found.y = (x, unit), (y, str(texts.get("yunit", unit)))
    if texts.get("spacing") is not None:
        found.z = texts["spacing"], str(texts.get("zunit", zunit))
    if texts.get("finterval"):
        found.t = texts["finterval"], str(texts.get("tunit", "s"))
    return found


def _ratio(ratio: Any, axis: str, notes: list[str]) -> float | None:
    """Pixels per unit from a TIFF rational (numerator, denominator)."""
    if ratio is None:
        return None
    try:
        if ratio[0] > 0 and ratio[1] > 0:
            return ratio[0] / ratio[1]
        if ratio[0] == 0:  # what programs write that do not know it
            return None
    except (TypeError, IndexError):
        pass
    notes.append(f"pixel size left out: the tag {axis}Resolution is {str(ratio)[:40]}")
    return None


def _inverse(size: Any) -> Any:
    """1 / size; what is no size stays as it is, for the note."""
    number = _number(size)
    return 1 / number if number is not None and number > 0 else size


def checked(found: Found, imagej: bool, notes: list[str]) -> Calibration:
    """The calibration in one unit that can be written; a note for every size left out."""
    x, y, spacing, interval = None, None, None, None
    if found.x is not None and found.y is not None:
        x = _metric(found.x, "pixel size", notes, inverse=True)
        y = x and _metric(found.y, "pixel size", notes, inverse=True)
    if x and y and x[1] != y[1]:
        y = _converted(y, x[1], inverse=True)
        if y is None or not _writable(y[0]):
            y = None
            notes.append(f"pixel size left out: in x {_said(found.x)}, in y {_said(found.y)}")
    if x is None or y is None:
        x = y = None
    z = _metric(found.z, "distance of the slices", notes) if found.z is not None else None
    unit = x[1] if x else z[1] if z else ""
    if z is not None:
        same = z if z[1] == unit else _converted(z, unit)
        if same is None:
            notes.append(f"distance of the slices left out: {_said(found.z)}, not in {unit!r}")
        spacing = same and same[0]
    if found.t is not None:
        value, per = _number(found.t[0]), seconds(found.t[1] or "s")
        if per is not None and value is not None and 0 < value * per < 1e12:
            interval = value * per
        else:
            notes.append(f"interval of the frames left out: found {_said(found.t)}")
    return Calibration(x and x[0], y and y[0], unit, spacing, imagej, interval)


def _metric(
    found: tuple[Any, str], what: str, notes: list[str], inverse: bool = False
) -> tuple[float, str] | None:
    """The value in a unit that we write; None, with a note, for what no pixel has.

    `inverse`: the value is in pixels per unit.
    """
    value, known, unit = _number(found[0]), length(found[1]), found[1].strip()
    if value is not None and value > 0 and known is not None:
        unit, factor = known
        if factor != 1:
            value = value / factor if inverse else value * factor
        metres = METRES[unit] / value if inverse else METRES[unit] * value
        if SMALLEST <= metres <= LARGEST:
            if inverse and not _writable(value):
                unit = "nm" if value > 1 else "m"
                value = METRES[unit] / metres
            return value, unit
    elif value is not None and _writable(value) and known is None:
        if unit.casefold() in NO_UNITS:
            if not unit or not inverse:
                return value, ""
        elif unit.isascii() and unit.isprintable() and len(unit) < 40:
            return value, unit
    notes.append(f"{what} left out: found {_said(found)}")
    return None


def _writable(value: float) -> bool:
    """Whether a ratio of two 32-bit numbers can be this one."""
    return 1 / _MOST_PER_UNIT < value < _MOST_PER_UNIT


def _converted(
    found: tuple[float, str], unit: str, inverse: bool = False
) -> tuple[float, str] | None:
    """The value in another unit; None where one of the two is no length."""
    if found[1] not in METRES or unit not in METRES:
        return None
    factor = METRES[found[1]] / METRES[unit]
    return (found[0] / factor if inverse else found[0] * factor), unit


def _number(value: Any) -> float | None:
    """A finite number; None for anything else, such as '0,5' or NaN."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _said(found: tuple[Any, str] | None) -> str:
    """What the metadata say, for a note."""
    value, unit = found or ("", "")
    return repr(f"{str(value)[:20]} {str(unit)[:20]}")  # no control characters


def write_options(calibration: Calibration | None, imagej: bool) -> tuple[dict, dict]:
    """(keywords, metadata) with which tifffile's writer stores the calibration.

    ImageJ has any unit in its own metadata. Plain TIFF knows inch and centimetre only: metric units
    become centimetres there, and the distance of the slices is converted with them.
    """
    if calibration is None:
        return {}, {}
    xres, yres, unit, factor = calibration.xres, calibration.yres, calibration.unit, 1.0
    tag_unit = "NONE"
    if not imagej and unit == "inch":
        tag_unit = "INCH"
    elif not imagej and unit in _PER_CM:
        factor, unit, tag_unit = _PER_CM[unit], "cm", "CENTIMETER"
    keywords: dict[str, Any] = {}
    if xres and yres:
        keywords = {"resolution": (xres * factor, yres * factor), "resolutionunit": tag_unit}
    metadata: dict[str, Any] = {"unit": unit} if unit else {}
    if calibration.spacing:
        metadata["spacing"] = calibration.spacing / factor
    if calibration.interval:
        metadata["finterval"] = calibration.interval
    return keywords, metadata
