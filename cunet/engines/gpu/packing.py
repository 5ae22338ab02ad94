"""All filters of a net rounded and packed by one launch of packing.cu, for work that is recorded.

Packed copies are made anew by every replay, so they never differ from the filters, whoever has
changed these. Each copy is handed out once, and all serve one dtype.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from cunet.backend import Array, array_module
from cunet.engines.gpu.cuda import blocks, launch

ROWS, COLUMNS = 32, 128  # channels and outputs that a block takes: as in packing.cu
THREADS = 256  # of a block
ALIGNMENT = 512  # bytes; as an array of its own has
# a struct of packing.cu
PATCH = np.dtype(
    [("w", "u8"), ("straight", "u8"), ("place", "u8")]
    + [(name, "i4") for name in ("channels", "k", "c0", "k0")]
)

Key = tuple[int, tuple[int, ...], np.dtype, bool]  # address, shape, dtype of copies, transposed


class Packed:
    """Filters (R, S, C, K) float32, and where their packed copies lie: the transposed ones in one
    array of the dtype, made by each use; straight ones in these arrays, one for each filters and at
    least as many bytes as its copy needs (None: there are none).

    The filters must not be replaced by other arrays; such a layer packs its own. What lies in the
    arrays of straight copies is overwritten, and they serve again when a copy has been used.
    """

    def __init__(self, filters: list[Array], dtype: np.dtype, straight: list[Array] | None = None):
        self.filters, self.dtype, self.size = filters, dtype, 0
        self.straight = [array.reshape(-1).view(dtype) for array in straight or ()]
        self.places, rows = [], []
        for i, w in enumerate(filters):
            self.places.append(self.size)
            rows.append(patches(w, self.size, self.straight[i] if straight else None))
            self.size += blocks(w.size * dtype.itemsize, ALIGNMENT) * ALIGNMENT // dtype.itemsize
        self.blocks = sum(map(len, rows))
        if filters:
            table = np.concatenate(rows).view(np.uint64)
            self.table = array_module(filters[0]).asarray(table)

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Inside, elements.pack finds the copies; the memory of the transposed ones is free when
        the last of them was used."""
        token = _now.set(self._make() if self.filters else {})
        try:
            yield
        finally:
            _now.reset(token)

    def _make(self) -> dict[Key, Array]:
        whole = array_module(self.table).empty(self.size, self.dtype)
        launch(whole, "pack_filters", self.blocks, THREADS, self.table, whole)
        copies = {}
        for i, (w, place) in enumerate(zip(self.filters, self.places, strict=True)):
            taps, (c, k) = w.shape[0] * w.shape[1], w.shape[2:]
            key = w.data.ptr, w.shape, self.dtype
            copies[*key, True] = whole[place : place + w.size].reshape(taps, k, c)
            if self.straight:
                copies[*key, False] = self.straight[i][: w.size].reshape(taps, c, k)
        return copies


_now: ContextVar[dict[Key, Array] | None] = ContextVar("packed", default=None)


def packed(w: Array, dtype: np.dtype, transposed: bool) -> Array | None:
    """The packed copy of w, which is handed out once; None where there is none."""
    copies = _now.get()
    return None if copies is None else copies.pop((w.data.ptr, w.shape, dtype, transposed), None)


def waiting(w: Array) -> bool:
    """Whether a straight copy of w is still to be handed out."""
    copies = _now.get() or {}
    return any(key[0] == w.data.ptr and not key[3] for key in copies)


def patches(w: Array, place: int, straight: Array | None) -> np.ndarray:
    """The rows of the table for filters whose transposed copies begin at this place."""
    taps, (c, k) = w.shape[0] * w.shape[1], w.shape[2:]
    tap, c0, k0 = (
        a.ravel()
        for a in np.mgrid[:taps, : blocks(c, ROWS), : blocks(k, COLUMNS)].astype(np.uint64)
    )
    rows = np.zeros(len(tap), PATCH)
    rows["w"], rows["place"] = w.data.ptr + 4 * c * k * tap, place + c * k * tap
    if straight is not None:
        rows["straight"] = straight.data.ptr + straight.dtype.itemsize * c * k * tap
    rows["channels"], rows["k"], rows["c0"], rows["k0"] = c, k, ROWS * c0, COLUMNS * k0
    return rows
