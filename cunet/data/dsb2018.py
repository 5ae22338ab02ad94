"""The Data Science Bowl 2018's layout (Caicedo et al. 2019): a folder per image.

    stage1_train/<id>/images/<id>.png     the picture
    stage1_train/<id>/masks/*.png         0 and 255, one file for every nucleus

The pictures are RGBA files of many sizes, most of them grey, some of stained tissue; all are read
as 3 channels. H W: height and width of one image.
"""

import hashlib
import warnings
from pathlib import Path

import numpy as np

from cunet.data.dataset import Dataset, Slice, checked, listing, shares
from cunet.data.labels import read_labels
from cunet.errors import CunetError, DataError
from cunet.files import open_image
from cunet.threads import parallel

CLASS_NAMES = ("background", "nucleus")
MAX_MASK_NOTES = 5  # notes on odd masks that are shown


def matches(folder: Path) -> bool:
    """Whether the folder is meant to have this layout; it need not have masks."""
    folders = image_folders(folder)
    return any((path / "images" / f"{name}.png").is_file() for name, path in folders.items())


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
    files = {name: _image_file(path) for name, path in folders.items()}
    found: dict[str, tuple] = {}

    def read(name: str) -> None:
        found[name] = _read(name, folders[name], files[name])

    # PngImage changes the filters of warnings, which all threads share; they are restored here.
    with warnings.catch_warnings():
        parallel(read, folders)
    slices, instances, hashes, remarks = zip(*(found[name] for name in folders), strict=True)
    images, labels, _, summary = checked(slices)
    counts = [len(np.unique(cells[cells > 0])) for cells in instances]
    odd = [f"{name}: {note}" for name, part in zip(folders, remarks, strict=True) for note in part]
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
        instances=list(instances),
    )


def image_folders(folder: Path) -> dict[str, Path]:
    """Image id -> its folder, by id: of stage1_train, of what holds it, or of one image itself.

    A folder inside counts if it holds images/ or masks/. Empty where none does.
    """
    if (folder / "stage1_train").is_dir():
        folder = folder / "stage1_train"
    resolved = folder.resolve()
    if (folder / "masks").is_dir() and (folder / "images" / f"{resolved.name}.png").is_file():
        return {resolved.name: folder}
    return {
        path.name: path
        for path in sorted(folder.iterdir())
        if (path / "images").is_dir() or (path / "masks").is_dir()
    }


def mask_files(folder: Path) -> list[Path]:
    """The masks of one image's folder, by name: the order in which nuclei are numbered."""
    return sorted(p for p in (folder / "masks").glob("*.png") if not p.name.startswith("."))


def kaggle_cells(folder: Path, shape: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    """The nuclei of one image, numbered from 1 in the order of their files: (H, W) int32, notes.

    folder holds masks/*.png, shape is the image's (H, W). Where masks overlap, the later file wins
    the pixel. Raises CunetError without a folder of masks, DataError for a mask of another size or
    one that holds more than one value beside 0.
    """
    if not (folder / "masks").is_dir():
        raise CunetError(
            f"'{folder}' has no masks/ with a PNG for every nucleus; expected the training set, "
            "stage1_train. The test set came without masks."
        )
    labels, overlap, empty, files = np.zeros(shape, np.int32), 0, 0, mask_files(folder)
    for number, path in enumerate(files, 1):
        pages, _ = read_labels(path)
        mask = pages[0]
        if mask.shape != tuple(shape):
            raise DataError(
                f"mask '{path}' is {mask.shape[0]} x {mask.shape[1]}; expected {shape[0]} x "
                f"{shape[1]} (height x width), as the image."
            )
        inside = mask > 0
        value = mask.max()
        if np.count_nonzero(mask == value) != np.count_nonzero(inside) and value > 0:
            odd = mask[inside & (mask != value)][0]
            raise DataError(
                f"mask '{path}' holds {odd} beside 0 and {value}; expected 0 and 255, one nucleus "
                "a file. Was it resized or saved with loss?"
            )
        overlap += int(np.count_nonzero(labels[inside]))
        empty += value == 0
        labels[inside] = number
    notes = []
    if overlap:
        notes.append(f"{overlap} pixels lie in several masks; the last by name has them")
    if empty:
        notes.append(f"{empty} masks are empty")
    if hidden := len(files) - empty - np.count_nonzero(np.bincount(labels.ravel())[1:]):
        notes.append(f"{hidden} nuclei lie wholly below others and are lost")
    return labels, notes


def _image_file(folder: Path) -> Path:
    """The one image of a folder."""
    files = sorted(p for p in (folder / "images").glob("*.png") if not p.name.startswith("."))
    if len(files) == 1:
        return files[0]
    if not files:
        raise CunetError(f"no file '{folder}/images/{folder.name}.png', the image of these masks.")
    raise DataError(
        f"'{folder / 'images'}' holds {len(files)} images, {files[0].name} and {files[1].name}; "
        "expected one. Keep one of them."
    )


def _read(name: str, folder: Path, file: Path) -> tuple[Slice, np.ndarray, str, list[str]]:
    """The slice of one id, its nuclei (H, W), the hash of its files, and notes on its masks."""
    with open_image(file) as image:
        pixels = image.read(0)
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    cells, notes = kaggle_cells(folder, pixels.shape[:2])
    labels = (cells > 0).astype(np.uint8)
    digest = hashlib.sha256(file.read_bytes())
    for mask in mask_files(folder):
        digest.update(mask.read_bytes())
    masks = f"'{folder / 'masks'}'"
    return Slice(name, pixels, labels, f"'{file}'", masks), cells, digest.hexdigest(), notes


def _colours(images: list[np.ndarray]) -> str:
    """How many images are grey: of equal channels throughout."""
    grey = sum(bool((image == image[..., :1]).all()) for image in images)
    return f"{grey} images are grey, {len(images) - grey} coloured; all have 3 channels, no alpha"
