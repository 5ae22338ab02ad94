"""What the OME-XML of a TIFF says, looked at before tifffile builds lists as long as it claims."""

from typing import Any
from xml.etree import ElementTree

from cunet.errors import DataError
from cunet.terminal import plural

_MOST_STEPS = 10**6  # along an axis that annotations describe
_MOST_LARGER = 64  # times the pixels of the first page: of several images one may be a thumbnail


class Doubtful(Exception):
    """The XML does not describe the pages of its file; the text says why."""


def check(xml: str, pages: int, pixels: int, path: Any) -> None:
    """Compares the XML with the `pages` that the file has, the first one of so many `pixels`.

    Raises Doubtful where it says other things, and DataError where pages then cannot be told from
    channels, or where the file is one of a set.
    """
    try:
        root = ElementTree.fromstring(xml)
    except (ElementTree.ParseError, ValueError) as error:
        raise Doubtful(f"its OME-XML cannot be read ({error})") from error
    for element in root.iter():
        if _name(element) == "BinaryOnly":
            file = element.get("MetadataFile", "")
            raise Doubtful(f"its OME-XML lies in another file, {file!r}")
        if _name(element).startswith("ModuloAlong") and "Start" in element.attrib:
            steps = _steps(element)
            if not 0 <= steps <= _MOST_STEPS:
                raise Doubtful(f"its OME-XML claims {steps:g} steps along an axis")
    own = root.get("UUID")
    others = {e.text for e in root.iter() if _name(e) == "UUID" and e.text} - {own}
    if len(others) > 1 or (others and own is not None):
        names = sorted({e.get("FileName", "") for e in root.iter() if _name(e) == "UUID"})
        raise DataError(
            f"'{path}': some of its pages lie in another file of a set: {str(names[:3])[1:-1]}. "
            "Save all pages in one TIFF."
        )
    for image in (e for e in root.iter() if _name(e) == "Pixels"):
        _check_pixels(image, pages, pixels, path)


def _check_pixels(image: ElementTree.Element, pages: int, pixels: int, path: Any) -> None:
    """Compares one image of the XML with the pages of the file."""
    try:
        x, y, z, c, t = (int(image.attrib[f"Size{axis}"]) for axis in "XYZCT")
        samples = [int(e.get("SamplesPerPixel", 1)) for e in image if _name(e) == "Channel"]
        data = [e.attrib for e in image if _name(e) == "TiffData"]
        counts = [int(d.get("PlaneCount", d.get("NumPlanes", int("IFD" in d)))) for d in data]
        last = max([int(d.get("IFD", 0)) + n for d, n in zip(data, counts, strict=True)], default=0)
    except (KeyError, ValueError) as error:
        raise Doubtful(f"its OME-XML is not complete ({error})") from error
    if min(z, c, t) < 1:
        raise Doubtful(f"its OME-XML announces {z} slices, {c} channels, {t} frames")
    if not 0 < x * y <= _MOST_LARGER * pixels:
        raise Doubtful(f"its OME-XML announces images of {x} x {y} pixels")
    planes = z * (c // max(samples[:1] + [1])) * t
    mapped = sum(n or pages for n in counts)
    if planes <= pages and last <= pages and mapped <= 2 * pages + 16:
        return
    most = max(planes, last, mapped)
    claim = f"its OME-XML announces {plural(most, 'page')}, the file has {pages:,}"
    if c > max(samples[:1] + [1]):
        raise DataError(
            f"'{path}': {claim}; with {c} channels among them it is not known which page is which. "
            "The metadata are wrong, not the pixels: save it again, or without them."
        )
    raise Doubtful(claim)


def sizes(xml: str) -> dict[str, tuple[Any, str]]:
    """The sizes in the first image of the XML, with their units: see calibration.Found.

    Empty where it has none.
    """
    pixels = next((e for e in ElementTree.fromstring(xml).iter() if _name(e) == "Pixels"), None)
    if pixels is None:
        return {}
    found = {}
    for axis in "xyz":
        name = f"PhysicalSize{axis.upper()}"
        if name in pixels.attrib:
            found[axis] = pixels.attrib[name], pixels.get(f"{name}Unit", "um")  # OME's default
    if "TimeIncrement" in pixels.attrib:
        found["t"] = pixels.attrib["TimeIncrement"], pixels.get("TimeIncrementUnit", "s")
    return found


def _steps(along: ElementTree.Element) -> float:
    """How many values tifffile makes of such an axis; NaN and less than 0 where it cannot."""
    try:
        start, end = (float(along.get(name, "nan")) for name in ("Start", "End"))
        return (end - start) / float(along.get("Step", 1)) + 1
    except (ValueError, ZeroDivisionError):
        return float("nan")


def _name(element: ElementTree.Element) -> str:
    """The name of an element without its name space."""
    return str(element.tag).rpartition("}")[2]
