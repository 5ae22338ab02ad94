"""From a mask to objects: connected components, split where they are clumps, and sifted.

H W: height and width of the mask. Objects are numbered 1, 2 ... in the reading order of their first
pixel; 0 is no object.
"""

from collections.abc import Callable

import numpy as np
from scipy import ndimage

from cunet.checks import arguments, array, flag, number, text, whole
from cunet.data.values import check_values
from cunet.errors import CunetError, DataError
from cunet.measuring.scale import Scale, scale_from
from cunet.measuring.table import Table, measure
from cunet.segmentation.clumps import split_at_necks, split_by_kmeans
from cunet.segmentation.instances import Instances


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
        numbered = _in_reading_order(split_at_necks(numbered, structure, how.neck))
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


@arguments(
    found=array, image=array, threshold=number, unit=text, instances=text, connectivity=whole,
    min_area=whole, fill_holes=flag, border=whole, neck=number,
)  # fmt: skip
def objects(
    found: np.ndarray,
    image: np.ndarray | None = None,
    threshold: float = 0.5,
    pixel_size: float | tuple[float, float] | None = None,
    unit: str = "um",
    instances: str = "components",
    connectivity: int = 4,
    min_area: int = 0,
    fill_holes: bool = False,
    border: int = 0,
    neck: float | None = None,
) -> tuple[np.ndarray, Table]:
    """The objects of a page as numbers (H, W) int32, and a table of their measures.

    found is one of

        a probability   (H, W) from 0 to 1, or (H, W, 2) as cunet.segment returns it: pixels of
                        class 1 above `threshold` belong to objects
        a mask          (H, W) bool
        labels          (H, W) integers: objects that have numbers already, 0 is none. They are
                        measured as they are, so the options below `unit` are not for them

    The options that make objects are those of `cunet segment`: see Instances in instances.py. image
    (H, W) or (H, W, C) adds the brightness of the objects. pixel_size, the side of a pixel or its
    (height, width) in `unit`, adds columns in that unit.

    The table is a dict of columns, arrays of one length with a row for each object, which
    pandas.DataFrame takes as it is: label, area, x, y and so on, as cunet/measuring/table.py
    defines them; x and y as in ImageJ. `cunet segment --products table` writes the same.

    Raises CunetError for another shape or option, DataError for values that are no probability or
    label, and for NaN or infinity in the image.

        probability = cunet.segment(image, cunet.load("em"))
        labels, table = cunet.objects(probability, image, pixel_size=0.004, min_area=20)
        print(table["area_um2"].mean())
    """
    scale = scale_from(pixel_size, unit)
    how = Instances(instances, connectivity, min_area, fill_holes, border, neck)
    two = found.ndim == 3 and found.shape[2] == 2 and found.dtype.kind == "f"
    if (found.ndim != 2 and not two) or not found.size or found.dtype.kind not in "buif":
        raise CunetError(
            "objects: expected a probability (H, W) or (H, W, 2), a mask (H, W) bool, or labels "
            f"(H, W) of integers, found {found.dtype} {found.shape}"
        )
    intensities = None if image is None else _brightness(image, found)
    if found.dtype.kind in "ui":
        if how != Instances() or threshold != 0.5:
            other = how.text() if how != Instances() else "a threshold"
            raise CunetError(f"objects: labels are measured as they are, without {other}")
        return _measured(found, scale, intensities)
    if found.dtype.kind == "f":
        found = found[..., 1] if two else found
        if not (found.min() >= 0 and found.max() <= 1):  # NaN is neither
            raise DataError(
                f"objects: expected probabilities from 0 to 1, found {found.min()} to "
                f"{found.max()}; labels are integers"
            )
        if not 0 <= threshold <= 1:
            raise CunetError(f"threshold: expected a number from 0 to 1, found {threshold}")
        found = found > threshold
    labels = find(found, how)
    return labels, measure(labels, scale, intensities)


def _measured(
    labels: np.ndarray, scale: Scale, intensities: Callable[[int, int], np.ndarray] | None
) -> tuple[np.ndarray, Table]:
    """Labels (H, W) of any integers as int32, and their table."""
    lowest, highest = int(labels.min()), int(labels.max())
    if labels.dtype == np.uint8 and highest == 255 and not ((labels > 0) & (labels < 255)).any():
        raise DataError(
            "objects: a mask of 0 and 255 would be one object of number 255; give found > 0"
        )
    if lowest < 0 or highest > np.iinfo(np.int32).max:
        raise DataError(
            f"objects: expected labels from 0 to 2147483647, found {lowest} to {highest}"
        )
    labels = labels.astype(np.int32)
    if highest <= labels.size:
        return labels, measure(labels, scale, intensities)
    numbers, places = np.unique(labels, return_inverse=True)  # few, and far apart
    places = places.reshape(labels.shape) + int(lowest > 0)
    table = measure(places.astype(np.int32), scale, intensities)
    return labels, table | {"label": numbers[numbers > 0].astype(np.int64)}


def _brightness(image: np.ndarray, found: np.ndarray) -> Callable[[int, int], np.ndarray]:
    """What reads rows (rows, W, C) of an image array, of the same size as what was found."""
    if image.ndim not in (2, 3) or image.shape[:2] != found.shape[:2] or 0 in image.shape:
        raise CunetError(
            f"objects: expected an image of {found.shape[0]} x {found.shape[1]} pixels, (H, W) or "
            f"(H, W, C), found {image.shape}"
        )
    if image.dtype.kind not in "buif":
        raise CunetError(f"objects: expected an image of real numbers, found {image.dtype}")
    pixels = image[..., None] if image.ndim == 2 else image
    check_values(pixels, "objects: the image")
    return lambda r0, r1: pixels[r0:r1]
