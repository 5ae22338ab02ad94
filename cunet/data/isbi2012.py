"""The ISBI 2012 challenge's layout: train-volume.tif and train-labels.tif, a page per section.

In the labels 0 is membrane and 255 is cell interior (class 1); 73-83 % of a section is interior.
"""

from pathlib import Path

from cunet.data.dataset import Dataset, checked, shares
from cunet.data.labels import AS_INSTANCES, IGNORE
from cunet.data.stack import read_stack
from cunet.errors import DataError
from cunet.files.listing import is_file, tiff_named

VOLUME, LABELS = "train-volume.tif", "train-labels.tif"
VOLUME_2013 = "train-input.tif"  # that of ISBI 2013, whose labels have the same name
CLASS_NAMES = ("membrane", "cell")


def matches(folder: Path) -> bool:
    """Whether the folder is meant to have this layout: one of the two files is enough, but labels
    beside the volume of ISBI 2013 are not."""
    volume, labels, other = (
        is_file(tiff_named(folder, name)) for name in (VOLUME, LABELS, VOLUME_2013)
    )
    return volume or (labels and not other)


def load(folder: str | Path, meaning: str | None = None) -> Dataset:
    """Loads and checks the labelled stack; the test volume has no labels and is not read.

    meaning: see dataset.checked; the numbers of neurons are taken too.
    Raises CunetError if a file is missing, DataError if one is invalid or they do not fit together.
    """
    folder = Path(folder)
    layout, objects = "the ISBI 2012 layout", meaning == "instances"
    stack = read_stack(folder, (VOLUME, LABELS), layout, "slice {:02d}", objects)
    images, read, found = checked(stack.slices, meaning)
    labels, notes = read.labels, stack.notes + found
    if read.classes != 2:
        raise DataError(
            f"'{stack.truth}' holds {read.classes} classes; ISBI 2012 has two: 0 membrane, 255 "
            f"(or 1) cell. {AS_INSTANCES}"
        )
    share = 100 * shares(labels, 2)[1]
    notes.append(f"class 0 is membrane, class 1 is cell: {share:.1f} % of the pixels are cell")
    if share < 50:
        notes.append("the challenge's labels are 73-83 % cell: are these inverted?")
    if any((page == IGNORE).any() for page in labels):
        notes.append("the challenge's labels have no ignored pixels, these do")
    return Dataset(
        name=folder.resolve().name,
        kind="isbi2012",
        images=images,
        labels=labels,
        class_names=CLASS_NAMES,
        slice_names=tuple(one.name for one in stack.slices),
        notes=tuple(notes),
        hashes=stack.hashes(),
        instances=read.instances,
        pixel_sizes=tuple(one.pixel_size for one in stack.slices),
    )
