"""The output of a segmentation, as its workers write and read it: products by name and level.

The probability is the image of an OME-Zarr, or where it is not wanted the mask as 0 and 255; mask
and labels are label images of it.
"""

from pathlib import Path

import numpy as np

from cunet.files.ome_zarr.array import Array
from cunet.files.ome_zarr.output import IMAGE, create_level, open_output

IMAGES = ("prob", "image")  # of the products those that are the image itself
Region = tuple[slice, slice, slice]


class Output:
    """The arrays of an output that was begun, opened when they are first asked for."""

    def __init__(self, path: Path):
        self.path = path
        self._levels: dict[int, dict[str, Array]] = {}

    def array(self, product: str, level: int = 0) -> Array:
        """The array of a product; of a lower resolution it is made where it is not there."""
        arrays = self._levels.setdefault(level, {})
        name = name_of(product)
        if name not in arrays:
            if level:
                arrays[name] = create_level(self.path, name, level)
            else:
                arrays |= open_output(self.path)
        return arrays[name]

    def write(self, product: str, region: Region, block: np.ndarray, level: int = 0) -> None:
        """Write a block (..., Z, Y, X) and see it on the disk. DeviceError where that has no room.

        Blocks are whole files: two writers never share one.
        """
        array, place = self.array(product, level), _place(block.ndim, region)
        array[place] = block
        array.sync(place)

    def read(self, product: str, region: Region, level: int = 0) -> np.ndarray:
        """A block (..., Z, Y, X)."""
        array = self.array(product, level)
        return array[_place(len(array.shape), region)]


def name_of(product: str) -> str:
    """What the array of a product is called."""
    return IMAGE if product in IMAGES else product


def _place(axes: int, region: Region) -> tuple[slice, ...]:
    return (slice(None),) * (axes - 3) + region
