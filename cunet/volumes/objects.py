"""Objects of a mask that no memory holds: labelled block by block, joined, numbered once.

The mask (Z, Y, X) holds classes: 0 is no object, and the connected components of each other class
are its objects. Within sections, every section has its own numbers from 1; in a volume, objects go
on in z. Objects of class 1 come first, then those of class 2 and so on; within a class they stand
in the reading order of their first voxel. So with one class the numbers are those of scikit-image's
`label`, and on a section with several classes those of segmentation/how.py.

    scan      one block: its pieces of objects, and what its faces call them
    join      the scans of a volume, or within sections of one slab: the number of every piece;
              see join.py
    relabel   one block: the number of every voxel

A block is seen through a window that is one voxel larger on its far sides. That is enough: of two
neighbouring voxels p and q let m be the smaller coordinates, axis by axis. Neither is more than one
step beyond m, so the window of the block that owns m holds both and gives them one label. Voxels
that two windows hold tell which pieces are one: they lie on a far face of the one window and on a
near face of the block that owns them.

Memory: scan and relabel hold about 10 bytes a voxel of the window at their peak, a scan of a mask
of noise 27. What a scan keeps is 13 bytes a piece, and 1, 2 or 4 bytes a voxel of its faces, as the
number of pieces asks; its file is a small part of that.
"""

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from cunet.errors import CunetError, DataError, of_system
from cunet.files.atomic import Part
from cunet.segmentation.instances import Instances
from cunet.volumes.grid import Index

MAX_VOXELS = 2**31 - 1  # voxels of a window: pieces are counted in 32 bits


@dataclass(frozen=True)
class Block:
    """Where a block lies in a volume; each (z, y, x): its first voxel, its size, the volume's."""

    start: Index
    shape: Index
    whole: Index

    def window(self, volume: bool) -> tuple[slice, slice, slice]:
        """The block and one voxel more wherever objects may go on beyond its far sides."""
        more = (int(volume), 1, 1)
        z, y, x = (
            slice(start, min(start + size + one, end))
            for start, size, one, end in zip(self.start, self.shape, more, self.whole, strict=True)
        )
        return z, y, x


