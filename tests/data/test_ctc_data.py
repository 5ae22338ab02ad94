"""Folders of the Cell Tracking Challenge: what is read, what is unknown, what is refused."""

import os
from pathlib import Path

import numpy as np
import pytest
import tifffile

from cunet.data import ctc
from cunet.data.labels import IGNORE
from cunet.data.load import load
from cunet.errors import CunetError, DataError


def cells(*boxes, shape=(20, 24)):
    """An image of cell numbers 1, 2 ... from boxes (top, left, bottom, right)."""
    found = np.zeros(shape, np.uint16)
    for number, (top, left, bottom, right) in enumerate(boxes, start=1):
        found[top:bottom, left:right] = number
    return found


TWO = cells((2, 2, 8, 9), (8, 2, 14, 9))  # they touch


def write(folder, sequence, number, labels, frame=True, markers=None):
    """Frame `number` (text) of a sequence and its annotation; LZW as in the challenge."""
    rng = np.random.default_rng(int(number))
    paths = {folder / f"{sequence}_GT/SEG/man_seg{number}.tif": labels}
    if frame:
        paths[folder / f"{sequence}/t{number}.tif"] = rng.integers(0, 255, (20, 24)).astype("u1")
    if markers is not None:
        paths[folder / f"{sequence}_GT/TRA/man_track{number}.tif"] = markers
    for path, array in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, array, compression="lzw")
    return folder


@pytest.fixture
def folder(tmp_path):
    write(tmp_path, "02", "011", cells((1, 1, 5, 5), (10, 10, 15, 15)))
    write(tmp_path, "01", "010", TWO)
    write(tmp_path, "01", "002", TWO[::-1])
    tifffile.imwrite(tmp_path / "01" / "t003.tif", np.zeros((20, 24), "u1"))  # not annotated
    return tmp_path


def test_annotated_frames_in_the_order_of_sequence_and_time(folder):
    data = load(folder)
    assert data.kind == "ctc" and data.class_names == ("background", "cell")
    assert data.slice_names == ("01/t002", "01/t010", "02/t011")
    np.testing.assert_array_equal(data.instances[1], TWO)
    np.testing.assert_array_equal(data.labels[1], TWO > 0)
    np.testing.assert_array_equal(
        data.images[2][..., 0], tifffile.imread(folder / "02" / "t011.tif")
    )
    assert any("2 annotated frames, 1 other not used" in note for note in data.notes)
    assert set(data.hashes) == {
        f"{s}{middle}{n}.tif"
        for s, n in (("01", "002"), ("01", "010"), ("02", "011"))
        for middle in ("/t", "_GT/SEG/man_seg")
    }


def test_one_sequence_alone(folder):
    data = load(folder / "01")
    assert data.name == "01" and data.slice_names == ("01/t002", "01/t010")
    assert load(folder / "01", "ctc").hashes == data.hashes
    assert "01/t002.tif" in data.hashes


def test_gaps_between_touching_cells_open_in_the_training_labels(folder):
    from cunet.training.config import Config
    from cunet.training.prepared import prepare

    sizes = {"width": 2, "depth": 1, "tile": 20}
    for form in ("paper", "falk2019", "balance", "none"):
        samples = prepare(Config(str(folder), weight_map=form, **sizes)).samples
        labels, weights = samples.labels[1], samples.weights[1]
        if form == "none":  # labels as they are
            np.testing.assert_array_equal(labels, TWO > 0)
            assert (weights == 1).all()
            continue
        assert (labels[8, 2:9] == 0).all() and (labels[7, 2:9] == 1).all()
        if form == "paper":
            assert (weights[8, 3:8] > 5).all() and weights[0, 20] < 2


# What is not annotated


def test_a_frame_with_few_of_its_cells_has_no_background(tmp_path):
    """Three of six cells of a usual frame are just enough; one of six is not."""
    boxes = [(2 * i, 0, 2 * i + 2, 4) for i in range(6)]
    for number, count in (("001", 6), ("002", 6), ("003", 3), ("004", 1)):
        write(tmp_path, "01", number, cells(*boxes[:count]))
    data = load(tmp_path)
    assert [bool((page == IGNORE).any()) for page in data.labels] == [False, False, False, True]
    np.testing.assert_array_equal(data.labels[3], np.where(cells(boxes[0]) > 0, 1, IGNORE))
    assert any("annotated in part" in note and "01/t004" in note for note in data.notes)


