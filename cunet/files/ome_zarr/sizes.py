"""The sizes of pixels: scale and units of OME-Zarr's axes as a calibration, and back."""

from cunet.files.calibration import Calibration, Found, checked

# Units as NGFF spells them
UNITS = {
    "nm": "nanometer",
    "um": "micrometer",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "inch": "inch",
}


def calibration_of(
    axes: str, scale: tuple[float, ...], units: tuple[str, ...]
) -> tuple[Calibration, list[str]]:
    """The calibration, and notes on what of it was left out or is not known."""
    sizes = {a: (s, u) for a, s, u in zip(axes, scale, units, strict=True)}
    notes: list[str] = []
    found = Found()
    if not any(sizes[a][1] for a in axes if a in "zyx"):
        if any(sizes[a][0] != 1 for a in axes if a in "zyx"):
            notes.append("its axes have no unit: the size of a pixel is a number without one")
        else:
            del sizes["y"], sizes["x"]
            sizes.pop("z", None)
            notes.append("the size of a pixel is not known: its axes have no unit and scale 1")
    if "x" in sizes:
        found.x, found.y = ((1 / sizes[a][0], sizes[a][1]) for a in "xy")
    found.z = sizes.get("z")
    if "t" in sizes and (sizes["t"][1] or sizes["t"][0] != 1):
        found.t = sizes["t"]
    return checked(found, False, notes), notes


def scale_of(calibration: Calibration, axes: str) -> tuple[tuple[float, ...], tuple[str, ...]]:
    """Scale and units of these axes, 1 and "" for what is not known."""
    unit = UNITS.get(calibration.unit, "")
    known = {
        "y": (calibration.yres and 1 / calibration.yres, unit),
        "x": (calibration.xres and 1 / calibration.xres, unit),
        "z": (calibration.spacing, unit),
        "t": (calibration.interval, "second"),
    }
    found = [known.get(axis, (None, "")) for axis in axes]
    return tuple(size or 1.0 for size, _ in found), tuple(
        unit if size else "" for size, unit in found
    )
