"""The layout of the EPFL's mitochondria (Lucchi et al.), FIB-SEM of the hippocampus at 5 nm.

    training.tif  training_groundtruth.tif    a page per section
    testing.tif   testing_groundtruth.tif     another volume, where it is there

In the ground truth 255 is mitochondrion (class 1), 0 all else. The slices of the two volumes are
training/000 ... and testing/000 ..., so that --hold-out testing trains on the one and scores the
other. Other volumes with masks are read as well where their files have these names.
"""

from pathlib import Path

from cunet.data.dataset import Dataset, checked, shares
from cunet.data.labels import AS_INSTANCES
from cunet.data.stack import read_stack
from cunet.errors import DataError
from cunet.files.listing import is_file, tiff_named
from cunet.terminal import plural

CLASS_NAMES = ("background", "mitochondrion")
PARTS = {part: (f"{part}.tif", f"{part}_groundtruth.tif") for part in ("training", "testing")}


def matches(folder: Path) -> bool:
    """Whether the folder is meant to have this layout: a ground truth is enough."""
    return any(is_file(tiff_named(folder, truth)) for _, truth in PARTS.values())


def load(folder: str | Path, meaning: str | None = None) -> Dataset:
    """Loads and checks the volumes that have a ground truth; the training volume must.

    meaning: see dataset.checked. Raises CunetError if a file is missing, DataError if one is
    invalid or they do not fit together.
    """
    folder = Path(folder)
    there = [
        part
        for part, (_, truth) in PARTS.items()
        if part == "training" or is_file(tiff_named(folder, truth))
    ]
    layout, objects = "the layout of the EPFL's mitochondria", meaning == "instances"
    stacks = {
        part: read_stack(folder, PARTS[part], layout, part + "/{:03d}", objects) for part in there
    }
    slices = [one for stack in stacks.values() for one in stack.slices]
    images, read, found = checked(slices, meaning)
    if read.classes != 2:
        raise DataError(
            f"'{folder}' holds {read.classes} classes in {' and '.join(PARTS[p][1] for p in there)}"
            f"; expected two: 0 background, 255 (or 1) mitochondrion. {AS_INSTANCES}"
        )
    notes = [note for stack in stacks.values() for note in stack.notes]
    hashes = {name: h for stack in stacks.values() for name, h in stack.hashes().items()}
    share = 100 * shares(read.labels, 2)[1]
    notes += [*found, f"class 1 is mitochondrion: {share:.1f} % of the pixels"]
    if share > 50:
        notes.append("warning: more than half of all pixels are mitochondria: is it inverted?")
    if "testing" in stacks:
        count = plural(len(stacks["testing"].slices), "slice")
        notes.append(f"{count} of testing.tif are read too; --hold-out testing keeps them to score")
    elif is_file(tiff_named(folder, PARTS["testing"][0])):
        notes.append("testing.tif has no testing_groundtruth.tif beside it and is not read")
    return Dataset(
        name=folder.resolve().name,
        kind="epfl",
        images=images,
        labels=read.labels,
        class_names=CLASS_NAMES,
        slice_names=tuple(one.name for one in slices),
        notes=tuple(notes),
        hashes=hashes,
        pixel_sizes=tuple(one.pixel_size for one in slices),
        instances=read.instances,
    )
