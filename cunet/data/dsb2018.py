"""The Data Science Bowl 2018's layout (Caicedo et al. 2019): a folder per image.

    stage1_train/<id>/images/<id>.png     the picture
    stage1_train/<id>/masks/*.png         0 and 255, one file for every nucleus

TIFF files serve as well as PNG, and names may end in any spelling, such as .PNG or .tif.
The pictures are RGBA files of many sizes, most of them grey, some of stained tissue; all are read
as 3 channels. H W: height and width of one image.
"""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cunet.data.coding import Colours, colours_of, refuse_mixed
from cunet.data.dataset import Dataset, Slice, checked, listing, shares, some
from cunet.data.labels import read_label_file
from cunet.data.layouts import image_files
from cunet.data.suspicion import many_pieces
from cunet.errors import CunetError, DataError
from cunet.files import open_image
from cunet.files.listing import folders_of, images_of
from cunet.threads import parallel

CLASS_NAMES = ("background", "nucleus")
MAX_MASK_NOTES = 5  # notes on odd masks that are shown


def matches(folder: Path) -> bool:
    """Whether the folder is meant to have this layout; it need not have masks."""
    folders = image_folders(folder)
    return any(_pictures(path, name) for name, path in folders.items())


def load(folder: str | Path) -> Dataset:
    """Loads and checks the images and nuclei, in the order of the ids, which name the slices.

    An id has one hash, over its image and its masks in the order of their names. Raises CunetError
    if an image or the masks are missing, DataError for invalid content.
    """
    folder = Path(folder)
    folders = image_folders(folder)
    if not folders:
        raise CunetError(
            f"data folder '{folder}': expected <id>/images/<id>.png and <id>/masks/*.png, a folder "
            f"for every image, or stage1_train that holds them; found {listing(folder)}."
        )
    files = {name: image_file(path) for name, path in folders.items()}
    found: dict[str, tuple] = {}

    def read(name: str) -> None:
        found[name] = _read(name, folders[name], files[name])

    # PngImage changes the filters of warnings, which all threads share; they are restored here.
    with warnings.catch_warnings():
        parallel(read, folders)
    slices, nuclei, hashes = zip(*(found[name] for name in folders), strict=True)
    refuse_mixed((file for one in nuclei for file in one.colours), "masks", True)
    images, meaning, summary = checked(slices)
    labels = meaning.labels
    instances = [one.cells for one in nuclei]
    counts = [len(np.unique(cells[cells > 0])) for cells in instances]
    without = [name for name, one in zip(folders, nuclei, strict=True) if not one.colours]
    if without:
        summary.append(f"no mask at all, trained as background alone: {some(without)}")
    summary += _other_endings(folders, files)
    torn = [name for name, one in zip(folders, nuclei, strict=True) if many_pieces([one.cells])]
    if torn:
        summary.append(
            f"warning: each mask is several pieces: {some(torn)}. Do they hold all nuclei of the "
            "image? Expected one nucleus a file"
        )
    odd = [f"{name}: {n}" for name, one in zip(folders, nuclei, strict=True) for n in one.notes]
    if len(odd) > MAX_MASK_NOTES:
        odd[MAX_MASK_NOTES:] = [f"{len(odd) - MAX_MASK_NOTES} more notes on masks are left out"]
    return Dataset(
        name=folder.resolve().name,
        kind="dsb2018",
        images=images,
        labels=labels,
        class_names=CLASS_NAMES,
        slice_names=tuple(folders),
        notes=(
            *summary,
            _colours(images),
            f"{sum(counts)} nuclei, {min(counts)} to {max(counts)} in an image: "
            f"{100 * shares(labels, 2)[1]:.1f} % of the pixels",
            *odd,
        ),
        hashes=dict(zip(folders, hashes, strict=True)),
        instances=instances,
    )


def image_folders(folder: Path) -> dict[str, Path]:
    """Image id -> its folder, by id: of stage1_train, of what holds it, or of one image itself.

    A folder inside counts if it holds images/ or masks/. Empty where none does.
    """
    if (folder / "stage1_train").is_dir():
        folder = folder / "stage1_train"
    resolved = folder.resolve()
    alone = len(images_of(folder / "images")) == 1  # several are of several images
    if alone and (folder / "masks").is_dir() and _pictures(folder, resolved.name):
        return {resolved.name: folder}
    return {
        path.name: path
        for path in folders_of(folder)
        if (path / "images").is_dir() or (path / "masks").is_dir()
    }


def _pictures(folder: Path, name: str) -> bool:
    """Whether images/ of a folder holds a picture of this name."""
    return any(path.stem == name for path in images_of(folder / "images"))


