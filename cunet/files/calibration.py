"""The pixel size of an image: read from ImageJ, OME or plain TIFF metadata, written to TIFF."""

from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import tifffile

_PER_CM = {"nm": 1e7, "um": 1e4, "mm": 10.0, "cm": 1.0, "m": 0.01}
_TAG_UNITS = {2: "inch", 3: "cm"}


@dataclass(frozen=True)
class Calibration:
    """Pixels per unit in x and y, the unit ('' is unknown) and the distance of the slices in it.

    `imagej` says that the file had ImageJ's metadata. What is not known is None.
    """

    xres: float | None = None
    yres: float | None = None
    unit: str = ""
    spacing: float | None = None
    imagej: bool = False


def read_calibration(tif: tifffile.TiffFile, series: tifffile.TiffPageSeries) -> Calibration:
    """The calibration of an open TIFF: OME's sizes, else the tags in ImageJ's unit if any."""
    if series.kind == "ome":
        found = _from_ome(tif.ome_metadata or "")
        if found is not None:
            return found
    notes: dict[str, Any] = {}
    if series.kind == "imagej":
        notes = tif.imagej_metadata or {}
    elif series.kind == "shaped":
        notes = (tif.shaped_metadata or ({},))[0]
    tags = series.keyframe.tags
    xres, yres = _ratio(tags.valueof("XResolution")), _ratio(tags.valueof("YResolution"))
    unit = _TAG_UNITS.get(int(tags.valueof("ResolutionUnit", default=1) or 1), "")
    if series.kind == "imagej":  # its unit belongs to the resolution tags
        unit = _plain_unit(str(notes.get("unit", unit)))
    if not unit and xres == yres == 1:  # what programs write that do not know the size
        xres = yres = None
    spacing = notes.get("spacing")
    return Calibration(
        xres, yres, unit, float(spacing) if spacing else None, series.kind == "imagej"
    )


def write_options(calibration: Calibration | None, imagej: bool) -> tuple[dict, dict]:
    """(keywords, metadata) with which tifffile's writer stores the calibration.

    ImageJ has any unit in its own metadata. Plain TIFF knows inch and centimetre only: metric units
    become centimetres there, and the distance of the slices is converted with them.
    """
    if calibration is None:
        return {}, {}
    xres, yres, unit, factor = calibration.xres, calibration.yres, calibration.unit, 1.0
    tag_unit = "NONE"
    if not imagej and unit in _PER_CM:
        factor, unit, tag_unit = _PER_CM[unit], "cm", "CENTIMETER"
    elif not imagej and unit == "inch":
        tag_unit = "INCH"
    keywords: dict[str, Any] = {}
    if xres and yres:
        keywords = {"resolution": (xres * factor, yres * factor), "resolutionunit": tag_unit}
    metadata: dict[str, Any] = {"unit": unit} if unit else {}
    if calibration.spacing:
        metadata["spacing"] = calibration.spacing / factor
    return keywords, metadata


def _from_ome(xml: str) -> Calibration | None:
    try:
        root = ElementTree.fromstring(xml)
    except ElementTree.ParseError:
        return None
    pixels = next((e for e in root.iter() if e.tag.rpartition("}")[2] == "Pixels"), None)
    if pixels is None or "PhysicalSizeX" not in pixels.attrib:
        return None
    x = float(pixels.attrib["PhysicalSizeX"])
    y = float(pixels.attrib.get("PhysicalSizeY", x))
    z = float(pixels.attrib.get("PhysicalSizeZ", 0))
    unit = _plain_unit(pixels.attrib.get("PhysicalSizeXUnit", "um"))  # OME's default
    if _plain_unit(pixels.attrib.get("PhysicalSizeZUnit", "um")) != unit:
        z = 0.0  # in another unit: better none than a wrong one
    if x <= 0 or y <= 0:
        return None
    return Calibration(1 / x, 1 / y, unit, z or None)


def _plain_unit(unit: str) -> str:
    """The unit in one spelling: ImageJ alone has three for the micrometre."""
    micro = {"\u00b5m", "\u03bcm", "\\u00B5m", "micron", "microns", "micrometer"}
    if unit in micro:
        return "um"
    return "" if unit in ("pixel", "pixels") else unit


def _ratio(value: Any) -> float | None:
    """A TIFF rational (numerator, denominator); None where it is missing, zero or damaged."""
    try:
        return value[0] / value[1] or None
    except (TypeError, ZeroDivisionError, IndexError):
        return None
