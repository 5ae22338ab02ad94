"""The layout of the EPFL's mitochondria: two volumes, and every wrong file."""

import hashlib

import numpy as np
import pytest
import tifffile

from cunet.data.load import load
from cunet.data.resize import resized
from cunet.errors import CunetError, DataError
from cunet.segmentation.next_command import segment_command
from cunet.training.config import Config
from cunet.training.held_out import split

NAMES = ("training.tif", "training_groundtruth.tif", "testing.tif", "testing_groundtruth.tif")


def grey(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 200, shape).astype(np.uint8)


def masks(pages, height=20, width=30, high=255):
    """A box in every section."""
    found = np.zeros((pages, height, width), np.uint8)
    for i in range(pages):
        found[i, 3 + i : 12 + i, 4:15] = high
    return found


def volumes(folder, names=NAMES, **changed):
    """Both volumes; `changed` are arrays in the place of files, by stem."""
    folder.mkdir(exist_ok=True)
    arrays = {
        "training": grey(3, 20, 30),
        "training_groundtruth": masks(3),
        "testing": grey(2, 20, 30, seed=1),
        "testing_groundtruth": masks(2),
    } | changed
    for name in names:
        stem = name.rpartition(".")[0].lower()
        tifffile.imwrite(folder / name, arrays[stem], photometric="minisblack")
    return folder


def refused(folder, error, *words, **given):
    with pytest.raises(error) as caught:
        load(folder, **given)
    for word in words:
        assert word in str(caught.value), str(caught.value)
    assert "\n" not in str(caught.value)


def test_both_volumes_are_read_page_by_page(tmp_path):
    data = load(volumes(tmp_path))
    assert data.kind == "epfl" and data.class_names == ("background", "mitochondrion")
    assert data.slice_names == (*(f"training/{i:03}" for i in range(3)), "testing/000",
                                "testing/001")  # fmt: skip
    pixels = np.concatenate([grey(3, 20, 30), grey(2, 20, 30, seed=1)])
    np.testing.assert_array_equal(np.stack(data.images)[..., 0], pixels)
    truth = np.concatenate([masks(3, high=1), masks(2, high=1)])
    np.testing.assert_array_equal(np.stack(data.labels), truth)
    for name in NAMES:
        assert data.hashes[name] == hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    said = " ".join(data.notes)
    assert f"{100 * truth.mean():.1f} % of the pixels" in said and "--hold-out testing" in said


def test_the_testing_volume_can_be_held_out(tmp_path):
    data = load(volumes(tmp_path))
    config = Config(data=str(tmp_path), hold_out="testing")
    assert split(config, data.slice_names) == ([0, 1, 2], [3, 4])
    assert str(tmp_path / "testing.tif") in segment_command(str(tmp_path), "r", "testing", [3, 4])


def test_the_training_volume_alone(tmp_path):
    data = load(volumes(tmp_path, names=NAMES[:2]))
    assert len(data.images) == 3 and "testing" not in " ".join(data.notes)
    command = segment_command(str(tmp_path), "r", None, [0, 2])
    assert str(tmp_path / "training.tif") in command and "--pages 0,2" in command
    data = load(volumes(tmp_path / "b", names=NAMES[:3]))
    assert len(data.images) == 3 and any("is not read" in note for note in data.notes)


def test_names_in_any_spelling(tmp_path):
    names = ("Training.TIFF", "training_Groundtruth.tiff", "TESTING.tif", "testing_groundtruth.TIF")
    data = load(volumes(tmp_path, names=names))
    assert data.kind == "epfl" and set(data.hashes) == set(names) and len(data.images) == 5


def test_files_that_are_missing_or_of_another_name(tmp_path):
    refused(volumes(tmp_path / "a", names=NAMES[1:]), CunetError, "no file", "training.tif'",
            "testing_groundtruth.tif", "rename")  # fmt: skip
    refused(volumes(tmp_path / "b", names=NAMES[2:]), CunetError, "training.tif'")
    refused(volumes(tmp_path / "c", names=(*NAMES[:2], NAMES[3])), CunetError, "testing.tif'")
    folder = volumes(tmp_path / "d", names=NAMES[:2])
    (folder / NAMES[1]).rename(folder / "training_truth.tif")
    refused(folder, CunetError, "training_groundtruth.tif", "found training.tif, training_truth")
    refused(folder, CunetError, "no file", "training_groundtruth.tif'", kind="epfl")


def test_pages_and_sizes_that_do_not_fit(tmp_path):
    few = volumes(tmp_path / "a", training_groundtruth=masks(2))
    refused(few, DataError, "training_groundtruth.tif", "2 against 3")
    few = volumes(tmp_path / "b", testing_groundtruth=masks(3))
    refused(few, DataError, "testing_groundtruth.tif", "3 against 2")
    large = volumes(tmp_path / "c", testing_groundtruth=masks(2, width=31))
    refused(large, DataError, "testing_groundtruth.tif' page 0", "20 x 31", "20 x 30")


def test_volumes_of_two_sizes_are_read_and_scaled_to_one(tmp_path):
    other = {"testing": grey(2, 24, 26), "testing_groundtruth": masks(2, 24, 26)}
    data = load(volumes(tmp_path, **other))
    assert data.images[0].shape == (20, 30, 1) and data.images[4].shape == (24, 26, 1)
    scaled = resized(data, 32)
    assert {image.shape for image in scaled.images} == {(32, 32, 1)}
    for before, after in zip(data.labels, scaled.labels, strict=True):
        assert after.shape == (32, 32) and abs(before.mean() - after.mean()) < 0.03


def test_numbered_mitochondria_where_they_are_asked_for(tmp_path):
    numbers = masks(3, high=1)
    numbers[:, 14:18, 20:28] = 2
    folder = volumes(tmp_path, names=NAMES[:2], training_groundtruth=numbers)
    data = load(folder, meaning="instances")
    assert [page.max() for page in data.instances] == [2, 2, 2] and len(data.class_names) == 2
    np.testing.assert_array_equal(np.stack(data.labels), (numbers > 0).astype(np.uint8))
    refused(folder, DataError, "3 classes", "training_groundtruth.tif", meaning="classes")


def test_inverted_and_stray_labels_are_named(tmp_path):
    inverted = volumes(tmp_path / "a", names=NAMES[:2], training_groundtruth=255 - masks(3))
    assert any("warning" in note and "inverted" in note for note in load(inverted).notes)
    stray = masks(3)
    stray[0, 5, 5] = 254
    refused(volumes(tmp_path / "b", training_groundtruth=stray), DataError, "groundtruth.tif")
