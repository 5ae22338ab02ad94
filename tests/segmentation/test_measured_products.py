"""The products table and rois of `segment_file`: the objects of labels, as numbers and outlines."""

import csv

import numpy as np
import pytest
import roifile
import tifffile
from bright_net import bright
from skimage.measure import regionprops

from cunet.errors import CunetError, DataError
from cunet.files import open_image, read_description
from cunet.segmentation.how import How
from cunet.segmentation.inputs import target_paths
from cunet.segmentation.instances import Instances
from cunet.segmentation.objects import find
from cunet.segmentation.segment_file import segment_file

PIXELS = {"imagej": True, "resolution": (4, 4), "metadata": {"axes": "ZYX", "unit": "um"}}
ALL = ["labels", "table", "rois", "mask", "overlay"]


def pages_of(count=3, seed=0):
    """Pages (n, 48, 60) uint8 of dark, bright and very bright squares."""
    rng = np.random.default_rng(seed)
    cells = rng.choice(np.array([0, 0, 100, 200], np.uint8), (count, 12, 15))
    return cells.repeat(4, axis=1).repeat(4, axis=2)


def made(folder, pages, net, products=ALL, chosen=None, options=PIXELS, **how):
    """Write the pages, segment them, and return (summary, path of each product)."""
    folder.mkdir(exist_ok=True)
    tifffile.imwrite(folder / "a.tif", pages, photometric="minisblack", **options)
    paths = target_paths(folder / "a.tif", folder, products, 1)
    with open_image(folder / "a.tif") as image:
        return segment_file(image, net, paths, How(tile=60, **how), chosen), paths


def rows_of(path):
    with open(path, newline="", encoding="ascii") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    "instances", [Instances(), Instances("watershed", 8, 20), Instances(fill_holes=True)]
)
def test_table_and_rois_hold_the_objects_of_labels(tmp_path, instances):
    pages = pages_of()
    done, paths = made(tmp_path, pages, bright(), chosen=[0, 2], instances=instances)
    labels = tifffile.imread(paths["labels"])
    np.testing.assert_array_equal(labels, [find(pages[k] > 50, instances) for k in (0, 2)])
    rows, rois = rows_of(paths["table"]), roifile.roiread(paths["rois"])
    assert done.objects == len(rows) == len(rois) == sum(int(page.max()) for page in labels)
    expected = [
        (page, peer) for number, page in enumerate((0, 2))
        for peer in regionprops(labels[number].astype(int), pages[page])
    ]  # fmt: skip
    for row, roi, (page, peer) in zip(rows, rois, expected, strict=True):
        assert (int(row["page"]), int(row["label"])) == (page, peer.label)
        assert roi.name == f"page{page}_label{peer.label}" and roi.position == page + 1
        assert int(row["area"]) == peer.area
        assert float(row["area_um2"]) == peer.area / 16
        assert float(row["mean_intensity"]) == pytest.approx(peer.intensity_mean)
        assert (roi.top, roi.left) == peer.bbox[:2]
    text = How(instances=instances).text("labels")
    assert read_description(paths["table"]) == read_description(paths["rois"]) == text


def test_objects_of_several_classes_have_the_class_of_their_pixels(tmp_path):
    pages = pages_of(1)
    pages[0, :4] = pages[0, 8:12, :4] = 0
    pages[0, :40, 40:] = 200
    pages[0, 8:20, 44:56] = 100
    pages[0, 12:16, 48:52] = 0  # filled: then of no class, and more than the ring around it
    for instances in (Instances(), Instances(fill_holes=True, min_area=5)):
        _, paths = made(tmp_path, pages, bright(3), instances=instances)
        labels, rows = tifffile.imread(paths["labels"]), rows_of(paths["table"])
        assert list(rows[0])[:3] == ["page", "label", "class"]
        assert {row["class"] for row in rows} == {"1", "2"}
        for row in rows:
            classes = np.unique(pages[0][labels == int(row["label"])] // 100)
            assert int(row["class"]) in classes
            if not instances.fill_holes:
                assert classes.tolist() == [int(row["class"])]
        (paths["table"]).unlink()


def test_no_object_gives_a_header_alone_and_an_empty_zip(tmp_path):
    done, paths = made(tmp_path, np.zeros((2, 40, 44), np.uint8), bright())
    assert done.objects == 0 and roifile.roiread(paths["rois"]) == []
    text = paths["table"].read_bytes()
    assert text.startswith(b"page,label,area,area_um2,x,y,x_um,") and text.count(b"\r\n") == 1


def test_pixels_that_are_not_square_are_said(tmp_path):
    options = PIXELS | {"resolution": (4, 2)}
    done, paths = made(tmp_path, pages_of(), bright(), ["table"], options=options)
    assert any("not square (0.25 x 0.5 um, width x height)" in text for text in done.warnings)
    row = rows_of(paths["table"])[0]
    assert "perimeter" in row and "perimeter_um" not in row
    assert float(row["area_um2"]) == int(row["area"]) / 8


def test_channels_are_measured_one_by_one(tmp_path):
    pages = np.stack([255 - pages_of(1)[0], pages_of(1)[0]])[None]
    options = {"imagej": True, "metadata": {"axes": "ZCYX"}}
    _, paths = made(tmp_path, pages, bright(2, 2), ["table", "rois", "labels"], options=options)
    labels = tifffile.imread(paths["labels"])
    for row in rows_of(paths["table"]):
        own = labels == int(row["label"])
        for c in (0, 1):
            assert float(row[f"mean_intensity_c{c}"]) == pytest.approx(pages[0, c][own].mean())
    roi = roifile.roiread(paths["rois"])[0]
    assert (roi.position, roi.c_position) == (0, 0)  # of all channels


def test_an_error_leaves_no_file(tmp_path):
    pages = pages_of().astype(np.float32)
    pages[2, 30, 30] = np.nan
    with pytest.raises(DataError, match="page 2 holds NaN"):
        made(tmp_path, pages, bright())
    assert [path.name for path in tmp_path.iterdir()] == ["a.tif"]


def test_names_that_are_given(tmp_path):
    file = tmp_path / "a.tif"
    assert target_paths(file, "t.csv", ["table"], 1)["table"].name == "t.csv"
    assert target_paths(file, "t.ZIP", ["rois"], 1)["rois"].name == "t.ZIP"
    for out, product, words in (
        ("t.png", "table", "a table is a CSV file; use a name ending in .csv"),
        ("t.tif", "rois", "ROIs are a zip file; use a name ending in .zip"),
        ("t.csv", "mask", "mask is an image; use a name ending in .tif"),
        ("t.zip", "table", "a table is a CSV file"),
        ("t.tif", "overlay", "an overlay is a PNG; use a name ending in .png"),
    ):
        with pytest.raises(CunetError, match=words):
            target_paths(file, out, [product], 1)
    with pytest.raises(
        CunetError, match="one image and one product .found 1 and 2.*--products tab"
    ):
        target_paths(file, "t.csv", ["prob", "mask"], 1)
