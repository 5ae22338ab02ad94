"""cunet.objects: probabilities, masks and labels as arrays."""

import csv

import numpy as np
import pytest
import tifffile
from bright_net import bright
from label_scenes import blobs
from skimage.measure import label, regionprops_table

import cunet
from cunet.errors import DataError
from cunet.segmentation.instances import Instances
from cunet.segmentation.objects import find


def test_a_probability_gives_what_segment_writes(run, tmp_path):
    cells = np.random.default_rng(0).choice(np.array([0, 100], np.uint8), (12, 15))
    image = cells.repeat(4, axis=0).repeat(4, axis=1)
    net, path = bright(), tmp_path / "a.tif"
    cunet.save(tmp_path / "net.npz", net)
    tifffile.imwrite(path, image, imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    command = ("segment", path, "--model", tmp_path / "net.npz", "--out", tmp_path)
    code, _, err = run(*command, "--products", "labels,table", "--min-area", 20)
    assert code == 0, err
    probability = cunet.segment(image, net)
    for found in (probability, probability[..., 1], probability[..., 1] > 0.5):
        labels, table = cunet.objects(found, image, pixel_size=0.25, min_area=20)
        np.testing.assert_array_equal(labels, tifffile.imread(tmp_path / "a_labels.tif"))
        with open(tmp_path / "a_table.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert [*rows[0]] == ["page", *table, "made_by"]
        assert len(rows) == len(table["label"]) > 3
        for name, column in table.items():
            if name == "touches_border":
                assert [row[name] == "true" for row in rows] == column.tolist()
            else:
                assert [float(row[name]) for row in rows] == column.tolist(), name


def test_labels_keep_their_numbers():
    labels = blobs(40, 50)
    sparse = np.where(labels > 0, labels * 1_000_003, 0).astype(np.uint32)
    image = np.random.default_rng(1).random((40, 50, 3))
    _, table = cunet.objects(labels, image)
    kept, same = cunet.objects(sparse, image)
    assert kept.dtype == np.int32 and np.array_equal(kept, sparse)
    assert np.array_equal(same["label"], table["label"] * 1_000_003)
    for name in table.keys() - {"label"}:
        np.testing.assert_array_equal(same[name], table[name])
    peer = regionprops_table(labels, image, ["area", "intensity_mean"])
    assert np.array_equal(table["area"], peer["area"])
    assert np.allclose(table["mean_intensity_c2"], peer["intensity_mean-2"])
    _, full = cunet.objects(np.full((2, 3), 10**6))  # no pixel is 0
    assert full["label"].tolist() == [10**6] and full["area"].tolist() == [6]


def test_options_are_those_of_instances():
    probability = np.random.default_rng(2).random((30, 40)).repeat(3, axis=0).repeat(3, axis=1)
    labels, table = cunet.objects(
        probability, threshold=0.4, instances="watershed", connectivity=8, min_area=30,
        fill_holes=True, border=2,
    )  # fmt: skip
    expected = find(probability > 0.4, Instances("watershed", 8, 30, True, 2))
    np.testing.assert_array_equal(labels, expected)
    assert len(table["label"]) == labels.max() and "mean_intensity" not in table
    mask = probability > 0.4
    np.testing.assert_array_equal(cunet.objects(mask)[0], label(mask, connectivity=1))


NOTHING = np.zeros((4, 5))


@pytest.mark.parametrize(
    ("found", "more", "error", "words"),
    [
        (np.zeros((4, 5, 3)), {}, cunet.CunetError, r"found float64 \(4, 5, 3\)"),
        (np.zeros((4, 5, 2), int), {}, cunet.CunetError, "of integers, found int64"),
        (np.zeros((0, 5)), {}, cunet.CunetError, "objects: expected a probability"),
        (np.array([["a"]]), {}, cunet.CunetError, "objects: expected a probability"),
        (NOTHING + 2, {}, DataError, "from 0 to 1, found 2.0 to 2.0; labels are integers"),
        (NOTHING * np.nan, {}, DataError, "from 0 to 1, found nan"),
        (np.full((4, 5), -1), {}, DataError, "labels from 0 to 2147483647, found -1"),
        (np.full((4, 5), 2**40), {}, DataError, "labels from 0 to 2147483647"),
        (np.full((4, 5), 255, "u1"), {}, DataError, "a mask of 0 and 255.*give found > 0"),
        (np.ones((4, 5), int), {"min_area": 3}, cunet.CunetError, "without min area 3"),
        (NOTHING, {"threshold": 2}, cunet.CunetError, "threshold: expected a number from 0 to 1"),
        (NOTHING, {"instances": "x"}, cunet.CunetError, "instances: expected one of"),
        (NOTHING, {"pixel_size": 0}, cunet.CunetError, "pixel_size"),
        (NOTHING, {"image": np.zeros((5, 4))}, cunet.CunetError, "an image of 4 x 5 pixels"),
        (NOTHING, {"image": NOTHING * 1j}, cunet.CunetError, "an image of real numbers"),
        (NOTHING, {"image": NOTHING * np.nan}, DataError, "objects: the image holds NaN"),
    ],
)
def test_what_is_no_object(found, more, error, words):
    with pytest.raises(error, match=words):
        cunet.objects(found, **more)
