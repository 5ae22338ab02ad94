"""The layout of the ISBI 2013 challenge (SNEMI3D): train-input.tif and train-labels.tif.

A page is a section. In the labels every neuron has a number, the same in all sections; 0 is what
lies between them, in some releases of the challenge and in others nothing. Made of them are the two
classes of ISBI 2012, 0 membrane and 1 cell: a pixel is membrane

    where its number is 0, or
    where one of its 4 neighbours in the same section has another number that is not 0.

So neurons that touch get a line of two pixels, one on either side, 12 nm at 6 nm a pixel: the
border lies between two pixels, and a line of one pixel would have to take the side of one neuron;
two pixels leave no gap where sections of 1024 pixels are scaled to 512. A border that is drawn in
the labels as 0 stays as wide as it is drawn. No pixel of a cell then touches one of another neuron
by a side, so that the 4-connected components of the cells are the pieces of the neurons. The volume
is anisotropic, 6 x 6 x 30 nm: sections are used one by one, and there is no membrane between a
section and the next.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np

from cunet.data.dataset import Dataset, Slice, checked, refuse_unlike, shares
from cunet.data.isbi2012 import CLASS_NAMES, LABELS
from cunet.data.isbi2012 import VOLUME_2013 as VOLUME
from cunet.data.labels import refuse_negative
from cunet.data.stack import read_stack
from cunet.errors import DataError
from cunet.files.listing import is_file, tiff_named
from cunet.terminal import plural


def matches(folder: Path) -> bool:
    """Whether the folder is meant to have this layout; the labels' name is that of ISBI 2012."""
    return is_file(tiff_named(folder, VOLUME))


def load(folder: str | Path) -> Dataset:
    """Loads and checks the labelled stack; test-input.tif has no labels and is not read.

    Raises CunetError if a file is missing, DataError if one is invalid, if they do not fit together
    and if the labels are a mask instead of numbers.
    """
    folder = Path(folder)
    layout = "the ISBI 2013 layout (SNEMI3D)"
    stack = read_stack(folder, (VOLUME, LABELS), layout, "slice {:02d}", objects=True)
    truth, slices = f"'{stack.truth}'", stack.slices
    for one in slices:
        refuse_unlike(one, slices[0])
    refuse_negative([one.labels for one in slices], [one.label_name for one in slices])
    numbers, unmarked = _numbers(slices)
    if len(numbers) < 2:
        found = ", ".join(map(str, [*([0] if unmarked else []), *numbers]))
        raise DataError(
            f"{truth}: expected numbers of neurons, 0 where there is none; found {found} alone. "
            "If this is a mask of membranes and cells, name the volume train-volume.tif, as in the "
            "ISBI 2012 layout."
        )
    made = [replace(one, labels=cells_of(one.labels)) for one in slices]
    if not any(one.labels.any() for one in made):
        raise DataError(
            f"{truth}: every pixel touches another number, so that all of it would be membrane; "
            "expected the numbers of neurons. Is it a picture?"
        )
    images, read, notes = checked(made, "classes")
    share = 100 * shares(read.labels, 2)[1]
    return Dataset(
        name=folder.resolve().name,
        kind="isbi2013",
        images=images,
        labels=read.labels,
        class_names=CLASS_NAMES,
        slice_names=tuple(one.name for one in slices),
        notes=(
            *stack.notes,
            notes[0],
            f"labels number {plural(len(numbers), 'neuron')}; {100 * unmarked:.1f} % of the pixels "
            "are 0. Membrane is what is 0, and a line of two pixels where neurons touch in a "
            "section",
            f"class 0 is membrane, class 1 is cell: {share:.1f} % of the pixels are cell",
            *(note for note in notes[1:] if "single grey value" in note or "warning" in note),
        ),
        hashes=stack.hashes(),
        pixel_sizes=tuple(one.pixel_size for one in slices),
    )


def cells_of(numbers: np.ndarray) -> np.ndarray:
    """Numbers of neurons (H, W) as classes (H, W) uint8: 0 membrane, 1 cell; see above."""
    cells = numbers > 0
    for axis in (0, 1):
        before, after = np.swapaxes(numbers, 0, axis)[:-1], np.swapaxes(numbers, 0, axis)[1:]
        border = (before != after) & (before > 0) & (after > 0)
        sides = np.swapaxes(cells, 0, axis)
        sides[:-1] &= ~border
        sides[1:] &= ~border
    return cells.astype(np.uint8)


def _numbers(slices: list[Slice]) -> tuple[list[int], float]:
    """The numbers of all neurons, rising, and the share of the pixels that have none."""
    found: set[int] = set()
    unmarked = 0
    for one in slices:
        numbers, counts = np.unique(one.labels, return_counts=True)
        unmarked += int(counts[numbers == 0].sum())
        found.update(numbers.tolist())
    return sorted(found - {0}), unmarked / sum(one.labels.size for one in slices)
