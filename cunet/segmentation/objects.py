"""From a mask to objects: connected components, split where they are clumps, and sifted.

H W: height and width of the mask. Objects are numbered 1, 2 ... in the reading order of their first
pixel; 0 is no object.
"""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from cunet.errors import CunetError
from cunet.segmentation.clumps import split_at_necks, split_by_kmeans

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

    Raises CunetError for any other value.
    """

    method: str = "components"
    connectivity: int = 4
    min_area: int = 0
    fill_holes: bool = False
    border: int = 0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise CunetError(f"instances: expected one of {METHODS}, found '{self.method}'")
        if self.connectivity not in (4, 8):
            raise CunetError(f"connectivity: expected 4 or 8, found {self.connectivity}")
        for name in ("min_area", "border"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise CunetError(f"{name}: expected a whole number from 0 up, found {value}")

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
            f"connectivity {self.connectivity}" if self.connectivity != 4 else "",
            f"min area {self.min_area}" if self.min_area > 1 else "",
            "holes filled" if self.fill_holes else "",
            f"border {self.border}" if self.border else "",
        ]
        return ", ".join(filter(None, parts))


def find(mask: np.ndarray, how: Instances = Instances()) -> np.ndarray:
    """The objects of mask (H, W) bool as numbers (H, W) int32.

    In this order holes are filled, components numbered and clumps split; then small objects and
    those outside the field of interest are dropped. Raises CunetError where the border leaves
    nothing of the image.
    """
    if mask.ndim != 2 or mask.dtype != bool:
        raise ValueError(f"find: expected a mask (H, W) bool, found {mask.shape} {mask.dtype}")
    if how.border:
        how.check_size(*mask.shape)
    structure = ndimage.generate_binary_structure(2, 1 if how.connectivity == 4 else 2)
    numbered = _components(mask, structure)
    if how.fill_holes:
        numbered = _components(_filled(numbered), structure)
    if how.method == "watershed":
        numbered = _in_reading_order(split_at_necks(numbered, structure))
    elif how.method == "kmeans":
        numbered = _in_reading_order(split_by_kmeans(numbered, structure))
    return _sifted(numbered, how.min_area, how.border)


def _components(mask: np.ndarray, structure: np.ndarray) -> np.ndarray:
    """The components, numbered by their first pixel, as ndimage does."""
    return ndimage.label(mask, structure)[0].astype(np.int32, copy=False)


def _filled(numbered: np.ndarray) -> np.ndarray:
    """The objects and what each of them encloses, (H, W) bool; not what several enclose together.

    Filled objects touch where they touched before, so numbering them again gives the same objects.
    Large ones come first: what an object in a hole encloses is in that hole as well.
    """
    enclosed = np.zeros(numbered.shape, bool)
    boxes = ndimage.find_objects(numbered)
    sides = np.array([[side.stop - side.start for side in box] for box in boxes]).reshape(-1, 2)
    order = np.argsort(-sides.prod(axis=1), kind="stable")
    for k in order[sides[order].min(axis=1) >= 3]:  # smaller ones enclose nothing
        box, number = boxes[k], k + 1
        top = numbered[box][0] == number
        if not enclosed[box][0][top][0]:
            own = numbered[box] == number
            enclosed[box] |= ndimage.binary_fill_holes(own) & ~own
    return (numbered > 0) | enclosed


def _in_reading_order(numbered: np.ndarray) -> np.ndarray:
    """The same objects, numbered by their first pixels."""
    pixels = numbered.ravel()
    first = np.full(int(pixels.max(initial=0)) + 1, pixels.size)
    np.minimum.at(first, pixels, np.arange(pixels.size))
    first[0] = -1
    rank = np.empty(len(first), np.int32)
    rank[np.argsort(first, kind="stable")] = np.arange(len(first))
    return rank[numbered]


def _sifted(numbered: np.ndarray, min_area: int, border: int) -> np.ndarray:
    """Without objects smaller than min_area or outside the field of interest; in the same order."""
    if min_area <= 1 and not border:
        return numbered
    area = np.bincount(numbered.ravel(), minlength=1)
    kept = area >= min_area
    if border:
        inside = numbered[border:-border, border:-border]
        kept &= np.bincount(inside.ravel(), minlength=len(area)) > 0
    kept[0] = False
    if kept[1:].all():
        return numbered
    return np.where(kept, np.cumsum(kept), 0).astype(np.int32)[numbered]
