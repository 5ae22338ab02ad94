"""What was made of a volume is read by the commands that take probabilities."""

import csv

import numpy as np
import pytest
import tifffile
from skimage.measure import label
from small_volumes import TILE, small_net, small_volume, write_volume

import cunet
from cunet.errors import DataError
from cunet.files.ome_zarr.output import open_output
from cunet.segmentation.inputs import find_images, image_stem


@pytest.fixture(scope="module", params=["float32", "uint8"])
def output(request, tmp_path_factory):
    """An OME-Zarr of probabilities, stored in either way."""
    folder = tmp_path_factory.mktemp("read")
    write_volume(folder / "v.ome.zarr", small_volume())
    cunet.save(folder / "net.npz", small_net())
    out = folder / "cells.ome.zarr"
    settings = {"prob": request.param, "tile": TILE, "products": ("prob", "mask")}
    cunet.segment_volume(folder / "v.ome.zarr", out, folder / "net.npz", **settings)
    return out


def test_objects_of_its_sections(output, tmp_path, run):
    code, _, err = run("objects", output, "--products", "labels,table", "-o", tmp_path)
    assert code == 0, err
    prob = open_output(output)["image"][:]
    mask = prob > (0.5 if prob.dtype == np.float32 else 127)
    expected = np.stack([label(page, connectivity=1) for page in mask])
    np.testing.assert_array_equal(tifffile.imread(tmp_path / "cells_labels.tif"), expected)
    with open(tmp_path / "cells_table.csv", newline="") as file:
        rows = [row for row in csv.DictReader(line for line in file if line[0] != "#")]
    assert len(rows) == sum(int(page.max()) for page in expected)


def test_scores_of_its_probabilities(output):
    truth = open_output(output)["mask"][:].astype(bool)
    found = cunet.evaluate_pixels(output, output / "labels" / "mask")
    assert found["f1"] == 1 and found["accuracy"] == 1 and truth.any()


def test_a_label_image_is_no_probability(output, tmp_path):
    with pytest.raises(DataError, match="mask' is a label image.*give the image"):
        cunet.evaluate_pixels(output / "labels" / "mask", output / "labels" / "mask")


def test_a_folder_that_is_one_image(output):
    assert find_images([str(output)]) == [output]
    assert image_stem(output) == "cells"
