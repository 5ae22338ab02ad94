"""How a mask becomes objects: the choices of `--instances` and the options beside it."""

from dataclasses import dataclass

from cunet.errors import CunetError, not_among

METHODS = ("components", "watershed", "kmeans")


@dataclass(frozen=True)
class Instances:
    """How a mask becomes objects; by default all of its 4-connected components are objects.

    method        components; watershed: clumps are cut at their necks; kmeans: K-means and the
                  elbow of its errors place the markers of a watershed (see clumps.py)
    connectivity  4: pixels that touch by a side belong together; 8: also those at a corner
    min_area      pixels; smaller objects are dropped (0 and 1 keep all)
    fill_holes    whether holes are filled: what one object encloses. The background is 4-connected
                  here, so a gap at a corner does not open a hole. An object in a hole becomes part
                  of the object around it
    border        pixels; objects that lie entirely within this many pixels of the image's border,
                  outside the field of interest, are dropped (0 keeps all)
    neck          watershed: from 0 to 1; a clump is cut where its width falls below this share of
                  that of the narrower of two parts (0 cuts nothing; None: 0.9)

    Raises CunetError for any other value.
    """

    method: str = "components"
    connectivity: int = 4
    min_area: int = 0
    fill_holes: bool = False
    border: int = 0
    neck: float | None = None

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise not_among("instances", self.method, METHODS)
        if self.connectivity not in (4, 8):
            raise CunetError(f"connectivity: expected 4 or 8, found {self.connectivity}")
        for name in ("min_area", "border"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise CunetError(f"{name}: expected a whole number from 0 up, found {value}")
        if self.neck is None:
            return
        if not 0 <= self.neck <= 1:  # NaN is among these
            raise CunetError(f"neck: expected a number from 0 to 1, found {self.neck}")
        if self.method != "watershed":
            raise CunetError(
                f"neck {self.neck:g}: the way to objects is {self.method}, and only the watershed "
                "cuts at necks; give instances watershed"
            )

    def check_size(self, height: int, width: int, name: str = "mask") -> None:
        """CunetError where the border leaves nothing of `name`, an image of this size."""
        if 2 * self.border >= min(height, width):
            raise CunetError(
                f"{name} has {height} x {width} pixels, of which a border of {self.border} leaves "
                f"nothing; give at most {(min(height, width) - 1) // 2}"
            )

    def text(self) -> str:
        """What differs from the defaults, in words: "" or "watershed, min area 20"."""
        parts = [
            self.method if self.method != "components" else "",
            f"neck {self.neck:g}" if self.neck is not None else "",
            f"connectivity {self.connectivity}" if self.connectivity != 4 else "",
            f"min area {self.min_area}" if self.min_area > 1 else "",
            "holes filled" if self.fill_holes else "",
            f"border {self.border}" if self.border else "",
        ]
        return ", ".join(filter(None, parts))
