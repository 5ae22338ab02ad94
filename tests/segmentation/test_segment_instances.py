"""`cunet segment`: objects of a mask in labels, overlays and the files of a cell sequence."""

import json
import shlex

import numpy as np
import pytest
import tifffile
from bright_net import bright
from PIL import Image

import cunet
from cunet.pictures.colours import CLASSES, GOLD, object_colours
from cunet.segmentation.instances import Instances
from cunet.segmentation.objects import find

CLUMP = np.hypot(*np.mgrid[-12:13, -12:13]) <= 9.5


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """Networks that tell the class of a pixel from its brightness: above 50 is 1, above 150 2."""
    folder = tmp_path_factory.mktemp("models")
    paths = {}
    for classes in (2, 3):
        paths[classes] = folder / f"{classes}.npz"
        cunet.save(paths[classes], bright(classes))
    return paths


def picture(bright=100):
    """Two touching discs, a ring, a speck of 3 pixels at the border: 56 x 80, background 0."""
    page = np.zeros((56, 80), np.uint8)
    for left in (5, 24):
        page[15:40, left : left + 25][CLUMP] = bright
    page[10:30, 58:74] = bright
    page[14:26, 62:70] = 0
    page[0, 40:43] = bright
    return page


def frames(folder, *numbers):
    folder.mkdir(exist_ok=True)
    for number in numbers:
        tifffile.imwrite(folder / f"t{number}.tif", picture())
    return folder


def annotate(sequence, *numbers):
    """What the watershed finds of the picture is the truth."""
    truth = sequence.with_name(f"{sequence.name}_GT") / "SEG"
    truth.mkdir(parents=True)
    for number in numbers:
        cells = find(picture() > 0, Instances("watershed")).astype(np.uint16)
        tifffile.imwrite(truth / f"man_seg{number}.tif", cells)


