"""Small data sets in the layout of the ISBI 2012 challenge."""

import tifffile

from cunet.data.synthetic import membranes


def isbi_folder(folder, slices=4, height=64, width=64, seed=3):
    """The folder, made where it is missing, with synthetic membranes and their labels."""
    folder.mkdir(exist_ok=True)
    images, labels = membranes(slices, height, width, seed)
    for name, pages in (("train-volume.tif", images), ("train-labels.tif", labels)):
        tifffile.imwrite(folder / name, pages, photometric="minisblack")
    return folder
