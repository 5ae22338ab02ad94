"""What a report shows of slices on disk: a part from the middle of each, of some slices."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cunet.data.dataset import Dataset
from cunet.data.on_disk import OnDisk
from cunet.terminal import plural

SIDE = 1024  # pixels of a part's side
SLICES = 8


def in_memory(dataset: Dataset, slices: Sequence[int]) -> tuple[Dataset, list[int], list[str]]:
    """(the data set with arrays in the place of the slices that are looked at, which these are,
    remarks on what is left out). A data set in memory stays as it is."""
    if not any(isinstance(dataset.images[i], OnDisk) for i in slices):
        return dataset, [*slices], []
    chosen = [slices[k] for k in sorted({*np.linspace(0, len(slices) - 1, SLICES).astype(int)})]

    def held(arrays: Sequence[Any] | None) -> Any:
        if arrays is None:
            return None
        return [middle(array) if i in chosen else array for i, array in enumerate(arrays)]

    cut = any(max(dataset.images[i].shape[:2]) > SIDE for i in chosen)
    dataset = replace(
        dataset,
        images=held(dataset.images),
        labels=held(dataset.labels),
        instances=held(dataset.instances),
    )
    what = f"the middle of {SIDE} x {SIDE} pixels of " if cut else ""
    count = f"{len(chosen)} of {plural(len(slices), 'slice')}"
    remark = f"The slices are read from disk: pictures and scores are of {what}{count}."
    return dataset, chosen, [remark] if cut or len(chosen) < len(slices) else []


def middle(array: Any) -> np.ndarray:
    """The middle part of a slice on disk."""
    sides = [(max(0, (side - SIDE) // 2), min(side, SIDE)) for side in array.shape[:2]]
    found: np.ndarray = array[tuple(slice(first, first + count) for first, count in sides)]
    return found
