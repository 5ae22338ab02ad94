"""The table of objects: by hand, against scikit-image, and whatever the strips."""

import numpy as np
import pytest
from label_scenes import blobs, scenes
from skimage.measure import perimeter, regionprops

from cunet.measuring import table
from cunet.measuring.scale import Scale
from cunet.measuring.table import measure


def reader(image):
    return lambda r0, r1: image[r0:r1]


def test_a_rectangle_by_hand():
    labels = np.zeros((10, 12), np.int32)
    labels[2:6, 3:9] = 5
    image = np.arange(120, dtype=np.uint8).reshape(10, 12, 1)
    found = measure(labels, Scale(0.5, 0.5, "um"), reader(image))
    diameter = 2 * np.sqrt(24 / np.pi)
    expected = {
        "label": 5, "area": 24, "area_um2": 6.0, "x": 6.0, "y": 4.0, "x_um": 3.0, "y_um": 2.0,
        "box_x": 3, "box_y": 2, "box_width": 6, "box_height": 4,
        "box_x_um": 1.5, "box_y_um": 1.0, "box_width_um": 3.0, "box_height_um": 2.0,
        "equivalent_diameter": diameter, "equivalent_diameter_um": diameter / 2,
        "perimeter": 16.0, "perimeter_um": 8.0,  # through the middles: 2 * (5 + 3)
        "eccentricity": np.sqrt(1 - (4**2 - 1) / (6**2 - 1)), "touches_border": False,
        "mean_intensity": 47.5, "min_intensity": 27, "max_intensity": 68,
    }  # fmt: skip
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert found[name].shape == (1,) and found[name][0] == pytest.approx(value, rel=1e-12), name
    assert found["touches_border"].dtype == bool and found["max_intensity"].dtype == np.uint8
    assert labels[int(found["y"][0]), int(found["x"][0])] == 5


@pytest.mark.parametrize(("name", "labels"), scenes().items(), ids=list(scenes()))
@pytest.mark.parametrize("scale", [Scale(), Scale(0.5, 0.5, "nm"), Scale(0.5, 1.25, "um")])
def test_the_measures_are_those_of_scikit_image(name, labels, scale):
    image = np.random.default_rng(1).integers(0, 60000, (*labels.shape, 2)).astype(np.uint16)
    found = measure(labels, scale, reader(image))
    peers = regionprops(labels, image)
    spaced = regionprops(labels, image, spacing=(scale.height, scale.width))
    assert found["label"].tolist() == [peer.label for peer in peers]
    height, width = labels.shape
    for k, (peer, true) in enumerate(zip(peers, spaced, strict=True)):
        row = {name: column[k] for name, column in found.items()}
        assert row["area"] == peer.area
        assert (row["y"] - 0.5, row["x"] - 0.5) == pytest.approx(peer.centroid, abs=1e-9)
        top, left, bottom, right = peer.bbox
        box = left, top, right - left, bottom - top
        assert tuple(row[f"box_{n}"] for n in ("x", "y", "width", "height")) == box
        assert row["equivalent_diameter"] == pytest.approx(peer.equivalent_diameter_area)
        assert row["perimeter"] == pytest.approx(peer.perimeter)
        assert row["perimeter"] == pytest.approx(perimeter(peer.image, neighborhood=4))
        assert row["eccentricity"] == pytest.approx(true.eccentricity, abs=1e-6)
        assert row["touches_border"] == (0 in (top, left) or bottom == height or right == width)
        for c in (0, 1):
            assert row[f"mean_intensity_c{c}"] == pytest.approx(peer.intensity_mean[c], rel=1e-12)
            assert row[f"min_intensity_c{c}"] == peer.intensity_min[c]
            assert row[f"max_intensity_c{c}"] == peer.intensity_max[c]
        if scale.unit:
            assert row[f"area_{scale.unit}2"] == pytest.approx(true.area)
            assert row[f"equivalent_diameter_{scale.unit}"] == pytest.approx(
                true.equivalent_diameter_area
            )
            assert row[f"x_{scale.unit}"] == pytest.approx(row["x"] * scale.width)
            assert row[f"box_height_{scale.unit}"] == row["box_height"] * scale.height
        if scale.square and scale.unit:
            assert row[f"perimeter_{scale.unit}"] == pytest.approx(true.perimeter)
    columns = {c for c in found if c.startswith("perimeter_")}
    assert columns == ({f"perimeter_{scale.unit}"} if scale.square and scale.unit else set())


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4", "f8", "?"])
def test_no_number_depends_on_the_strips(monkeypatch, dtype):
    labels = blobs(70, 40)
    values = np.random.default_rng(2).integers(-90, 90, (70, 40, 1))
    image = (values > 0) if dtype == "?" else values.astype(dtype)
    whole = measure(labels, Scale(0.3, 0.7, "um"), reader(image))
    monkeypatch.setattr(table, "STRIP", 1)
    for name, column in measure(labels, Scale(0.3, 0.7, "um"), reader(image)).items():
        np.testing.assert_array_equal(column, whole[name], err_msg=name)
    for k, number in enumerate(whole["label"]):
        own = image[labels == number].astype(float)
        assert whole["mean_intensity"][k] == pytest.approx(own.mean())
        assert (whole["min_intensity"][k], whole["max_intensity"][k]) == (own.min(), own.max())


def test_moments_of_a_large_object_far_from_the_corner_are_exact():
    labels = np.zeros((40, 90_000), np.int32)
    labels[10:13, 89_990:89_993] = 1
    labels[20:22, :] = 2
    found = measure(labels)
    assert found["eccentricity"][0] == 0 and found["x"][0] == 89_991.5
    assert found["eccentricity"][1] == pytest.approx(np.sqrt(1 - 3 / (90_000**2 - 1)), abs=1e-15)


def test_without_objects_the_columns_are_there():
    found = measure(np.zeros((5, 6), np.int32), Scale(2, 2, "nm"), reader(np.ones((5, 6, 1), "f4")))
    assert all(len(column) == 0 for column in found.values())
    assert {"label", "area_nm2", "perimeter_nm", "mean_intensity"} <= found.keys()
