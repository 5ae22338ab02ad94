"""The ISBI 2012 challenge's layout: train-volume.tif and train-labels.tif, a page per section.

In the labels 0 is membrane and 255 is cell interior (class 1); 73-83 % of a section is interior.
"""

from pathlib import Path

from cunet.data.dataset import Dataset, Slice, checked, listing, sha256, shares
from cunet.data.labels import AS_INSTANCES, IGNORE, read_labels
from cunet.errors import CunetError, DataError
from cunet.files import open_image
from cunet.files.listing import is_file, tiff_named
from cunet.files.pixel_size import PixelSize

VOLUME, LABELS = "train-volume.tif", "train-labels.tif"
CLASS_NAMES = ("membrane", "cell")


def matches(folder: Path) -> bool:
    """Whether the folder is meant to have this layout: one of the two files is enough."""
    return any(is_file(tiff_named(folder, name)) for name in (VOLUME, LABELS))


def load(folder: str | Path, meaning: str | None = None) -> Dataset:
    """Loads and checks the labelled stack; the test volume has no labels and is not read.

    meaning: see dataset.checked; the numbers of neurons are taken too.
    Raises CunetError if a file is missing, DataError if one is invalid or they do not fit together.
    """
    folder = Path(folder)
    volume, truth = tiff_named(folder, VOLUME), tiff_named(folder, LABELS)
    for path in (volume, truth):
        if not is_file(path):
            raise CunetError(
                f"no file '{path}': the ISBI 2012 layout is {VOLUME} and {LABELS}; "
                f"found {listing(folder)}."
            )
    with open_image(volume) as image:
        images = [image.read(page) for page in range(image.pages)]
        notes, size = [f"{VOLUME}: axes {image.axes}"], PixelSize.of(image.calibration)
        for note in image.notes:
            notes.append(f"{'warning: ' if note in image.doubts else ''}{VOLUME}: {note}")
    raw, label_notes = read_labels(truth, meaning == "instances")
    notes += [f"{LABELS}: {note}" for note in label_notes]
    if len(raw) != len(images):
        raise DataError(
            f"'{truth}' and '{volume}' differ in pages, {len(raw)} against {len(images)}; expected "
            "a page of labels for every page of the volume."
        )
    images, read, found = checked(
        [
            Slice(f"slice {i:02d}", x, y, f"'{volume}' page {i}", f"'{truth}' page {i}")
            for i, (x, y) in enumerate(zip(images, raw, strict=True))
        ],
        meaning,
    )
    labels, notes = read.labels, notes + found
    if read.classes != 2:
        raise DataError(
            f"'{truth}' holds {read.classes} classes; ISBI 2012 has two: 0 membrane, 255 (or 1) "
            f"cell. {AS_INSTANCES}"
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
        slice_names=tuple(f"slice {i:02d}" for i in range(len(images))),
        notes=tuple(notes),
        hashes={path.name: sha256(path) for path in (volume, truth)},
        instances=read.instances,
        pixel_sizes=(size,) * len(images),
    )
