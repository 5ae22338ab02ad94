"""`cunet evaluate ctc` and `cunet evaluate dsb`: finding and reading files, and reports."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image
from predictions import cells

from cunet.evaluation.frames import written
from cunet.metrics import ctc, dsb2018


@pytest.fixture
def run(run):
    """run("ctc", ...) -> (exit code, stdout, stderr) of `cunet evaluate`."""
    return lambda *arguments: run("evaluate", *arguments)


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".png":
        Image.fromarray(array).save(path)
    else:
        tifffile.imwrite(path, array, photometric="minisblack")
    return path


def found_of(image, seed=0):
    """The cells moved by a pixel, one of them missing and one cut in two."""
    numbers = np.unique(image[image > 0])
    moved = np.roll(image, 1, axis=seed % 2)
    moved[moved == numbers[0]] = 0
    half = moved == numbers[1]
    half[: np.nonzero(half)[0].max()] = False
    moved[half] = 200
    return moved


def scored(run, *arguments):
    code, out, err = run(*arguments, "--json")
    assert code == 0, err
    return json.loads(out), err


def refused(run, expected_code, *arguments, reported):
    code, out, err = run(*arguments)
    assert code == expected_code and out == "", err
    for text in reported:
        assert text in err, err


# ctc


@pytest.fixture
def sequence(tmp_path):
    """01_RES and 01_GT of the frames 7, 8, 9 and 12, where frame 9 has no cell in the truth."""
    for frame in (7, 8, 9, 12):
        truth = cells(frame) if frame != 9 else np.zeros((40, 40), np.uint16)
        write(tmp_path / f"01_GT/SEG/man_seg{frame:03}.tif", truth)
        write(tmp_path / f"01_RES/mask{frame:03}.tif", found_of(cells(frame), frame))
    write(tmp_path / "01_RES/mask010.tif", cells(1))  # not annotated
    return tmp_path / "01_RES", tmp_path / "01_GT"


def test_seg_of_a_sequence(run, sequence):
    document, err = scored(run, "ctc", *sequence)
    assert list(document)[:2] == ["SEG", "objects"]
    each = {one["frame"]: one for one in document["per_frame"]}
    assert list(each) == [7, 8, 9, 12]
    expected = [ctc.Frame.of(cells(n), found_of(cells(n), n)) for n in (7, 8, 12)]
    for number, frame in zip((7, 8, 12), expected, strict=True):
        one = each[number]
        assert one["SEG"] == pytest.approx(frame.scores.mean()) and 0 < one["SEG"] < 1
        assert one["objects"] == len(frame.scores) == one["matched"] + one["unmatched"]
        assert one["found"] == frame.found and 0 < one["iou"] < 1 and one["unmatched"] > 0
    assert each[9]["SEG"] is None and each[9]["objects"] == 0 and each[9]["found"] > 0
    scores = np.concatenate([frame.scores for frame in expected])
    assert document["SEG"] == pytest.approx(scores.mean()) and document["objects"] == len(scores)
    assert "warning" not in err
    assert err.splitlines()[-1].strip() == "cunet train --help"  # this was with --json


@pytest.mark.parametrize(
    "frames,chosen", [("8", [8]), ("12,7", [7, 12]), ("8-11", [8, 9]), ("7-8,8-20", [7, 8, 9, 12])]
)
def test_some_frames(run, sequence, frames, chosen):
    document, _ = scored(run, "ctc", *sequence, "--frames", frames)
    assert [one["frame"] for one in document["per_frame"]] == chosen


def test_frames_that_are_not_annotated_or_not_there(run, sequence):
    annotated = "annotated are 7-9,12"
    refused(run, 2, "ctc", *sequence, "--frames", "7,10", reported=["of 10 none", annotated])
    refused(run, 2, "ctc", *sequence, "--frames", "13-20", reported=["of 13-20 none", annotated])
    for text in ("", "a", "9-7", "7,", "-3", "1.5"):
        refused(run, 2, "ctc", *sequence, f"--frames={text}", reported=["92,96-102"])
    (sequence[0] / "mask008.tif").unlink()
    reported = ["has no mask008.tif", "man_seg008.tif", "3 of 4 are there: --frames 7,9,12"]
    refused(run, 2, "ctc", *sequence, reported=reported)
    assert run("ctc", *sequence, "--frames", "7,9,12")[0] == 0
    for path in sequence[0].glob("mask*"):
        path.rename(path.with_name("x" + path.name))
    reported = ["has no mask007.tif", "and 3 more are missing", "the folder holds xmask007.tif"]
    refused(run, 2, "ctc", *sequence, reported=reported)


def test_other_zeros_before_the_number(run, sequence):
    expected, _ = scored(run, "ctc", *sequence)
    (sequence[0] / "mask007.tif").rename(sequence[0] / "mask7.tif")
    (sequence[0] / "mask012.tif").rename(sequence[0] / "mask00012.tif")
    assert scored(run, "ctc", *sequence)[0] == expected
    write(sequence[0] / "mask0007.tif", cells(3))
    refused(run, 2, "ctc", *sequence, reported=["mask0007.tif", "mask7.tif", "both of frame 7"])
    write(sequence[0] / "mask007.tif", found_of(cells(7), 7))  # the same digits go first
    assert scored(run, "ctc", *sequence)[0] == expected


@pytest.mark.parametrize("high", [1, 255])
def test_masks_instead_of_cells_are_noticed(run, sequence, high):
    for path in sequence[0].glob("mask*.tif"):
        write(path, np.where(tifffile.imread(path) > 0, high, 0).astype(np.uint8))
    for quiet in ([], ["-q"]):
        code, _, err = run("ctc", *sequence, *quiet)
        assert code == 0 and "warning" in err and "are these masks" in err
        assert ("0 and 255" in err) == (high == 255)


def test_one_cell_a_frame_is_no_mask(run, tmp_path):
    for frame in range(4):
        one = np.where(cells(2) == 3, 1, 0).astype(np.uint8)
        write(tmp_path / f"GT/SEG/man_seg{frame:03}.tif", one)
        write(tmp_path / f"RES/mask{frame:03}.tif", one)
    document, err = scored(run, "ctc", tmp_path / "RES", tmp_path / "GT")
    assert document["SEG"] == 1 and "warning" not in err


def test_the_table_of_a_sequence(run, sequence):
    code, out, _ = run("ctc", *sequence)
    document, _ = scored(run, "ctc", *sequence)
    assert code == 0
    lines = [line.split() for line in out.splitlines()]
    assert [line[0] for line in lines] == ["frame", "007", "008", "009", "012", "all"]
    for line, one in zip(lines[1:], [*document["per_frame"], document], strict=True):
        assert line[1] == ("-" if one["SEG"] is None else f"{one['SEG']:.4f}")
        assert line[2:4] == [f"{one['matched']}/{one['objects']}", str(one["found"])]
        assert line[4] == f"{one['iou']:.4f}"
    assert run("ctc", *sequence, "--quiet")[1:] == ("", "")


def test_what_is_no_result_and_no_truth(run, sequence, tmp_path):
    result, truth = sequence
    refused(run, 2, "ctc", result, tmp_path / "no", reported=["no' is not there"])
    refused(run, 2, "ctc", result / "mask007.tif", truth, reported=["is a file; expected a folder"])
    (tmp_path / "01").mkdir()
    refused(run, 2, "ctc", result, tmp_path / "01", reported=["SEG/man_seg000.tif", "01_GT'?"])
    refused(run, 2, "ctc", result, truth / "SEG", reported=["SEG/man_seg000.tif", "01_GT'?"])
    write(result / "mask008.tif", np.zeros((40, 41), np.uint16))
    reported = ["mask008.tif' is 40 x 41", "man_seg008.tif' is 40 x 40"]
    refused(run, 3, "ctc", result, truth, reported=reported)
    write(result / "mask008.tif", np.zeros((2, 40, 40), np.uint16))
    refused(run, 3, "ctc", result, truth, reported=["mask008.tif", "2 pages"])


def test_the_other_sequence_comes_next(run, sequence):
    for path in sequence:
        path.with_name(path.name.replace("01", "02")).mkdir()
    _, err = scored(run, "ctc", *sequence)
    last = err.splitlines()[-1].strip()
    assert last.endswith("02_GT") and "02_RES" in last and "01_" not in last


@pytest.mark.parametrize(
    "numbers,text", [([2], "2"), ([3, 1, 2], "1-3"), ([5, 9, 6, 1], "1,5-6,9")]
)
def test_frames_as_they_are_written(numbers, text):
    assert written(numbers) == text


# dsb

NAMES = ["a", "b.c", "d_1"]


@pytest.fixture
def folders(tmp_path):
    """Predictions with the ending _labels, and the truth, of three images."""
    for seed, name in enumerate(NAMES):
        write(tmp_path / f"found/{name}_labels.tif", found_of(cells(seed), seed))
        write(tmp_path / f"truth/{name}.png", cells(seed))
    return tmp_path / "found", tmp_path / "truth"


def tallies():
    return [dsb2018.Tally.of(cells(seed), found_of(cells(seed), seed)) for seed in range(3)]


def kaggle(folder, name, image, picture=None):
    """An image of the Data Science Bowl: its nuclei in the order of their numbers."""
    for number in np.unique(image[image > 0]):
        mask = np.where(image == number, 255, 0).astype(np.uint8)
        write(folder / name / "masks" / f"{number:05}.png", mask)
    size = image.shape if picture is None else picture
    write(folder / name / "images" / f"{name}.png", np.full((*size, 4), 255, np.uint8))


def same_scores(document, expected):
    """The document holds what cunet.metrics returns for these tallies."""
    for key, value in dsb2018.summary(expected).items():
        assert document[key] == value
    assert document["images"] == len(expected) == len(document["per_image"])


def test_two_folders(run, folders):
    document, err = scored(run, "dsb", *folders)
    same_scores(document, tallies())
    assert 0 < document["kaggle_dsb2018_score"] < 1 and document["not_predicted"] == 0
    assert [one["threshold"] for one in document["thresholds"]] == list(dsb2018.THRESHOLDS)
    keys = ["threshold", "tp", "fp", "fn", "precision", "recall", "f1"]
    assert list(document["thresholds"][0]) == keys
    for one, name, tally in zip(document["per_image"], NAMES, tallies(), strict=True):
        assert one["image"] == name and one["kaggle_dsb2018_score"] == tally.kaggle_score()
        assert one["report_mean_average_precision"] == tally.report_score()
        counts = (one["objects"], one["found"], one["matched"])
        assert counts == (tally.truth, tally.found, tally.matched[0])
    assert "components" not in err
    assert err.splitlines()[-1].strip().startswith("cunet evaluate dsb")


def test_two_files_and_a_stack(run, save):
    pages = [cells(seed) for seed in range(3)]
    truth = save("truth.tif", np.stack(pages))
    pred = save("pred.tif", np.stack([found_of(page, seed) for seed, page in enumerate(pages)]))
    document, _ = scored(run, "dsb", pred, truth)
    same_scores(document, tallies())
    assert [one["image"] for one in document["per_image"]] == [f"pred[{i}]" for i in range(3)]
    one, _ = scored(run, "dsb", save("p.png", found_of(cells(1), 1)), save("t.tif", cells(1)))
    same_scores(one, tallies()[1:2])
    short = save("short.tif", np.stack(pages[:2]))
    refused(run, 3, "dsb", short, truth, reported=["short.tif' has 2 pages", "truth.tif' has 3"])


def test_the_layout_of_the_data_science_bowl(run, folders, tmp_path):
    for seed, name in enumerate([*NAMES, "e"]):
        kaggle(tmp_path / "stage1_train", name, cells(seed))
    for truth in (tmp_path / "stage1_train", tmp_path):
        document, err = scored(run, "dsb", folders[0], truth)
        same_scores(document, tallies())
        assert document["not_predicted"] == 1
        assert (
            f"{truth}: 1 image without prediction is not scored" in err and "components" not in err
        )
    for truth in (tmp_path / "stage1_train", tmp_path / "stage1_train" / "a"):
        document, _ = scored(run, "dsb", folders[0] / "a_labels.tif", truth)
        same_scores(document, tallies()[:1])


def test_overlapping_masks_belong_to_the_later_file(run, tmp_path):
    image = np.zeros((10, 20), np.uint8)
    image[2:8, 2:10] = 1
    kaggle(tmp_path / "stage1_train", "x", image)
    second = np.zeros((10, 20), np.uint8)
    second[2:8, 6:14] = 255
    write(tmp_path / "stage1_train/x/masks/00002.png", second)
    image[second > 0] = 2
    document, err = scored(run, "dsb", write(tmp_path / "x.png", image), tmp_path)
    assert document["thresholds"][-1]["tp"] == document["objects"] == 2
    assert "24 pixels lie in several masks" in err


def test_a_prediction_of_another_size_than_the_picture(run, tmp_path):
    kaggle(tmp_path / "stage1_train", "x", cells(0))
    pred = write(tmp_path / "x.png", np.zeros((20, 40), np.uint8))
    reported = ["x.png' is 20 x 40", "is 40 x 40", "one image"]
    refused(run, 3, "dsb", pred, tmp_path / "stage1_train", reported=reported)


def test_masks_are_taken_apart_where_all_are_masks(run, tmp_path, folders):
    from scipy import ndimage

    expected = []
    for seed, name in enumerate(NAMES):
        mask = cells(seed) > 0
        write(tmp_path / f"masks/{name}_mask.png", np.where(mask, 255, 0).astype(np.uint8))
        expected.append(dsb2018.Tally.of(cells(seed), ndimage.label(mask)[0]))
    document, err = scored(run, "dsb", tmp_path / "masks", folders[1])
    same_scores(document, expected)
    assert "PRED holds masks: their 4-connected components" in err and "TRUTH holds" not in err
    document, err = scored(run, "dsb", tmp_path / "masks", tmp_path / "masks")
    assert document["kaggle_dsb2018_score"] == 1 and "TRUTH holds masks" in err
    # one numbered object in two pieces among other label images is one object
    pieces = np.zeros((40, 40), np.uint8)
    pieces[2:9, 2:9] = pieces[20:29, 2:9] = 1
    write(tmp_path / "found/z.png", pieces)
    write(folders[1] / "z.png", pieces)
    document, err = scored(run, "dsb", *folders)
    last = document["per_image"][-1]
    assert (last["image"], last["objects"], last["found"], last["f1"]) == ("z", 1, 1, 1)
    assert "components" not in err


def test_numbered_nuclei_are_never_masks(run, tmp_path):
    """A truth of one nucleus in two pieces holds 0 and 1 only."""
    pieces = np.zeros((12, 12), np.uint8)
    pieces[:4] = pieces[8:] = 1
    kaggle(tmp_path / "stage1_train", "x", pieces)
    document, err = scored(run, "dsb", write(tmp_path / "x.png", pieces), tmp_path)
    assert (document["objects"], document["found"]) == (1, 2)
    assert "PRED holds masks" in err and "TRUTH" not in err


def test_other_products_lie_beside_the_labels(run, folders):
    for name in NAMES:
        write(folders[0] / f"{name}_prob.tif", np.full((40, 40), 0.5, np.float32))
        write(folders[0] / f"{name}_mask.tif", np.zeros((40, 40), np.uint8))
        write(folders[0] / f"{name}_overlay.png", np.zeros((40, 40, 3), np.uint8))
    document, err = scored(run, "dsb", *folders)
    same_scores(document, tallies())
    assert "9 files not used" in err
    write(folders[0] / "a_labels.png", cells(0))
    refused(run, 3, "dsb", *folders, reported=["a_labels.png", "a_labels.tif", "both of one image"])


def test_what_has_no_partner(run, folders, tmp_path):
    (folders[1] / "a.png").unlink()
    reported = ["a_labels.tif' has no truth", "named a there", "2 of 3"]
    refused(run, 3, "dsb", *folders, reported=reported)
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(run, 2, "dsb", empty, folders[1], reported=["no label image", "an empty folder"])
    refused(run, 2, "dsb", folders[0], empty, reported=["expected label images", "an empty folder"])
    mixed = folders[0], folders[1] / "d_1.png"
    refused(run, 2, "dsb", *mixed, reported=["two files or two folders"])
    refused(run, 2, "dsb", tmp_path / "nothing", folders[1], reported=["no file or folder"])


def test_what_is_no_label_image(run, save):
    truth = save("t.tif", cells(0))
    prob = save("p.tif", np.full((40, 40), 0.25, np.float32))
    refused(run, 3, "dsb", prob, truth, reported=["p.tif", "whole numbers"])
    negative = save("n.tif", cells(0).astype(np.int16) - 1)
    refused(run, 3, "dsb", negative, truth, reported=["n.tif' holds negative numbers"])


def test_the_table_and_the_plot(run, folders, tmp_path):
    plot = tmp_path / "f1.png"
    code, out, err = run("dsb", *folders, "--plot", plot)
    assert code == 0, err
    document, _ = scored(run, "dsb", *folders)
    lines = [line.split() for line in out.splitlines()]
    assert lines[0][:2] == ["3", "images,"]
    for line, one in zip(lines[3:14], document["thresholds"], strict=True):
        assert line[:4] == [f"{one['threshold']:.2f}", *(str(one[k]) for k in ("tp", "fp", "fn"))]
        assert line[4:] == [f"{one[key]:.4f}" for key in ("precision", "recall", "f1")]
    assert f"{document['kaggle_dsb2018_score']:.4f}" in lines[15]
    assert f"{document['report_mean_average_precision']:.4f}" in lines[16]
    with Image.open(plot) as picture:
        assert np.ptp(np.asarray(picture.convert("L"))) > 200
    assert run("dsb", *folders, "--plot", plot)[0] == 2  # not overwritten
    assert run("dsb", *folders, "--quiet")[1:] == ("", "")


def test_scores_do_not_depend_on_threads(run, folders):
    results = [scored(run, "dsb", *folders, "--threads", n)[0] for n in (1, 3)]
    assert results[0] == results[1]


def test_empty_predictions_can_be_plotted(run, save, tmp_path):
    blank, truth = save("blank.png", np.zeros((40, 40), np.uint8)), save("t.tif", cells(0))
    document, err = scored(run, "dsb", blank, truth, "--plot", tmp_path / "p.png")
    assert document["kaggle_dsb2018_score"] == 0 and document["thresholds"][0]["precision"] is None
    assert "components" not in err and (tmp_path / "p.png").is_file()
    document, _ = scored(run, "dsb", blank, blank)
    assert document["kaggle_dsb2018_score"] == document["report_mean_average_precision"] == 1


# real data

DATA = os.environ.get("CUNET_DATA")


@pytest.mark.skipif(not DATA, reason="CUNET_DATA is not set to a folder of data")
def test_real_annotations_score_1_against_themselves(run, tmp_path):
    truth = Path(DATA) / "DIC-C2DH-HeLa" / "01_GT"
    for path in truth.glob("SEG/man_seg*.tif"):
        (tmp_path / path.name.replace("man_seg", "mask")).symlink_to(path)
    document, err = scored(run, "ctc", tmp_path, truth)
    assert document["SEG"] == document["iou"] == 1 and document["objects"] == 98
    assert len(document["per_frame"]) == 9 and "warning" not in err
    nuclei = sorted((Path(DATA) / "dsb2018" / "stage1_train").iterdir())[0]
    files = sorted(nuclei.glob("masks/*.png"))
    labels = sum(i * (np.asarray(Image.open(f)) > 0) for i, f in enumerate(files, 1))
    pred = write(tmp_path / f"{nuclei.name}_labels.tif", labels.astype(np.uint16))
    document, _ = scored(run, "dsb", pred, nuclei.parent)
    assert document["kaggle_dsb2018_score"] == 1 and document["objects"] == len(files)
    assert document["not_predicted"] == len(list(nuclei.parent.iterdir())) - 1
