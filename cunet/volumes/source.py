"""The volume that is segmented, as every worker opens it: an OME-Zarr, or a stack in a TIFF file.

Its sections (Z) are the pages of the image, of which a task takes some or all.
"""

import hashlib
import os
from pathlib import Path
from typing import Any

from cunet.errors import CunetError, of_system
from cunet.files import open_image
from cunet.files.image_file import ImageFile
from cunet.files.ome_zarr import OmeZarrImage, is_node, open_ome_zarr
from cunet.files.pages import chosen_pages
from cunet.files.some_pages import SomePages
from cunet.net.unet import UNet
from cunet.segmentation.looks import kinds_in
from cunet.segmentation.segment_file import check_image
from cunet.segmentation.which_network import Choice, choice

_SAMPLE = 1 << 20  # bytes at each end of a file that is identified


def open_source(
    path: str | Path,
    level: int = 0,
    channel: int | None = None,
    time: int | None = None,
    sections: tuple[int, int] | None = None,
) -> ImageFile:
    """The volume, of which pages are sections; CunetError for a selection that it does not have."""
    if is_node(Path(path)):
        return open_ome_zarr(path, level, channel, time, sections)
    chosen = {"level": level or None, "channel": channel, "time": time}
    named = next((name for name, value in chosen.items() if value is not None), None)
    if named is not None:
        raise CunetError(f"--{named}: '{path}' is no OME-Zarr; leave it out")
    image = open_image(path)
    return image if sections is None else SomePages(image, *sections)


def network_for(path: str | Path, **selection: Any) -> Choice:
    """The network that comes with cunet for a volume, from a few windows of it; selection: as in
    open_source. CunetError where there is none."""
    with open_source(path, **selection) as image:
        return choice({str(path): kinds_in(image)})


def open_for(net: UNet, image: ImageFile) -> ImageFile:
    """The image as the network takes it, checked to be a volume."""
    times = dict(image.page_axes).get("T", 1)
    if times > 1:
        fix = f"give --time, from 0 to {times - 1}"
        if not isinstance(image, OmeZarrImage):  # a TIFF: one of several times cannot be named
            fix = "save the slices of one time (axes ZYX), or give --out a folder for all of them"
        raise CunetError(f"'{image.path}' has {times} times (axes {image.axes}): {fix}")
    if image.channels > 1 and net.shape.in_channels == 1 and isinstance(image, OmeZarrImage):
        raise CunetError(
            f"'{image.path}' has {image.channels} channels, the model was made for one: give "
            f"--channel, from 0 to {image.channels - 1}"
        )
    return check_image(image, net)


def sections_of(pages: str | None, image: ImageFile) -> tuple[int, int] | None:
    """The (first, last + 1) of the pages "10-19"; CunetError where they are not consecutive."""
    if pages is None:
        return None
    numbers = chosen_pages(pages, image)
    if numbers != list(range(numbers[0], numbers[-1] + 1)):
        raise CunetError(f"--pages {pages}: of a volume expected one range, as in 10-19")
    return numbers[0], numbers[-1] + 1


def identity(image: ImageFile) -> str:
    """What changes where the source is replaced: the metadata of an OME-Zarr and a sample of its
    middle section, the size and both ends of a file. All pixels are too many to be read for it."""
    stamp: dict[str, Any] = {
        "shape": [image.pages, image.height, image.width, image.channels],
        "dtype": str(image.dtype),
    }
    digest = hashlib.sha256(repr(stamp).encode())
    if image.path.is_dir():  # the metadata of all volumes of one maker may be the same
        digest.update(image.sample(image.pages // 2).tobytes())
    try:
        for path in _files(image.path):
            digest.update(path.name.encode())
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                digest.update(str(size).encode() + file.read(_SAMPLE))
                file.seek(max(0, size - _SAMPLE))
                digest.update(file.read(_SAMPLE))
    except OSError as error:
        raise of_system(error, f"cannot read '{image.path}'") from error
    return digest.hexdigest()[:16]


def _files(path: Path) -> list[Path]:
    """The file, or the metadata files at the top of a folder."""
    if not path.is_dir():
        return [path]
    names = ("zarr.json", ".zgroup", ".zattrs", ".zarray")
    return [p for folder in (path, path / "0") for name in names if (p := folder / name).is_file()]
