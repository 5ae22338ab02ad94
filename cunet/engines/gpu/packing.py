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
    [("w", "u8"), ("place", "u8"), ("channels", "i4"), ("k", "i4"), ("c0", "i4"), ("k0", "i4")]
)

Key = tuple[int, tuple[int, ...], np.dtype, bool]  # address, shape, dtype of copies, transposed


class Packed:
    """Filters (R, S, C, K) float32, and where their packed copies lie in one array of the dtype.

    The filters must not be replaced by other arrays; such a layer packs its own.
    """

    def __init__(self, filters: list[Array], dtype: np.dtype):
        self.filters, self.dtype, self.size = filters, dtype, 0
        self.places, rows = [], []
        for w in filters:
            self.places.append(self.size)
            rows.append(patches(w, self.size))
            self.size += blocks(w.size * dtype.itemsize, ALIGNMENT) * ALIGNMENT // dtype.itemsize
        self.blocks = sum(map(len, rows))
        if filters:
            table = np.concatenate(rows).view(np.uint64)
            self.table = array_module(filters[0]).asarray(table)

    @contextmanager
    def ready(self, *forms: bool) -> Iterator[None]:
        """Inside, elements.pack finds the copies in these forms (transposed: True); their memory is
        free when the last one of a form was used."""
        token = _now.set(self._make(forms) if self.filters else {})
        try:
            yield
        finally:
            _now.reset(token)

    def _make(self, forms: tuple[bool, ...]) -> dict[Key, Array]:
        xp = array_module(self.table)
        made = {form: xp.empty(self.size, self.dtype) for form in forms}
        like = made[forms[0]]
        launch(
            like, "pack_filters", self.blocks, THREADS, self.table, made.get(False), made.get(True)
        )
        copies = {}
        for w, place in zip(self.filters, self.places, strict=True):
            taps, (c, k) = w.shape[0] * w.shape[1], w.shape[2:]
            for form, whole in made.items():
                shape = (taps, k, c) if form else (taps, c, k)
                copy = whole[place : place + w.size].reshape(shape)
                copies[w.data.ptr, w.shape, self.dtype, form] = copy
        return copies


_now: ContextVar[dict[Key, Array] | None] = ContextVar("packed", default=None)


def packed(w: Array, dtype: np.dtype, transposed: bool) -> Array | None:
    """The packed copy of w, which is handed out once; None where there is none."""
    copies = _now.get()
    return None if copies is None else copies.pop((w.data.ptr, w.shape, dtype, transposed), None)


def patches(w: Array, place: int) -> np.ndarray:
    """The rows of the table for filters whose copies begin at this place."""
    taps, (c, k) = w.shape[0] * w.shape[1], w.shape[2:]
    tap, c0, k0 = (
        a.ravel()
        for a in np.mgrid[:taps, : blocks(c, ROWS), : blocks(k, COLUMNS)].astype(np.uint64)
    )
    rows = np.empty(len(tap), PATCH)
    rows["w"], rows["place"] = w.data.ptr + 4 * c * k * tap, place + c * k * tap
    rows["channels"], rows["k"], rows["c0"], rows["k0"] = c, k, ROWS * c0, COLUMNS * k0
    return rows
