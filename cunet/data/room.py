"""Whether the slices of a data set are held in memory, or stay on disk and are read when they are
drawn."""

import os
from collections.abc import Sequence
from pathlib import Path

from cunet.data.layouts import Files
from cunet.files import open_image
from cunet.files.image_file import ImageFile
from cunet.files.ome_zarr import is_node

SHARE = 0.25  # of the machine's memory that slices may take
OME_ZARR = 1 << 30  # bytes that those of OME-Zarr may take, which is made for what is larger
PACKED = 40  # files of fewer bytes than the limit by this factor are held without a look
BESIDE = 9  # bytes a pixel: class id, weight, object number; and 4 a channel, normalised


def why_on_disk(files: Sequence[Files]) -> str:
    """Why slices are not held in memory, in a note; "" where they are.

    It depends on the files and on the machine, not on what memory is free: where samples are made
    by a GPU, that decides their noise.
    """
    paths = [path for one in files for path in (*one.images, one.labels)]
    zarr = any(map(is_node, paths))
    limit = most_held(zarr)
    if not zarr and PACKED * sum(path.stat().st_size for path in paths if path.exists()) < limit:
        return ""
    need = sum(_bytes(one) for one in files)
    if need <= limit:
        return ""
    of = "of OME-Zarr are held" if zarr and limit == OME_ZARR else "are held on this machine"
    return (
        f"slices are read when samples are drawn: in memory they would take about "
        f"{need / 1e9:.1f} GB, and at most {limit / 1e9:.1f} GB {of}; the processors make the "
        "samples, beside a GPU too"
    )


def most_held(zarr: bool) -> float:
    """The bytes that slices may take in memory."""
    share = SHARE * machine_memory()
    return min(share, OME_ZARR) if zarr else share


def machine_memory() -> float:
    """The bytes of this machine's memory, or of its container's; infinity where unknown."""
    try:
        found = float(os.sysconf("SC_PAGE_SIZE")) * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # another system than Linux or macOS
        return float("inf")
    try:
        return min(found, float(Path("/sys/fs/cgroup/memory.max").read_text()))
    except (OSError, ValueError):  # no container, or "max"
        return found


def _bytes(one: Files) -> float:
    """What the slices of an image and its labels take in memory, about."""
    size = 0.0
    with open_image(one.labels, indices=True) as labels:
        size += _pixels(labels) * (labels.dtype.itemsize + BESIDE)
    for path in one.images:
        with open_image(path) as image:
            size += _pixels(image) * image.channels * (image.dtype.itemsize + 4)
    return size


def _pixels(image: ImageFile) -> int:
    return image.pages * image.height * image.width