def test_a_marker_without_its_cell_leaves_its_surroundings_out(tmp_path):
    labels = cells((5, 2, 10, 6))
    markers = np.zeros_like(labels)
    markers[7, 3], markers[7, 18] = 1, 5  # the second cell is not annotated
    write(tmp_path, "01", "001", labels, markers=markers)
    found = load(tmp_path).labels[0]
    expected = np.zeros(labels.shape, np.uint8)
    inside = np.argwhere(labels)
    for row, column in np.ndindex(labels.shape):
        own = np.hypot(*(inside - (row, column)).T).min()
        lone = np.hypot(row - 7, column - 18)
        expected[row, column] = 1 if labels[row, column] else IGNORE if lone < own else 0
    assert (expected == IGNORE).sum() > 50
    np.testing.assert_array_equal(found, expected)
    assert "01_GT/TRA/man_track001.tif" in load(tmp_path).hashes


def test_a_frame_without_any_cell_is_no_other_coding(tmp_path):
    write(tmp_path, "01", "001", TWO)
    write(tmp_path, "01", "002", TWO)
    write(tmp_path, "01", "003", 0 * TWO)
    labels = load(tmp_path).labels
    np.testing.assert_array_equal(labels[0], TWO > 0)
    assert (labels[2] == IGNORE).all()


def test_markers_in_all_cells_leave_nothing_out():
    markers = np.zeros_like(TWO)
    markers[4, 4], markers[10, 4] = 7, 9
    assert not ctc.unknown(TWO, markers, usual=50).any()
    assert ctc.unknown(0 * TWO, markers, usual=2).all()


# Refusals


def test_a_missing_frame(tmp_path):
    write(tmp_path, "01", "000", TWO)
    write(tmp_path, "01", "001", TWO, frame=False)
    with pytest.raises(CunetError, match=r"no file .*t001.tif.*man_seg001.tif"):
        load(tmp_path)


@pytest.mark.parametrize(
    "labels,reason",
    [(np.stack([TWO, TWO]), "2 pages"), (TWO.astype("f4") / 2, "whole numbers"),
     (-TWO.astype("i2"), "-2")],
)  # fmt: skip
def test_annotations_that_are_no_cell_numbers(tmp_path, labels, reason):
    write(tmp_path, "01", "001", labels)
    with pytest.raises(DataError, match=reason) as caught:
        load(tmp_path)
    assert "man_seg001.tif" in str(caught.value)


def test_frames_of_another_size(tmp_path):
    write(tmp_path, "01", "001", TWO[:10])
    with pytest.raises(DataError, match="10 x 24 but the image"):
        load(tmp_path)


def test_a_folder_that_is_none(tmp_path):
    (tmp_path / "01").mkdir()
    (tmp_path / "01_GT" / "SEG").mkdir(parents=True)
    with pytest.raises(CunetError, match="man_seg000.tif"):
        load(tmp_path)
    with pytest.raises(CunetError, match="expected frames 01/t000.tif"):
        load(tmp_path, "ctc")


def test_markers_of_another_size(tmp_path):
    write(tmp_path, "01", "001", TWO, markers=TWO[:-3])
    with pytest.raises(DataError, match=r"man_track001.tif' are 17 x 24 but .* is 20 x 24"):
        load(tmp_path)


# Names


def rename(folder, old, new):
    (folder / old).rename(folder / new)


@pytest.mark.parametrize("ending", [".TIF", ".tiff", ".Tif"])
def test_names_in_any_spelling(folder, ending):
    write(folder, "01", "002", TWO[::-1], markers=TWO[::-1] * 3)
    expected = load(folder)
    for part, frame in (("01/t", "010"), ("01_GT/SEG/man_seg", "002"), ("02/t", "011")):
        rename(folder, f"{part}{frame}.tif", f"{part}{frame}{ending}")
    rename(folder, "01_GT/TRA/man_track002.tif", f"01_GT/TRA/MAN_track002{ending}")
    data = load(folder)
    assert data.slice_names == expected.slice_names and data.notes == expected.notes
    for part in ("images", "labels", "instances"):
        for found, usual in zip(getattr(data, part), getattr(expected, part), strict=True):
            np.testing.assert_array_equal(found, usual)
    assert f"01_GT/TRA/MAN_track002{ending}" in data.hashes


