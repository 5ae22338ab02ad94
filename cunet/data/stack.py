"""A stack and its labels in two TIFF files of fixed names: a page of labels for every page.

H W: height and width of a page, C its channels.
"""

from dataclasses import dataclass
from pathlib import Path

from cunet.data.dataset import Slice, listing, sha256
from cunet.data.labels import read_labels
from cunet.errors import CunetError, DataError
from cunet.files import open_image
from cunet.files.listing import is_file, tiff_named
from cunet.files.pixel_size import PixelSize


@dataclass(frozen=True)
class Stack:
    """What the two files hold; `read_stack` makes it.

    volume, truth  the files
    slices         their pages, with labels (H, W) of whole numbers as stored
    notes          what was noticed about the files
    """

    volume: Path
    truth: Path
    slices: list[Slice]
    notes: list[str]

    def hashes(self) -> dict[str, str]:
        """The hash of each file, by its name."""
        return {path.name: sha256(path) for path in (self.volume, self.truth)}


def read_stack(
    folder: Path, names: tuple[str, str], layout: str, slice_name: str, objects: bool = False
) -> Stack:
    """The stack of a folder, in which names are those of the volume and of its labels.

    layout: what an error calls it. slice_name: such as "slice {:02d}", filled with the page.
    objects: the labels number objects, see labels.read_label_file. Raises CunetError where a file
    is missing, DataError where one is invalid or they differ in pages.
    """
    volume, truth = (tiff_named(folder, name) for name in names)
    for path in (volume, truth):
        if not is_file(path):
            raise CunetError(
                f"no file '{path}': {layout} is {' and '.join(names)}; found {listing(folder)}. "
                "Add it, or rename the file that is meant."
            )
    with open_image(volume) as image:
        images = [image.read(page) for page in range(image.pages)]
        notes, size = [f"{names[0]}: axes {image.axes}"], PixelSize.of(image.calibration)
        for note in image.notes:
            notes.append(f"{'warning: ' if note in image.doubts else ''}{names[0]}: {note}")
    raw, label_notes = read_labels(truth, objects)
    notes += [f"{names[1]}: {note}" for note in label_notes]
    if len(raw) != len(images):
        raise DataError(
            f"'{truth}' and '{volume}' differ in pages, {len(raw)} against {len(images)}; expected "
            "a page of labels for every page of the volume."
        )
    pages = enumerate(zip(images, raw, strict=True))
    slices = [
        Slice(
            slice_name.format(i), x, y, f"'{volume}' page {i}", f"'{truth}' page {i}",
            pixel_size=size,
        )
        for i, (x, y) in pages
    ]  # fmt: skip
    return Stack(volume, truth, slices, notes)
