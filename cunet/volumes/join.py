"""Pieces of objects in blocks become the objects of a volume, or of every section of a slab.

Pieces are the nodes of a graph, and voxels that two windows hold are its edges; its components are
the objects. They are numbered as objects.py says.

Memory: about 80 bytes a piece at the peak, 4 of them in the result, and the far faces of one slab.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from itertools import product
from math import prod

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from cunet.errors import CunetError, DataError
from cunet.volumes.grid import Index
from cunet.volumes.objects import Scan

STEPS = [(z, y, x) for z, y, x in product((0, 1), repeat=3) if z or y or x]  # to blocks beyond
MAX_PIECES = 2**31 - 1  # pieces: SciPy's graphs count in 32 bits
NEVER = np.iinfo(np.int64).max  # a first voxel behind all others


@dataclass(frozen=True)
class Joined:
    """The objects of what was joined.

    numbers  block -> (1 + P,) uint32: the object of each of its pieces from 1 on, 0 where it was
             dropped; [0] is 0, so that it maps labels as they are
    counts   (sections, classes) int64: objects of each class on each section, from the first one
             that was joined; of a volume (1, classes)
    """

    numbers: dict[Index, np.ndarray]
    counts: np.ndarray


def join(scans: Mapping[Index, Scan], min_area: int = 0) -> Joined:
    """The number of every piece. scans: of all blocks, by their (z, y, x) in the grid of blocks.

    Within sections the blocks of one z are enough. Each scan is taken once, in the order of the
    grid, so a mapping may read it from disk when it is asked for it. Objects of fewer than min_area
    voxels are dropped, and the others numbered without gaps.

    Raises CunetError where a block is missing, DataError where two were scanned on different masks.
    """
    pieces = _Pieces()
    for index in sorted(scans):
        pieces.add(index, scans[index])
    if pieces.waiting or not pieces.ends:
        missing = f"block {min(pieces.waiting)}" if pieces.waiting else "every block"
        raise CunetError(f"join: the scan of {missing} is missing; scan it first")
    number, counts = _numbered(pieces, min_area)
    parts = np.split(number, list(pieces.ends.values())[:-1])
    none = np.zeros(1, np.uint32)
    numbers = [np.concatenate((none, part)) for part in parts]
    return Joined(dict(zip(pieces.ends, numbers, strict=True)), counts)


class _Pieces:
    """The pieces of all blocks, one after the other.

    ends      block -> how many pieces there are up to its last
    edges     (2, E) int32, of each block and neighbour: pieces that share voxels
    tables    of each block: classes, first, area, as in Scan
    waiting   block to come -> what windows before call its voxels: step, pieces, and how many
              pieces there are before these
    sections  begin, end of those joined, and voxels of one; a volume counts as one section
    """

    def __init__(self) -> None:
        self.ends: dict[Index, int] = {}
        self.edges: list[np.ndarray] = []
        self.tables: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = []
        self.waiting: dict[Index, list[tuple[Index, np.ndarray, int]]] = {}
        self.sections = (0, 1, 0)
        self._total = 0

    def add(self, index: Index, scan: Scan) -> None:
        """Add a block; all blocks before it in the order of the grid have come."""
        before, self._total = self._total, self._total + len(scan.classes)
        if self._total > MAX_PIECES:
            raise CunetError(f"join: more than {MAX_PIECES:,} pieces of objects; join fewer blocks")
        seen = self.waiting.pop(index, [])
        if len(seen) != sum(_within(step, scan.near) for step in STEPS):
            raise CunetError(f"join: the scan of a block before {index} is missing; scan it first")
        for step, pieces, offset in seen:
            one, other = _shared(pieces, scan.owned(step), index)
            self.edges.append(np.stack((one + offset, other + before)).astype(np.int32))
        for step in STEPS:
            if _within(step, scan.far):
                beyond = (index[0] + step[0], index[1] + step[1], index[2] + step[2])
                self.waiting.setdefault(beyond, []).append((step, scan.seen(step), before))
        self._widen(scan)
        self.tables.append((scan.classes, scan.first, scan.area))
        self.ends[index] = self._total

    def _widen(self, scan: Scan) -> None:
        """Count in the sections of a block."""
        block = scan.block
        if scan.volume:
            self.sections = (0, 1, prod(block.whole))
            return
        begin, end = block.start[0], block.start[0] + block.shape[0]
        if self.ends:
            begin, end = min(begin, self.sections[0]), max(end, self.sections[1])
        self.sections = (begin, end, prod(block.whole[1:]))


def _within(step: Index, faces: Container[int]) -> bool:
    """Whether a block has faces along every axis of a step."""
    return all(axis in faces for axis in range(3) if step[axis])


def _shared(seen: np.ndarray, owned: np.ndarray, index: Index) -> tuple[np.ndarray, np.ndarray]:
    """From what two windows call the same voxels: the pieces that are one, from 0, int64."""
    inside = owned > 0
    if seen.shape != owned.shape or ((seen > 0) != inside).any():
        raise DataError(
            f"block {index} and one before it were scanned on different masks or blocks; scan both "
            "again"
        )
    pairs = (seen[inside].astype(np.int64) << 32) | owned[inside]
    pairs = np.unique(pairs[np.diff(pairs, prepend=-1) != 0])  # most stand in runs
    return (pairs >> 32) - 1, (pairs & 0xFFFFFFFF) - 1


def _numbered(pieces: _Pieces, min_area: int) -> tuple[np.ndarray, np.ndarray]:
    """The number of each piece, uint32, and how many objects there are, as in Joined."""
    classes, first, area = (np.concatenate(column) for column in zip(*pieces.tables, strict=True))
    objects, object_of = _objects(pieces.edges, len(classes))
    own = first >= 0  # every object has such a piece
    first_of = np.full(objects, NEVER)
    np.minimum.at(first_of, object_of[own], first[own])
    class_of = np.zeros(objects, np.uint8)
    class_of[object_of] = classes
    area_of = np.bincount(object_of, area, objects)

    begin, end, voxels = pieces.sections
    section = first_of // voxels - begin
    order = np.lexsort((first_of, class_of, section))
    order = order[area_of[order] >= min_area]
    shape = (end - begin, max(1, int(class_of.max(initial=0))))
    places = np.ravel_multi_index((section[order], class_of[order] - 1), shape)
    counts = np.bincount(places, minlength=prod(shape)).reshape(shape)
    on_section = counts.sum(1)
    number = np.zeros(objects, np.uint32)
    number[order] = (
        1 + np.arange(len(order)) - np.repeat(on_section.cumsum() - on_section, on_section)
    )
    return number[object_of], counts


def _objects(edges: list[np.ndarray], pieces: int) -> tuple[int, np.ndarray]:
    """How many objects there are, and which each piece belongs to, (P,) int32 from 0."""
    ends = np.concatenate([np.zeros((2, 0), np.int32), *edges], axis=1)
    graph = coo_matrix((np.ones(ends.shape[1], bool), (ends[0], ends[1])), (pieces, pieces))
    return connected_components(graph, directed=False)
