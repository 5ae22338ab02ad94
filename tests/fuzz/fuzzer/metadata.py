"""What ImageJ, OME and plain TIFFs say of pixel sizes and axes: right, hostile, or of another file.

Each function writes the pixels with such words and answers the sizes that are right, and a story.
"""

import math
from pathlib import Path
from xml.sax.saxutils import quoteattr

import numpy as np
import tifffile

from fuzzer import pictures, tiff

UM = {
    "nm": 1e-3, "um": 1.0, "\u00b5m": 1.0, "\u03bcm": 1.0, "micron": 1.0, "microns": 1.0,
    "micrometer": 1.0, "\\u00B5m": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6, "inch": 25400.0,
    "in": 25400.0, "\u00c5": 1e-4, "pm": 1e-6, "dm": 1e5, "km": 1e9, "ft": 304800.0,
}  # fmt: skip
IMAGEJ_UNITS = (
    "nm",
    "um",
    "\u00b5m",
    "\u03bcm",
    "micron",
    "microns",
    "\\u00B5m",
    "mm",
    "cm",
    "inch",
)
OME_UNITS = ("nm", "\u00b5m", "mm", "cm", "m", "in", "\u00c5", "pm", "dm", "km", "ft")
HOSTILE = (
    "",
    " ",
    "0",
    "-1",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "1e-12",
    "1e400",
    "1,5",
    "0,1",
    "1.2.3",
    "abc",
    "\u043c\u043a\u043c",
    "\u00c5",
    "pixel",
    "pixels",
    "um um",
    "\x1b[31m",
    "\x07",
    "\u202e",
    "x" * 3000,
    "0x10",
    "\u00b5m" * 2,
    "1e300",
    "1e-300",
    "None",
    "null",
    "[1]",
    "5 um",
    "reference frame",
    "\ufffd",
)
SIDES = pictures.HEIGHT, pictures.WIDTH


