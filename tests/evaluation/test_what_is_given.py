"""`cunet evaluate` on what people give it: other products, numbers in the place of probabilities,
masks with stray pixels, files coded the other way round, names in any spelling."""

import json

import numpy as np
import pytest
import tifffile
from label_images import discs
from PIL import Image

import cunet
from cunet.data.suspicion import objects_on_ground
from cunet.errors import DataError

CELLS = discs(7)
MASK = ((CELLS > 0) * 255).astype(np.uint8)
STRAY = MASK.copy()
STRAY[0, :3] = 1


@pytest.fixture
def score(run):
    """score("pixels", prob, truth, ...) -> (document, stderr)"""

    def call(*arguments):
        code, out, err = run("evaluate", *arguments, "--json")
        assert code == 0, err
        return json.loads(out), err

    return call


@pytest.fixture
def refused(run):
    def call(*arguments, words):
        code, out, err = run("evaluate", *arguments)
        assert code == 3 and out == "" and len(err.splitlines()) == 1, err
        for text in words:
            assert text in err, err

    return call


# What `cunet segment` writes


@pytest.mark.parametrize("truth", [MASK, MASK // 255, CELLS], ids=["mask", "ones", "numbers"])
def test_a_mask_is_a_probability_and_objects(score, save, truth):
    mask, labels, against = (
        save("a_mask.tif", MASK), save("a_labels.tif", CELLS), save("truth.tif", truth)
    )  # fmt: skip
    assert score("pixels", mask, against)[0]["f1"] == 1
    for pred in (mask, labels):
        document, err = score("dsb", pred, against)
        assert document["kaggle_dsb2018_score"] == 1 and document["objects"] == 7
        assert "warning" not in err


@pytest.mark.parametrize("kind", ["pixels", "isbi"])
@pytest.mark.parametrize("dtype", ["u1", "u2", "u4"])
@pytest.mark.parametrize("truth", [MASK, CELLS], ids=["mask", "numbers"])
def test_labels_are_no_probability(refused, save, kind, dtype, truth):
    pred, against = save("a_labels.tif", CELLS.astype(dtype)), save("t.tif", truth)
    refused(kind, pred, against, words=["a_labels.tif' numbers objects", "cunet evaluate dsb"])


def test_numbered_truth_may_be_called_classes(score, save):
    truth = save("t.tif", CELLS)
    document, _ = score("pixels", save("p.tif", CELLS), truth, "--classes", 8)
    assert document["mean_iou"] == 1 and len(document["classes"]) == 8
    assert score("pixels", save("m.tif", MASK), truth, "--classes", 2)[0]["f1"] == 1


def test_overlays_and_probabilities_in_the_wrong_place(refused, save):
    picture = np.dstack([MASK, MASK // 2, MASK // 3])
    overlay, truth, prob = (
        save("a_overlay.png", picture), save("t.tif", MASK), save("p.tif", MASK.astype("f4") / 300)
    )  # fmt: skip
    refused("pixels", overlay, truth, words=["a_overlay.png' has 3 channel", "picture in colour"])
    refused("isbi", overlay, truth, words=["a_overlay.png' has 3 channels"])
    refused("dsb", overlay, truth, words=["a_overlay.png' is a label file with 3 channels"])
    refused("dsb", prob, truth, words=["p.tif', page 0: labels are whole numbers"])


def test_a_mask_saved_in_three_equal_colours(score, save):
    colours, truth = save("m.png", np.dstack([MASK] * 3)), save("t.png", np.dstack([MASK] * 3))
    assert score("pixels", colours, truth)[0]["f1"] == 1
    document, err = score("dsb", colours, truth)
    assert document["kaggle_dsb2018_score"] == 1 and "equal channels are read as one" in err


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("levels", [12, 255, 60000])
def test_integer_probabilities_number_nothing(seed, levels):
    from scipy import ndimage

    noise = np.random.default_rng(seed).standard_normal((60, 60))
    smooth = ndimage.gaussian_filter(noise, 3)
    hill = np.exp(-((np.mgrid[:60, :60] - 30) ** 2).sum(axis=0) / 200)
    for chance in (noise, smooth, hill, np.clip(8 * smooth, -1, 1), np.mgrid[:60, :60][1]):
        chance = (chance - chance.min()) / np.ptp(chance)
        assert not objects_on_ground([(levels * chance).astype(np.uint16)])
    assert objects_on_ground([discs(9, seed) * np.uint16(levels // 12)])


# Truth


def test_a_truth_with_stray_pixels_is_warned_of(run, score, save):
    prob, stray = save("p.tif", (MASK / 255).astype("f4")), save("t.tif", STRAY)
    _, err = score("pixels", prob, stray)
    assert "warning" in err and "t.tif' page 0: 255 covers" in err and "3 pixels" in err
    _, err = score("dsb", save("labels.tif", CELLS), stray)
    assert "warning: TRUTH labels: each number is several pieces" in err
    code, _, err = run("evaluate", "isbi", prob, stray)
    assert code == 3 and "255 covers" in err
    with pytest.warns(UserWarning, match="255 covers"):
        cunet.evaluate_pixels(prob, stray)
    with pytest.warns(UserWarning, match="several pieces"):
        cunet.evaluate_objects(CELLS, STRAY)
    _, err = score("pixels", prob, save("clean.tif", MASK))
    assert "warning" not in err


def test_files_coded_the_other_way_round_are_warned_of(score, save):
    from cunet.evaluation.frames import evaluate_ctc

    prob, labels = save("p.tif", (MASK / 255).astype("f4")), save("l.tif", CELLS)
    inverted = save("t.tif", 255 - MASK, photometric="miniswhite")
    for arguments in (("pixels", prob, inverted), ("dsb", labels, inverted),
                      ("dsb", inverted, labels)):  # fmt: skip
        _, err = score(*arguments)
        assert "warning: " in err and "coded the other way round" in err and "t.tif'" in err
    with pytest.warns(UserWarning, match="the other way round"):
        cunet.evaluate_isbi(prob, inverted)
    root = prob.parent
    for name in ("01_RES", "01_GT/SEG"):
        (root / name).mkdir(parents=True)
    tifffile.imwrite(root / "01_RES/mask000.tif", CELLS, photometric="miniswhite")
    tifffile.imwrite(root / "01_GT/SEG/man_seg000.tif", CELLS)
    with pytest.warns(UserWarning, match="the other way round"):
        assert evaluate_ctc(root / "01_RES", root / "01_GT")["SEG"] == 1


def test_classes_in_the_place_of_objects_are_warned_of(score, save):
    classes = np.where(CELLS > 4, 2, CELLS > 0).astype(np.uint8)
    _, err = score("dsb", save("p_mask.tif", classes), save("t.tif", CELLS))
    assert "warning: PRED p_mask: each number is several pieces" in err and "TRUTH" not in err
    _, err = score("dsb", save("p_labels.tif", CELLS), save("t.tif", CELLS))
    assert "warning" not in err


def bowl(folder, ending=".png", without=()):
    for i, count in enumerate((3, 5)):
        cells, name = discs(count, i), f"ab{i}"
        for part in ("images", "masks"):
            (folder / name / part).mkdir(parents=True)
        Image.fromarray(cells.astype(np.uint8)).save(folder / name / "images" / f"{name}.png")
        for number in () if name in without else range(1, count + 1):
            path = folder / name / "masks" / f"m{number}{ending}"
            mask = ((cells == number) * 255).astype(np.uint8)
            if ending.lower() == ".png":
                Image.fromarray(mask).save(path, format="PNG")
            else:
                tifffile.imwrite(path, mask)


@pytest.mark.parametrize("ending", [".png", ".PNG", ".tif", ".TIFF"])
def test_masks_of_the_bowl_in_any_spelling(score, tmp_path, ending):
    bowl(tmp_path / "truth", ending)
    (tmp_path / "pred").mkdir()
    for i, count in enumerate((3, 5)):
        tifffile.imwrite(tmp_path / "pred" / f"ab{i}.TIF", discs(count, i))
    (tmp_path / "pred" / "._ab0.tif").write_bytes(b"left behind")
    document, _ = score("dsb", tmp_path / "pred", tmp_path / "truth")
    assert document["kaggle_dsb2018_score"] == 1 and document["objects"] == 8


def test_a_folder_without_masks_is_no_truth(refused, score, tmp_path):
    bowl(tmp_path / "truth", without=("ab1",))
    (tmp_path / "pred").mkdir()
    for i, count in enumerate((3, 5)):
        tifffile.imwrite(tmp_path / "pred" / f"ab{i}.tif", discs(count, i))
    sources = tmp_path / "pred", tmp_path / "truth"
    refused("dsb", *sources, words=["ab1/masks' holds no mask", "ab1.tif"])
    empty = np.zeros((64, 64), np.uint8)
    Image.fromarray(empty).save(tmp_path / "truth/ab1/masks/none.png")
    document, _ = score("dsb", *sources)  # said to be empty: five objects are invented
    assert [one["kaggle_dsb2018_score"] for one in document["per_image"]] == [1, 0]


def test_result_masks_in_any_spelling(run, score, tmp_path):
    for name in ("01_RES", "01_GT/SEG"):
        (tmp_path / name).mkdir(parents=True)
    for frame, ending in ((3, ".TIF"), (4, ".tiff")):
        tifffile.imwrite(tmp_path / f"01_RES/mask{frame:03}{ending}", discs(4, frame))
        tifffile.imwrite(tmp_path / f"01_GT/SEG/man_seg{frame:03}{ending}", discs(4, frame))
    sources = tmp_path / "01_RES", tmp_path / "01_GT"
    document, _ = score("ctc", *sources)
    assert document["SEG"] == 1 and document["objects"] == 8
    tifffile.imwrite(tmp_path / "01_GT/SEG/man_seg3.tif", discs(2))
    code, _, err = run("evaluate", "ctc", *sources)
    assert code == 2 and "both of frame 3" in err


# Arrays from Python


SCORES = (cunet.evaluate_objects, cunet.evaluate_ctc, cunet.evaluate_pixels, cunet.evaluate_isbi)


@pytest.mark.parametrize("shape", [(0, 9), (9, 0), (0, 0), (0, 9, 9), (3, 0, 9)])
@pytest.mark.parametrize("evaluate", SCORES)
def test_arrays_without_pixels(evaluate, shape):
    with pytest.raises(DataError, match="expected"):
        evaluate(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8))


@pytest.mark.parametrize("evaluate", SCORES)
def test_lists_without_images(evaluate):
    with pytest.raises(DataError, match="expected"):
        evaluate([], [])


@pytest.mark.parametrize("dtype,factor", [("u4", 2**28), ("i8", 2**40), ("u8", 2**60)])
def test_object_numbers_of_any_size(dtype, factor):
    """Neither memory nor time for the numbers in between."""
    far = CELLS.astype(dtype) * np.array(factor, dtype)
    moved = np.roll(CELLS, 1, axis=0)
    for evaluate in SCORES[:2]:
        same = evaluate(moved, CELLS)
        np.testing.assert_equal(evaluate(moved, far), same)
        np.testing.assert_equal(evaluate(np.roll(far, 1, axis=0), CELLS), same)
    np.testing.assert_array_equal(cunet.weight_map(far), cunet.weight_map(CELLS))
    assert cunet.evaluate_pixels(MASK, far)["f1"] == 1 == cunet.evaluate_isbi(MASK, far)["v_rand"]