def mask_files(folder: Path) -> list[Path]:
    """The masks of one image's folder, by name: the order in which nuclei are numbered."""
    return images_of(folder / "masks")


@dataclass(frozen=True)
class Nuclei:
    """The nuclei of one image; `kaggle_cells` makes it.

    cells    (H, W) int32, numbered from 1 in the order of their files
    notes    what is odd about the masks
    colours  the name of every mask and how viewers show its numbers
    """

    cells: np.ndarray
    notes: list[str]
    colours: list[tuple[str, Colours]]


def kaggle_cells(folder: Path, shape: tuple[int, int]) -> Nuclei:
    """The nuclei in masks/ of a folder, of an image of shape (H, W).

    Where masks overlap, the later file wins the pixel. Raises CunetError without a folder of masks,
    DataError for a mask of another size or one that holds more than one value beside 0.
    """
    if not (folder / "masks").is_dir():
        raise CunetError(
            f"'{folder}' has no masks/ with a PNG for every nucleus; expected the training set, "
            "stage1_train. The test set came without masks."
        )
    labels, overlap, empty = np.zeros(shape, np.int32), 0, 0
    files, notes = image_files(folder / "masks")
    colours, odd = [], list[str]()
    for number, path in enumerate(files, 1):
        read = read_label_file(path)
        colours.append((f"'{path}'", read.colours))
        if said := [*read.coded, *read.notes]:
            odd.append(f"{path.name}: {'; '.join(said)}")
        mask = read.pages[0]
        if len(read.pages) != 1:
            raise DataError(
                f"mask '{path}' has {len(read.pages)} pages; expected one nucleus a file."
            )
        if mask.shape != tuple(shape):
            raise DataError(
                f"mask '{path}' is {mask.shape[0]} x {mask.shape[1]}; expected {shape[0]} x "
                f"{shape[1]} (height x width), as the image."
            )
        inside = mask > 0
        value = mask.max()
        if np.count_nonzero(mask == value) != np.count_nonzero(inside) and value > 0:
            other = mask[inside & (mask != value)][0]
            raise DataError(
                f"mask '{path}' holds {other} beside 0 and {value}; expected 0 and 255, one "
                "nucleus a file. Was it resized or saved with loss?"
            )
        overlap += int(np.count_nonzero(labels[inside]))
        empty += value == 0
        labels[inside] = number
    if odd:
        notes.append(some(odd, 1))
    if overlap:
        notes.append(f"{overlap} pixels lie in several masks; the last by name has them")
    if empty:
        notes.append(f"{empty} masks are empty")
    if hidden := len(files) - empty - np.count_nonzero(np.bincount(labels.ravel())[1:]):
        notes.append(f"{hidden} nuclei lie wholly below others and are lost")
    return Nuclei(labels, notes, colours)


def image_file(folder: Path) -> Path:
    """The one image of an image's folder. CunetError without, DataError where there are several."""
    files = images_of(folder / "images")
    if len(files) == 1:
        return files[0]
    if not files:
        raise CunetError(f"no file '{folder}/images/{folder.name}.png', the image of these masks.")
    raise DataError(
        f"'{folder / 'images'}' holds {len(files)} images, {files[0].name} and {files[1].name}; "
        "expected one. Keep one of them."
    )


def _read(name: str, folder: Path, file: Path) -> tuple[Slice, Nuclei, str]:
    """The slice of one id, its nuclei, and the hash of its files."""
    with open_image(file) as image:
        if image.pages != 1:
            raise DataError(f"'{file}' has {image.pages} pages; expected one image.")
        pixels, colours = image.read(0), colours_of(image, [np.zeros(1, np.uint8)])
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    nuclei = kaggle_cells(folder, pixels.shape[:2])
    labels = (nuclei.cells > 0).astype(np.uint8)
    digest = hashlib.sha256(file.read_bytes())
    for mask in mask_files(folder):
        digest.update(mask.read_bytes())
    masks = f"'{folder / 'masks'}'"
    one = Slice(name, pixels, labels, f"'{file}'", masks, colours)
    return one, nuclei, digest.hexdigest()


def _other_endings(folders: dict[str, Path], files: dict[str, Path]) -> list[str]:
    """A note on the images with files that do not end in .png, as those of the challenge do."""
    odd = [
        name
        for name, folder in folders.items()
        if any(path.suffix != ".png" for path in (files[name], *mask_files(folder)))
    ]
    return [f"files that do not end in .png are read too: {some(odd)}"] if odd else []


def _colours(images: list[np.ndarray]) -> str:
    """How many images are grey: of equal channels throughout."""
    grey = sum(bool((image == image[..., :1]).all()) for image in images)
    return f"{grey} images are grey, {len(images) - grey} coloured; all have 3 channels, no alpha"