def test_the_networks_follow_the_brightness(models, run, tmp_path):
    page = picture()
    page[50:, 5:30] = 200
    tifffile.imwrite(tmp_path / "a.tif", page)
    for classes, expected in ((2, np.where(page > 0, 255, 0)), (3, page // 100)):
        out = tmp_path / str(classes)
        code, _, err = run("segment", tmp_path / "a.tif", "--model", models[classes], "--out", out)
        assert code == 0, err
        assert np.array_equal(tifffile.imread(out / "a_mask.tif"), expected)


@pytest.mark.parametrize(
    ("options", "how", "count"),
    [
        ("", Instances(), 3),
        ("--instances watershed", Instances("watershed"), 4),
        ("--instances watershed --neck 0", Instances("watershed", neck=0.0), 3),
        ("--instances kmeans --connectivity 8 --fill-holes", Instances("kmeans", 8, 0, True), 4),
        ("--min-area 4", Instances(min_area=4), 2),
        ("--fill-holes", Instances(fill_holes=True), 3),
        ("--border 1", Instances(border=1), 2),
    ],
)
def test_options_reach_labels_and_ctc(models, run, tmp_path, options, how, count):
    sequence = frames(tmp_path / "01", "007")
    code, _, err = run(
        "segment", sequence, "--model", models[2], "--out", tmp_path, "--products",
        "labels,ctc,mask", *options.split(),
    )  # fmt: skip
    assert code == 0, err
    expected = find(picture() > 0, how)
    assert expected.max() == count
    for name in ("t007_labels.tif", "mask007.tif"):
        found = tifffile.imread(tmp_path / name)
        assert found.dtype == np.uint16 and np.array_equal(found, expected), name
    with tifffile.TiffFile(tmp_path / "mask007.tif") as file:
        assert len(file.pages) == 1
    assert np.array_equal(tifffile.imread(tmp_path / "t007_mask.tif") > 0, picture() > 0)


def test_results_of_a_sequence_are_ready_for_the_evaluation(models, run, tmp_path, monkeypatch):
    frames(tmp_path / "01", "000", "001", "002")
    annotate(tmp_path / "01", "000", "002")
    monkeypatch.chdir(tmp_path)
    command = ("segment", "01", "--products", "ctc", "--model", models[2], "--out", "01_RES")
    code, _, err = run(*command, "--instances", "watershed")
    assert code == 0, err
    assert {p.name for p in (tmp_path / "01_RES").iterdir()} == {f"mask00{i}.tif" for i in range(3)}
    following = err.splitlines()[-1].strip()
    assert following == "cunet evaluate ctc 01_RES 01_GT"
    code, text, err = run(*shlex.split(following)[1:], "--json")
    assert code == 0, err
    assert json.loads(text)["SEG"] == 1 and json.loads(text)["objects"] == 8


def test_the_evaluation_is_of_the_frames_that_were_segmented(models, run, tmp_path, monkeypatch):
    frames(tmp_path / "01", "000", "001", "002", "003")
    annotate(tmp_path / "01", "000", "002", "003")
    monkeypatch.chdir(tmp_path / "01")
    more = ("--products", "ctc", "--model", models[2], "--out", "../01_RES")
    assert run("segment", "t001.tif", *more)[2].splitlines()[-1].strip().startswith("cunet segment")
    err = run("segment", "t000.tif", "t001.tif", "t003.tif", *more)[2]
    following = err.splitlines()[-1].strip()
    assert following == "cunet evaluate ctc ../01_RES ../01_GT --frames 0,3"
    assert run(*shlex.split(following)[1:])[0] == 0
    err = run("segment", tmp_path / "01", *more)[2]
    assert err.splitlines()[-1].strip() == f"cunet evaluate ctc ../01_RES {tmp_path / '01_GT'}"


def test_results_beside_the_frames_are_no_images(models, run, tmp_path):
    folder = frames(tmp_path / "01", "000")
    tifffile.imwrite(folder / "t001.tif", picture())
    command = ("segment", folder, "--model", models[2], "--out", folder, "--products", "ctc")
    for skipped in (False, True):
        code, text, err = run(*command, "--json")
        assert code == 0, err
        images = json.loads(text)["images"]
        assert [i["skipped"] for i in images] == [skipped] * 2
        assert images[0]["outputs"] == {"ctc": [str(folder / "mask000.tif")]}


def test_what_is_there_must_have_been_made_the_same_way(models, run, tmp_path):
    sequence = frames(tmp_path / "01", "000")
    command = ("segment", sequence, "--model", models[2], "--out", tmp_path)
    assert run(*command, "--products", "ctc,prob", "--min-area", 4)[0] == 0
    code, text, _ = run(*command, "--products", "ctc,prob", "--min-area", 4, "--json")
    assert code == 0 and json.loads(text)["images"][0]["skipped"]
    code, _, err = run(*command, "--products", "ctc,prob", "--min-area", 5)
    assert code == 2 and "mask000.tif' exists" in err and "--overwrite" in err
    # the probability does not depend on what an object is
    assert run(*command, "--products", "labels,prob", "--min-area", 5)[0] == 0
    assert run(*command, "--products", "prob")[0] == 0
    # nor does a setting that equals the default make a difference
    assert run(*command, "--products", "labels", "--overwrite")[0] == 0
    for same in (["--instances", "components"], ["--connectivity", 4], ["--min-area", 1]):
        code, text, _ = run(*command, "--products", "labels", *same, "--json")
        assert code == 0 and json.loads(text)["images"][0]["skipped"], same


def test_an_outline_of_the_mask_is_not_taken_for_one_of_objects(models, run, tmp_path):
    sequence = frames(tmp_path / "01", "000")
    command = ("segment", sequence, "--model", models[2], "--out", tmp_path)
    assert run(*command, "--products", "mask,overlay")[0] == 0
    code, _, err = run(*command, "--products", "labels,overlay")
    assert code == 2 and "t000_overlay.png' exists" in err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--instances", "watershed"], ["--instances", "labels, ctc, table, rois and overlay"]),
        (["--min-area", "0"], ["--min-area", "labels, ctc, table, rois and overlay"]),
        (["--fill-holes", "--products", "prob"], ["--fill-holes"]),
        (["--products", "labels", "--instances", "voronoi"], ["voronoi", "watershed"]),
        (["--products", "labels", "--neck", "0.5"], ["neck 0.5", "watershed"]),
        (["--products", "labels", "--connectivity", "6"], ["--connectivity", "6"]),
        (["--products", "labels", "--min-area", "-1"], ["--min-area", "-1"]),
        (["--products", "labels", "--border", "28"], ["t000.tif", "border of 28", "at most 27"]),
        (["--products", "ctc", "other.tif"], ["other.tif", "t000.tif", "--products labels"]),
        (["--products", "ctc", "t001.png"], ["t001.png", "t000.tif"]),
        (["--products", "ctc", "t002.tif"], ["t002.tif", "2 pages", "--products labels"]),
        (["--products", "ctc", "t002.tif", "--pages", "0"], ["t002.tif", "2 pages"]),
        (["--products", "ctc", "--out", "one.tif"], ["one.tif", "mask000.tif", "folder"]),
    ],
)
def test_usage_errors(models, run, tmp_path, monkeypatch, arguments, words):
    folder = frames(tmp_path, "000")
    tifffile.imwrite(folder / "other.tif", picture())
    Image.fromarray(picture()).save(folder / "t001.png")
    tifffile.imwrite(folder / "t002.tif", np.stack([picture()] * 2), photometric="minisblack")
    before = set(tmp_path.iterdir())
    monkeypatch.chdir(tmp_path)
    code, out, err = run("segment", "t000.tif", "--model", models[2], *arguments)
    assert code == 2, err
    assert out == "" and "Traceback" not in err
    assert all(word in err for word in words), err
    assert set(tmp_path.iterdir()) == before