def rational(value: float) -> tuple[int, int]:
    """A TIFF's two 32-bit numbers for a value, as exact as they can be."""
    denominator = int(min(10**9, max(1, 2**31 // max(1, math.ceil(value)))))
    return min(2**32 - 1, round(value * denominator)), denominator


def odd_rational(rng: np.random.Generator) -> tuple[int, int]:
    ends = (0, 1, 2, 72, 10**6, 2**31, 2**32 - 1)
    return ends[rng.integers(7)], ends[rng.integers(7)]


def draw(rng: np.random.Generator) -> float:
    """A pixel size of microscopy in micrometres, 1 nm to 1 mm."""
    return float(f"{10 ** rng.uniform(-3, 3):.4g}")


Sizes = dict[str, float]  # axis -> micrometres; only what is known to be right
Ratios = tuple[tuple[int, int], tuple[int, int]]


def imagej(rng, path: Path, pixels: np.ndarray, axes: str, manner: str) -> tuple[Sizes, str]:
    """ImageJ's description: its unit belongs to the resolution tags."""
    unit = IMAGEJ_UNITS[rng.integers(len(IMAGEJ_UNITS))]
    x, y, z = (draw(rng) for _ in range(3))
    numbers = dict(zip(axes, pixels.shape, strict=True))
    pages = math.prod(pixels.shape[:-2])
    lines = {"ImageJ": "1.54f", "images": str(pages)}
    lines |= {"slices": str(numbers["Z"])} if "Z" in numbers else {}
    lines |= {"frames": str(numbers["T"])} if "T" in numbers else {}
    lines |= {"hyperstack": "true"} if len(numbers) > 3 else {}
    lines |= {"unit": unit, "spacing": f"{z / UM[unit]:.9g}", "finterval": "0.5", "loop": "false"}
    resolution = rational(UM[unit] / x), rational(UM[unit] / y)
    sizes: Sizes = {"X": x, "Y": y} | ({"Z": z} if "Z" in numbers else {})
    if manner == "hostile":
        sizes = {}
        names = ("unit", "spacing", "finterval", "min", "max", "xorigin", "zunit", "yunit", "info")
        for name in rng.choice(names, int(rng.integers(1, 4)), replace=False):
            lines[name] = HOSTILE[rng.integers(len(HOSTILE))]
        if rng.random() < 0.4:
            resolution = odd_rational(rng), odd_rational(rng)
    elif manner == "structure":
        sizes = {}
        name = ("images", "slices", "frames", "channels", "ImageJ", "hyperstack")[rng.integers(6)]
        odd = ("0", "1", "2", "3", "6", "100", "1000000000000", *HOSTILE)
        lines[name] = odd[rng.integers(len(odd))]
    text = "".join(f"{name}={value}\n" for name, value in lines.items())
    _write(path, pixels, text, resolution, 1)
    return sizes, f"{resolution} {text[:300]!r}"


def ome(rng, path: Path, pixels: np.ndarray, axes: str, manner: str) -> tuple[Sizes, str]:
    """OME's XML: a size and a unit for every axis."""
    numbers = {"X": SIDES[1], "Y": SIDES[0], "Z": 1, "C": 1, "T": 1}
    numbers |= dict(zip(axes, pixels.shape, strict=True))
    values = {"ID": "Pixels:0", "DimensionOrder": "XYZCT", "Type": "uint8", "BigEndian": "false"}
    values |= {f"Size{axis}": str(n) for axis, n in numbers.items()}
    sizes: Sizes = {}
    for axis in "XYZ":
        unit = OME_UNITS[rng.integers(len(OME_UNITS))]
        size = draw(rng)
        values[f"PhysicalSize{axis}"] = f"{size / UM[unit]:.9g}"
        values[f"PhysicalSize{axis}Unit"] = unit
        if axis != "Z" or "Z" in axes:
            sizes[axis] = size
    if manner == "hostile":
        sizes = {}
        names = [n for n in values if n.startswith("Physical")] + [
            "TimeIncrement",
            "TimeIncrementUnit",
        ]
        for name in rng.choice(names, int(rng.integers(1, 4)), replace=False):
            values[name] = HOSTILE[rng.integers(len(HOSTILE))]
        if rng.random() < 0.3:
            del values[f"PhysicalSize{'XYZ'[rng.integers(3)]}"]
    elif manner == "structure":
        sizes = {}
        names = [n for n in values if not n.startswith("Physical")]
        name = names[rng.integers(len(names))]
        odd = (
            "0",
            "1",
            "2",
            "6",
            "1000000000",
            "XYCZT",
            "XYTZC",
            "YXZCT",
            "uint16",
            "complex",
            *HOSTILE,
        )
        values[name] = odd[rng.integers(len(odd))]
    text = "".join(f" {n}={quoteattr(_xml(v))}" for n, v in values.items())
    xml = (
        '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/'
        'OME/2016-06"><Image ID="Image:0" Name="image"><Pixels'
        + text
        + '><Channel ID="Channel:0:0" '
        'SamplesPerPixel="1"/><TiffData/></Pixels></Image></OME>'
    )
    if manner == "structure" and rng.random() < 0.4:
        xml, name = _other_xml(rng, xml)
    _write(path, pixels, xml, (rational(72), rational(72)), 2)
    return sizes, f"{text[:400]!r}"


def _other_xml(rng: np.random.Generator, xml: str) -> tuple[str, str]:
    uuid = '<TiffData IFD="0"><UUID FileName="other.ome.tif">urn:uuid:1</UUID></TiffData>'
    changes = {
        "cut": xml[: int(rng.integers(len(xml)))],
        "companion": xml.replace("<TiffData/>", uuid),
        "another page": xml.replace("<TiffData/>", '<TiffData IFD="7" PlaneCount="1"/>'),
        "one plane": xml.replace("<TiffData/>", '<TiffData IFD="0" PlaneCount="1"/>'),
        "no pixels": xml.replace("Pixels", "Fixels"),
        "two images": xml.replace("</OME>", xml[xml.index("<Image") :]),
        "entities": xml.replace(
            "<OME", '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;">]><OME', 1
        ),
        "binary only": '<OME xmlns="x"><BinaryOnly MetadataFile="a.companion.ome" UUID="u"/></OME>',
    }
    name = list(changes)[rng.integers(len(changes))]
    return changes[name], name


def tags(rng, path: Path, pixels: np.ndarray, axes: str, manner: str) -> tuple[Sizes, str]:
    """Plain TIFF: pixels per inch or centimetre."""
    x, y = draw(rng), draw(rng)
    unit = int(rng.choice([2, 3]))
    um = {2: 25400.0, 3: 10000.0}[unit]
    resolution, sizes = (rational(um / x), rational(um / y)), {"X": x, "Y": y}
    text = ""
    if manner != "right":
        resolution, unit, sizes = (odd_rational(rng), odd_rational(rng)), int(rng.integers(6)), {}
        text = HOSTILE[rng.integers(len(HOSTILE))]
    _write(path, pixels, text, resolution, unit)
    return sizes, f"{resolution}, unit {unit}, {text[:40]!r}"


def _write(path: Path, pixels: np.ndarray, text: str, resolution: Ratios, unit: int) -> None:
    """The file, with a resolution that the writer may not accept: it is put in afterwards."""
    tifffile.imwrite(
        path, pixels.reshape(-1, *SIDES), photometric="minisblack", metadata=None,
        description=text.encode("utf-8", "replace"), resolution=(1, 1), resolutionunit=1,
    )  # fmt: skip
    body = bytearray(path.read_bytes())
    layout = tiff.Layout(bytes(body))
    for entry in layout.entries:
        if entry.tag in (282, 283):
            for k, number in enumerate(resolution[entry.tag - 282]):
                layout.set(body, entry.data + 4 * k, "I", number)
        elif entry.tag == 296:
            layout.set(body, entry.data, "H", unit)
    path.write_bytes(body)


def _xml(text: str) -> str:
    """Without the characters that XML cannot hold."""
    return "".join(c for c in text if ord(c) >= 32 or c in "\t\n")
