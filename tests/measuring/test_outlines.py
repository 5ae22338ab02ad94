"""Outlines and ROIs cover exactly the pixels of their objects."""

import zipfile

import numpy as np
import pytest
import roifile
from label_scenes import blobs, scenes
from skimage.draw import polygon2mask

from cunet.errors import DeviceError
from cunet.measuring import rois
from cunet.measuring.outlines import outlines
from cunet.measuring.rois import RoiFile, place_of, rois_of


def covered(polygons, shape):
    """The pixels whose middles lie within an odd number of polygons of (x, y), by scikit-image."""
    inside = np.zeros(shape, bool)
    for corners in polygons:
        inside ^= polygon2mask(shape, np.asarray(corners, float)[:, ::-1] - 0.5)
    return inside


def signed_area(corners):
    """Above 0 where a polygon of (x, y) runs clockwise in a picture, whose y points down."""
    (x, y), (u, v) = corners.T.astype(float), np.roll(corners, -1, axis=0).T
    return (x * v - u * y).sum() / 2


@pytest.mark.parametrize(("name", "labels"), scenes().items(), ids=list(scenes()))
def test_polygons_cover_the_pixels_and_turn_at_every_corner(name, labels):
    found = dict(outlines(labels))
    assert list(found) == np.unique(labels[labels > 0]).tolist()
    for number, polygons in found.items():
        np.testing.assert_array_equal(covered(polygons, labels.shape), labels == number)
        assert sum(map(signed_area, polygons)) == np.count_nonzero(labels == number)
        for corners in polygons:
            steps = np.roll(corners, -1, axis=0) - corners
            assert (np.count_nonzero(steps, axis=1) == 1).all()  # along rows and columns ...
            assert ((steps != 0) != (np.roll(steps, -1, axis=0) != 0)).all()  # ... in turn


def test_one_polygon_for_each_piece_and_each_hole():
    found = dict(outlines(scenes()["a ring"]))
    assert [signed_area(p) > 0 for p in found[4]] == [True, False] and len(found[9]) == 1
    assert len(dict(outlines(scenes()["corners"]))[2]) == 3
    (closed,) = dict(outlines(scenes()["closed at a corner"]))[1]
    assert signed_area(closed) == 7
    square = dict(outlines(scenes()["everything"]))[1]
    assert sorted(map(tuple, square[0].tolist())) == [(0, 0), (0, 3), (4, 0), (4, 3)]


def written(path, labels, page=0, place=None, description="of a test"):
    file = RoiFile(path)
    file.add(rois_of(labels, page, place or {"position": page + 1}))
    file.close(description)
    return roifile.roiread(path)


@pytest.mark.parametrize(("name", "labels"), scenes().items(), ids=list(scenes()))
def test_the_regions_of_the_file_cover_the_pixels(tmp_path, name, labels):
    for roi in written(tmp_path / "a.zip", labels, 3):
        number = int(roi.name.removeprefix("page3_label"))
        pieces = [np.asarray(p) for p in roi.coordinates(multi=True)]
        np.testing.assert_array_equal(covered(pieces, labels.shape), labels == number)
        rows, columns = np.nonzero(labels == number)
        box = roi.left, roi.top, roi.right, roi.bottom
        assert box == (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert roi.position == 4
        one = len(pieces) == 1
        assert roi.roitype == (roifile.ROI_TYPE.TRACED if one else roifile.ROI_TYPE.RECT)
        assert roi.composite == (not one)


def test_the_file_is_the_same_every_time_and_says_what_it_is(tmp_path, monkeypatch):
    labels = blobs(60, 80)
    written(tmp_path / "a.zip", labels)
    monkeypatch.setattr("time.time", lambda: 2e9)
    written(tmp_path / "b.zip", labels)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
    with zipfile.ZipFile(tmp_path / "a.zip") as file:
        assert file.testzip() is None and file.comment == b"of a test"
        assert {e.date_time for e in file.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert file.namelist() == [f"page0_label{k}.roi" for k in range(1, labels.max() + 1)]
    assert written(tmp_path / "c.zip", np.zeros((3, 3), np.int32)) == []


def test_places_beyond_what_16_bits_hold(tmp_path):
    labels = np.zeros((4, 70_000), np.int32)
    labels[1:3, 66_000:69_000], labels[1, 5:40_000] = 1, 2
    for roi in written(tmp_path / "a.zip", labels):
        rows, columns = np.nonzero(labels == int(roi.name[len("page0_label") :]))
        x, y = roi.subpixel_coordinates.T  # as ImageJ takes them
        ends = [columns.min(), columns.max() + 1, rows.min(), rows.max() + 1]
        assert [x.min(), x.max(), y.min(), y.max()] == ends
        assert roi.subpixelresolution


def test_an_unfinished_file_leaves_nothing_and_a_full_disk_is_told(tmp_path, monkeypatch):
    file = RoiFile(tmp_path / "a.zip")
    file.add(rois_of(blobs(20, 20), 0, {}))
    file.discard()
    file.discard()
    file = RoiFile(tmp_path / "a.zip")

    def full(*rest):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(rois.zipfile.ZipFile, "writestr", full)
    with pytest.raises(DeviceError, match="a.zip"):
        file.add(rois_of(blobs(20, 20), 0, {}))
    assert list(tmp_path.iterdir()) == []


class Opened:
    """An open image of these axes."""

    def __init__(self, axes, channels=1, letters="YX"):
        self.page_axes, self.channels, self.axes = axes, channels, letters


@pytest.mark.parametrize(
    ("image", "page", "place"),
    [
        (Opened(()), 0, {"position": 1}),
        (Opened((("Z", 9),)), 4, {"position": 5}),
        (Opened((("T", 9),), 3, "TYXS"), 4, {"position": 5}),  # colours are one picture
        (Opened((("T", 9),), 2, "TCYX"), 4, {"t_position": 5}),
        (Opened((("T", 3), ("Z", 4)), 1, "TZYX"), 6, {"t_position": 2, "z_position": 3}),
        (Opened((("Z", 4), ("T", 3)), 1, "ZTYX"), 7, {"z_position": 3, "t_position": 2}),
        (Opened((), 2, "CYX"), 0, {}),
    ],
)
def test_the_place_in_the_stack(image, page, place):
    assert place_of(image, page) == place