@dataclass(frozen=True)
class Scan:
    """What joining needs of a block. Its pieces are numbered from 1; row i is of piece i + 1.

    classes  (P,) uint8
    first    (P,) int64: the piece's first voxel in the block, as index in the whole volume; -1
             where it has none, only voxels that other blocks own
    area     (P,) uint32: how many voxels of it the block owns
    near     axis -> pieces on the block's first plane, where another block lies before it
    far      axis -> pieces on the window's last plane, where another block lies beyond
    """

    block: Block
    volume: bool
    classes: np.ndarray
    first: np.ndarray
    area: np.ndarray
    near: dict[int, np.ndarray]
    far: dict[int, np.ndarray]

    def owned(self, step: Index) -> np.ndarray:
        """Pieces on the voxels that the block one step before sees in its window."""
        axis = step.index(1)
        plane = np.expand_dims(self.near[axis], axis)
        return plane[tuple(slice(1) if s else slice(None) for s in step)]

    def seen(self, step: Index) -> np.ndarray:
        """Pieces on the same voxels of the block one step beyond."""
        axis = step.index(1)
        plane = np.expand_dims(self.far[axis], axis)
        sides = zip(step, self.block.shape, strict=True)
        return plane[tuple(slice(-1, None) if s else slice(n) for s, n in sides)]

    def save(self, path: Path) -> None:
        """Write an .npz file, whole or not at all. DeviceError or CunetError if it cannot be."""
        arrays = {
            "block": np.array([self.block.start, self.block.shape, self.block.whole], np.int64),
            "volume": np.array(self.volume),
            "classes": self.classes,
            "first": self.first,
            "area": self.area,
        }
        for axis, plane in self.near.items():
            arrays[f"near{axis}"] = plane
        for axis, plane in self.far.items():
            arrays[f"far{axis}"] = plane
        with Part(path) as part:
            np.savez_compressed(part.file, **arrays)  # type: ignore[arg-type]  # as in write_npz

    @classmethod
    def load(cls, path: Path) -> "Scan":
        """Raises CunetError where the file cannot be read, DataError where it is damaged."""
        try:
            with open(path, "rb") as file, np.load(file, allow_pickle=False) as stored:
                a = {name: stored[name] for name in stored.files}
            block = Block(*(tuple(map(int, row)) for row in a["block"]))  # type: ignore[arg-type]
            near, far = (
                {int(n[-1]): a[n] for n in a if n[:-1] == side} for side in ("near", "far")
            )
            return cls(block, bool(a["volume"]), a["classes"], a["first"], a["area"], near, far)
        except OSError as error:
            raise of_system(error, f"cannot read '{path}'") from error
        except (ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise DataError(
                f"'{path}' is damaged ({type(error).__name__}): remove it and scan its block again"
            ) from error


def check_by_blocks(instances: Instances) -> None:
    """CunetError where objects cannot be found so by blocks."""
    ways = {
        f"instances {instances.method}": instances.method != "components",
        "fill_holes": instances.fill_holes,
        f"border {instances.border}": instances.border > 0,
    }
    if wrong := [name for name, asked in ways.items() if asked]:
        raise CunetError(
            f"{' and '.join(wrong)}: the whole page is needed at once, and block by block none "
            "is held; write the mask alone, then run `cunet objects` on pages or "
            "parts that fit into memory. By blocks there are components, connectivity and min_area"
        )


def scan(window: np.ndarray, block: Block, connectivity: int = 4, volume: bool = False) -> Scan:
    """The pieces of objects in a block; window: the mask, bool or uint8, in block.window(volume).

    connectivity  4: voxels that touch by a side belong together (6 in a volume); 8: also those
                  that touch by an edge or a corner (26)
    """
    labels, classes = _pieces(window, block, connectivity, volume)
    own = labels[tuple(map(slice, block.shape))]
    first, area = _first_and_area(own, len(classes))
    inside = np.unravel_index(first[first >= 0], own.shape)
    inside = tuple(at + start for at, start in zip(inside, block.start, strict=True))
    first[first >= 0] = np.ravel_multi_index(inside, block.whole)

    def plane(axis: int, at: int) -> np.ndarray:
        found = (labels if at else own).take(at, axis)
        return found.astype(np.min_scalar_type(len(classes)))

    axes = range(0 if volume else 1, 3)
    near = {axis: plane(axis, 0) for axis in axes if block.start[axis]}
    far = {axis: plane(axis, -1) for axis in axes if labels.shape[axis] > own.shape[axis]}
    return Scan(block, volume, classes, first, area, near, far)


def relabel(
    window: np.ndarray, block: Block, numbers: np.ndarray, connectivity: int, volume: bool
) -> np.ndarray:
    """The objects of a block, uint32: the window as it was scanned, the numbers as joined.

    Raises DataError where it has another number of pieces than when it was scanned.
    """
    labels, classes = _pieces(window, block, connectivity, volume)
    if len(numbers) != 1 + len(classes):
        raise DataError(
            f"the mask of the block at {block.start} has {len(classes)} pieces of objects, and had "
            f"{len(numbers) - 1} when it was scanned: it has changed; scan and join again"
        )
    return numbers[labels[tuple(map(slice, block.shape))]]


def _pieces(
    window: np.ndarray, block: Block, connectivity: int, volume: bool
) -> tuple[np.ndarray, np.ndarray]:
    """The components of each class in the window, int32 from 1, and the class of each of them."""
    expected = tuple(side.stop - side.start for side in block.window(volume))
    if window.shape != expected or window.dtype not in (bool, np.uint8):
        raise ValueError(
            f"expected a mask {expected} bool or uint8, found {window.shape} {window.dtype}"
        )
    if window.size > MAX_VOXELS:
        raise CunetError(f"a block of {block.shape} voxels has more than {MAX_VOXELS:,}; take less")
    rank = 3 if volume else 2
    structure = ndimage.generate_binary_structure(rank, 1 if connectivity == 4 else rank)
    labels = np.zeros(window.shape, np.int32)
    classes = [np.zeros(0, np.uint8)]
    total = 0
    parts = [(window, labels)] if volume else zip(window, labels, strict=True)
    for part, out in parts:
        for k in range(1, int(part.max(initial=0)) + 1):
            found = np.zeros_like(out) if k > 1 else out
            count = ndimage.label(part == k, structure, output=found)
            np.add(found, total, out=out, where=found > 0)
            classes.append(np.full(count, k, np.uint8))
            total += count
    return labels, np.concatenate(classes)


def _first_and_area(labels: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Of each label from 1 to count the index of its first voxel, -1 where there is none, and how
    many voxels it has; from the runs of equal labels, which are far fewer than voxels."""
    flat = labels.ravel()
    starts = np.concatenate(([0], 1 + np.flatnonzero(flat[1:] != flat[:-1])))
    runs = flat[starts]
    area = np.bincount(runs, np.diff(starts, append=flat.size), count + 1)
    first = np.full(count + 1, -1, np.int64)
    first[runs[::-1]] = starts[::-1]  # the last one written stays: the first of each label
    return first[1:], area[1:].astype(np.uint32)