def test_two_files_of_one_frame(folder):
    for name in ("01_GT/SEG/man_seg002", "01/t002"):
        twin = folder / f"{name}.TIFF"
        twin.write_bytes((folder / f"{name}.tif").read_bytes())
        with pytest.raises(CunetError, match=rf"{name}.TIFF.*{name}.tif.*both of frame 2"):
            load(folder)
        twin.unlink()
    rename(folder, "01_GT/SEG/man_seg010.tif", "01_GT/SEG/man_seg2.tif")
    with pytest.raises(CunetError, match="man_seg002.tif.*man_seg2.tif.*both of frame 2"):
        load(folder)


def test_annotations_that_are_not_read_are_named(folder):
    rename(folder, "01_GT/SEG/man_seg010.tif", "01_GT/SEG/man_seg_010.tif")
    (folder / "03").mkdir()
    (folder / "03_GT").mkdir()
    notes = load(folder).notes
    assert "01_GT/SEG: not used: man_seg_010.tif" in notes
    assert "not used, no annotations SEG/man_seg000.tif: 03" in notes


def test_links_to_nothing_are_missing_files(folder):
    path = folder / "01_GT/SEG/man_seg010.tif"
    path.unlink()
    path.symlink_to("gone.tif")
    with pytest.raises(CunetError, match="no file '.*man_seg010.tif'"):
        load(folder)
    path.unlink()
    path.symlink_to(path.name)
    with pytest.raises(CunetError, match="cannot read '.*man_seg010.tif'"):
        load(folder)


def test_frames_and_annotations_coded_the_other_way_round(folder):
    for name, what in (("01_GT/SEG/man_seg002.tif", "annotations"), ("01/t010.tif", "images")):
        before = (folder / name).read_bytes()
        array = tifffile.imread(folder / name)
        tifffile.imwrite(folder / name, array, photometric="miniswhite")
        with pytest.raises(DataError, match=rf"{what} '.*{name}'.*white-is-zero"):
            load(folder)
        (folder / name).write_bytes(before)


def test_masks_in_the_place_of_cell_numbers_are_said(folder):
    many = cells((1, 1, 5, 5), (7, 1, 11, 5), (1, 8, 5, 12))
    for number in ("002", "010"):
        write(folder, "01", number, (255 * (many > 0)).astype(np.uint8))
    (warning,) = [note for note in load(folder).notes if note.startswith("warning")]
    assert "01_GT/SEG" in warning and "masks" in warning


# The real thing


@pytest.mark.skipif("CUNET_DATA" not in os.environ, reason="CUNET_DATA is not set")
def test_the_challenges_own_folders():
    root = Path(os.environ["CUNET_DATA"])
    hela, u373 = load(root / "DIC-C2DH-HeLa"), load(root / "PhC-C2DH-U373")
    assert len(hela.images) == 18 and len(u373.images) == 15
    assert {x.shape for x in hela.images} == {(512, 512, 1)}
    assert {x.shape for x in u373.images} == {(520, 696, 1)}
    partial = [n for n, page in zip(hela.slice_names, hela.labels, strict=True)
               if (page == IGNORE).any()]  # fmt: skip
    assert partial == ["01/t067"]
    assert sum(len(np.unique(page)) - 1 for page in u373.instances) == 100


def test_the_next_command_after_a_training_names_the_sequence(folder, tmp_path_factory):
    from cunet.segmentation.next_command import segment_command

    assert segment_command(str(folder), "runs/a-1") == (
        f"cunet segment {folder}/02 --model runs/a-1 --products ctc --out 02_RES"
    )
    assert f"segment {folder}/01 --model" in segment_command(str(folder / "01"), "runs/a-1")
    for held_out in ("01", "01/t002,01/t010"):
        command = segment_command(str(folder), "runs/a-1", held_out)
        assert f"segment {folder}/01 " in command and command.endswith("01_RES")
    bowl = tmp_path_factory.mktemp("bowl")
    (bowl / "stage1_train" / "ab" / "images").mkdir(parents=True)
    (bowl / "stage1_train" / "ab" / "images" / "ab.png").touch()
    for data in (bowl, bowl / "stage1_train"):
        command = segment_command(str(data), "runs/b-1")
        assert f"'{bowl}/stage1_train/*/images/*.png'" in command and "--products labels" in command
    assert segment_command(str(bowl / "nothing"), "r") == "cunet segment --help"