def test_more_objects_than_16_bits_can_number(models, run, tmp_path):
    page = np.zeros((520, 512), np.uint8)
    page[::2, ::2] = 100
    tifffile.imwrite(tmp_path / "t000.tif", page)
    out = tmp_path / "out"
    command = ("segment", tmp_path / "t000.tif", "--model", models[2], "--out", out)
    code, _, err = run(*command, "--products", "ctc")
    assert code == 2 and "66,560 objects" in err and "65,535" in err
    assert not list(out.iterdir())
    code, _, err = run(*command, "--products", "labels")
    assert code == 0 and "t000_labels.tif: 66,560 objects" in err and "ImageJ" in err
    assert "open as float, exact up to 16,777,216" in err
    labels = tifffile.imread(out / "t000_labels.tif")
    assert labels.dtype == np.uint32 and labels.max() == 66560


# Pictures


def overlay(run, folder, model, *options):
    """The overlay of the picture in the folder, and where it is not grey."""
    command = ("segment", folder / "a.tif", "--model", model, "--out", folder, "--overwrite")
    code, _, err = run(*command, *options)
    assert code == 0, err
    drawn = np.asarray(Image.open(folder / "a_overlay.png"))
    return drawn, (drawn != drawn[..., :1]).any(axis=2)


def test_touching_objects_have_outlines_of_their_own(models, run, tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", picture())
    drawn, coloured = overlay(run, tmp_path, models[2], "--products", "overlay")
    assert set(map(tuple, drawn[coloured].tolist())) == {GOLD}
    assert not coloured[27, 20:34].any()  # nothing between the discs, which are one to the mask
    for options in (
        ["--products", "overlay", "--instances", "watershed"],
        ["--products", "labels,overlay", "--instances", "watershed"],
    ):
        drawn, coloured = overlay(run, tmp_path, models[2], *options)
        numbered = find(picture() > 0, Instances("watershed"))
        table = object_colours(int(numbered.max()))
        assert set(map(tuple, drawn[coloured].tolist())) == set(map(tuple, table[1:].tolist()))
        one, other = numbered[27, 20], numbered[27, 34]
        assert one != other and coloured[27, 20:34].sum() == 2
        for number in (one, other):
            assert (drawn[numbered == number] == table[number]).all(axis=1).any()
    drawn, _ = overlay(run, tmp_path, models[2], "--products", "labels,overlay")
    assert set(map(tuple, drawn[27][coloured[27]].tolist())) - {GOLD}


def test_outlines_of_several_classes_have_the_colours_of_the_classes(models, run, tmp_path):
    page = picture()
    page[15:40, 24:49][CLUMP] = 200
    page[18:22, 65:67] = 200  # inside of the ring
    tifffile.imwrite(tmp_path / "a.tif", page)
    for options in (
        ["--products", "overlay"],
        ["--products", "labels,overlay"],
        ["--products", "labels,overlay", "--fill-holes", "--min-area", "4"],
    ):
        drawn, coloured = overlay(run, tmp_path, models[3], *options)
        for k in (1, 2):
            here = coloured & (page == 100 * k)
            assert here.any() and (drawn[here] == CLASSES[k - 1]).all()
        assert not (coloured & (page == 0)).any()
    labels = tifffile.imread(tmp_path / "a_labels.tif")
    assert labels[20, 66] > labels[20, 64] == labels[10, 58] > 0  # the hole around it is filled
    assert labels.max() == 4 and labels[0, 41] == 0
