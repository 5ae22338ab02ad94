"""A folder with everything that the command lines of the documents name, in a few kilobytes."""

import numpy as np
import tifffile
from isbi_data import isbi_folder
from PIL import Image
from small_volumes import write_volume

import cunet
from cunet.data.synthetic import membranes


def grey(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(path, image, photometric="minisblack")


def discs(seed):
    """An image (48, 48) uint8 with two bright discs, and their numbers."""
    rng = np.random.default_rng(seed)
    image, numbers = rng.integers(0, 60, (48, 48), dtype=np.uint8), np.zeros((48, 48), np.uint16)
    rows, columns = np.ogrid[:48, :48]
    for number, centre in enumerate(((14, 14), (34, 32)), 1):
        inside = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < 80
        image[inside] += 120
        numbers[inside] = number
    return image, numbers


def everything(folder):
    """Data sets, images, a volume and networks of others; runs are made by the caller."""
    isbi_folder(folder / "isbi2012", slices=26, height=40, width=40)
    images, truth = membranes(3, 64, 64, seed=5)
    grey(folder / "isbi2012" / "test-volume.tif", images[:2])
    for name in ("big", "cells", "image"):
        grey(folder / f"{name}.tif", images[0])
    grey(folder / "truth.tif", truth[0])
    grey(folder / "cells_Probabilities.tif", np.float32(truth[0] / 255))
    for i, name in enumerate("abc"):
        grey(folder / "my-images" / "images" / f"{name}.tif", images[i])
        grey(folder / "my-images" / "labels" / f"{name}.tif", truth[i])
        grey(folder / "new-images" / f"{name}.tif", images[i])
    write_volume(folder / "brain.ome.zarr", images)
    cells(folder / "DIC-C2DH-HeLa", frames=(0, 1))
    cells(folder / "PhC-C2DH-U373", frames=(0, 1, 67), margin=40)
    nuclei(folder / "stage1_train", 5), nuclei(folder / "others", 2)
    volumes(folder)
    cunet.export(cunet.UNet(width=2, depth=4), folder / "phseg_v5.caffemodel")
    return folder


def cells(folder, frames, margin=0):
    """Two sequences of annotated frames, as the Cell Tracking Challenge has them."""
    for sequence in ("01", "02"):
        for frame in frames:
            image, numbers = (np.pad(page, margin) for page in discs(frame))
            grey(folder / sequence / f"t{frame:03}.tif", image)
            grey(folder / f"{sequence}_GT" / "SEG" / f"man_seg{frame:03}.tif", numbers)


def volumes(folder):
    """Five sections with numbered neurons, as ISBI 2013 has them, and the EPFL's two volumes."""
    images, numbers = (np.stack(pages) for pages in zip(*map(discs, range(5)), strict=True))
    grey(folder / "snemi3d" / "train-input.tif", images)
    grey(folder / "snemi3d" / "train-labels.tif", numbers)
    for part in ("training", "testing"):
        grey(folder / "epfl" / f"{part}.tif", images)
        grey(folder / "epfl" / f"{part}_groundtruth.tif", np.uint8(255 * (numbers > 0)))


def nuclei(folder, count):
    """Images with a mask for each nucleus, as the Data Science Bowl 2018 has them."""
    for i in range(count):
        image, numbers = discs(i)
        place = folder / f"image{i}"
        for part in ("images", "masks"):
            (place / part).mkdir(parents=True)
        Image.fromarray(image).convert("RGBA").save(place / "images" / f"image{i}.png")
        for number in (1, 2):
            mask = np.uint8(255 * (numbers == number))
            Image.fromarray(mask).save(place / "masks" / f"{number}.png")
