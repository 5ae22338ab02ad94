"""The same slices as files and as OME-Zarr, held in memory or left on disk."""

import numpy as np
import ome_zarr_files
import tifffile

from cunet.data import room

HELD, ON_DISK = float("inf"), -1.0


def leave(monkeypatch, most=ON_DISK):
    """Data sets that take more bytes than `most` stay on disk from now on."""
    monkeypatch.setattr(room, "most_held", lambda zarr: most)


def discs(height, width, first=1, step=14):
    """Numbered objects of different sizes (height, width) uint16, of which neighbours touch."""
    page = np.zeros((height, width), np.uint16)
    number = first
    for row in range(2, height - step, step):
        for column in range(2, width - step, step):
            page[row : row + step - number % 4, column : column + step - number % 3] = number
            number += 1
    return page


def images(count=4, height=70, width=61, channels=1, dtype=np.uint8, seed=0):
    """Noise (count, height, width, channels)."""
    noise = np.random.default_rng(seed).random((count, height, width, channels)) * 200
    return noise.astype(dtype)


def masks(count=4, height=70, width=61):
    """Masks of 0 and 255, one unlike the other."""
    return np.array([(discs(height, width) % (i + 2) > 0) * 255 for i in range(count)], np.uint8)


def cells(count=4, height=70, width=61):
    """Object numbers, other ones in every slice."""
    return np.array([discs(height, width, 1 + 7 * i) for i in range(count)])


def tiffs(folder, pixels, labels):
    """images/ and labels/ with a TIFF of each slice: plain, compressed, and in tiles."""
    kinds = ({}, {"compression": "zlib", "rowsperstrip": 9}, {"tile": (16, 32)})
    for kind, pages in (("images", pixels), ("labels", labels)):
        (folder / kind).mkdir(parents=True)
        for i, page in enumerate(pages):
            colour = page.ndim == 3 and page.shape[2] == 3
            page = page[..., 0] if page.ndim == 3 and page.shape[2] == 1 else page
            how = kinds[i % 3] | {"photometric": "rgb" if colour else "minisblack"}
            tifffile.imwrite(folder / kind / f"a{i}.tif", page, **how)
    return folder


def ome_zarr(folder, pixels, labels, chunk=(1, 16, 32), names=("cells",)):
    """One OME-Zarr image with label images of these names."""
    values = np.ascontiguousarray(np.moveaxis(pixels, 3, 0))
    ome_zarr_files.image(folder, values, "czyx", chunks=(1, *chunk))
    ome_zarr_files.group(folder / "labels", {"ome": {"version": "0.5", "labels": [*names]}})
    for name in names:
        ome_zarr_files.image(folder / "labels" / name, labels, "zyx", chunks=chunk)
    return folder
