"""cunet.evaluate_*: arrays and files, the same documents as the command line prints."""

import json
import math

import numpy as np
import pytest
import tifffile
from predictions import cells, stack

import cunet
from cunet.errors import CunetError, DataError


def finite(value):
    """A document as --json prints it: NaN and infinity are null."""
    if isinstance(value, dict):
        return {key: finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


@pytest.fixture
def printed(run):
    """printed("pixels", ...) -> the document that `cunet evaluate ... --json` prints."""

    def call(*arguments):
        code, out, err = run("evaluate", *arguments, "--json")
        assert code == 0, err
        return json.loads(out)

    return call


# Pixels


@pytest.mark.parametrize("pages", [None, "0,2-3", [3, 1]])
def test_pixels_of_files_and_arrays(printed, save, pages):
    probability, labels = stack(4, 20, 17)
    prob, truth = save("p.tif", probability), save("t.tif", labels)
    text = pages if pages is None or isinstance(pages, str) else ",".join(map(str, pages))
    options = ["--threshold", 0.6] + (["--pages", text] if text else [])
    expected = printed("pixels", prob, truth, *options)
    for sources in ((str(prob), truth), (probability, labels), (probability, labels > 0),
                    (prob, labels), (probability, truth)):  # fmt: skip
        found = cunet.evaluate_pixels(*sources, threshold=0.6, pages=pages)
        assert finite(found) == expected
    if pages is not None:
        chosen = {"0,2-3": [0, 2, 3], "3,1": [3, 1]}[text]
        found = cunet.evaluate_pixels(probability[chosen], labels, 0.6, pages=pages)
        assert finite(found) == expected


def test_what_segment_returns_is_taken_as_it_is():
    """(H, W, K): of two classes class 1, of more the most probable."""
    probability, labels = stack(1, 20, 17)
    both = np.stack([1 - probability[0], probability[0]], axis=-1)
    expected = cunet.evaluate_pixels(probability[0], labels[0])
    assert cunet.evaluate_pixels(both, labels[0]) == expected
    assert cunet.evaluate_pixels(both[None], labels) == expected
    isbi = cunet.evaluate_isbi(both, labels[0])
    assert isbi == cunet.evaluate_isbi(probability, labels)
    truth = np.random.default_rng(2).integers(0, 3, (20, 17))
    raw = np.random.default_rng(3).random((20, 17, 3)) + 0.5 * np.eye(3)[truth]
    three = raw / raw.sum(axis=2, keepdims=True)
    found = cunet.evaluate_pixels(three, truth)
    assert found == cunet.evaluate_pixels(three.argmax(axis=2), truth, classes=3)
    assert found["accuracy"] == (three.argmax(axis=2) == truth).mean()


def test_classes_of_files_and_arrays(printed, save):
    rng = np.random.default_rng(4)
    truth = rng.integers(0, 3, (3, 12, 9)).astype(np.uint8)
    found = np.where(rng.random(truth.shape) < 0.7, truth, 0).astype(np.uint8)
    truth[:, 4] = 255
    files = save("m.tif", found), save("t.tif", truth)
    expected = printed("pixels", *files, "--pages", "2,0")
    assert finite(cunet.evaluate_pixels(*files, pages="2,0")) == expected
    assert finite(cunet.evaluate_pixels(found, truth, pages=[2, 0])) == expected
    white = cunet.evaluate_pixels(found > 0, truth, classes=2)
    assert finite(white) == finite(cunet.evaluate_pixels(255 * (found > 0).astype("u1"), truth))


def test_integers_and_bits_as_probabilities():
    probability, labels = stack(4, 20, 17)
    grey = np.round(255 * probability).astype(np.uint8)
    found, same = cunet.evaluate_pixels(grey, labels), cunet.evaluate_pixels(grey / 255, labels)
    assert found == same
    assert cunet.evaluate_pixels(labels > 0, labels)["f1"] == 1
    with pytest.warns(UserWarning, match="prob: its highest value is 0.0039 of the largest"):
        cunet.evaluate_pixels((labels > 0).astype(np.uint8), labels)


def wrong_at(value):
    probability, _ = stack(4, 20, 17)
    probability[2, 3, 4] = value
    return probability


PROB, LABELS = stack(4, 20, 17)


@pytest.mark.parametrize(
    ("prob", "truth", "settings", "kind", "words"),
    [
        (PROB[:, 1:], LABELS, {}, DataError, "'prob' is 19 x 17 but 'truth' is 20 x 17"),
        (PROB[:3], LABELS, {}, DataError, r"'prob' has 3 pages, 'truth' has 4"),
        (wrong_at(np.nan), LABELS, {}, DataError, "'prob' page 2 holds nan at row 3, column 4"),
        (PROB, PROB, {}, DataError, "'truth': expected whole numbers .*float32"),
        (PROB[0, 0], LABELS, {}, DataError, r"'prob': expected numbers of shape \(H, W\)"),
        (PROB > 0, LABELS, {"pages": [4]}, CunetError, "--pages 4: 'truth' has pages 0 to 3"),
        (PROB, LABELS, {"threshold": np.nan}, CunetError, "from 0 to 1, found nan"),
        (PROB, LABELS, {"threshold": 2}, CunetError, "from 0 to 1, found 2"),
        (PROB, LABELS, {"classes": 1}, CunetError, "--classes: expected 2 to 64, found 1"),
        (PROB, "nothing.tif", {}, CunetError, "no file 'nothing.tif'"),
        ("nothing.tif", LABELS, {}, CunetError, "no file 'nothing.tif'"),
    ],
)
def test_what_does_not_fit_is_refused(prob, truth, settings, kind, words):
    with pytest.raises(CunetError, match=words) as error:
        cunet.evaluate_pixels(prob, truth, **settings)
    assert type(error.value) is kind


# ISBI 2012


def test_isbi_of_files_and_arrays(printed, save):
    probability, labels = stack(4, 20, 17)
    prob, truth = save("p.tif", probability), save("t.tif", labels)
    expected = printed("isbi", prob, truth, "--pages", "1,3", "--radius", 3)
    seen = []
    found = cunet.evaluate_isbi(prob, truth, [1, 3], 3, lambda *done: seen.append(done))
    assert finite(found) == expected and sorted(seen) == [(1, 2), (2, 2)]
    assert finite(cunet.evaluate_isbi(probability, labels, "1,3", radius=3)) == expected
    assert [one["slice"] for one in found["per_slice"]] == [1, 3]
    with pytest.raises(CunetError, match="radius"):
        cunet.evaluate_isbi(probability, labels, radius=0)
    labels = labels // 255
    labels[0, 0, :2] = 2, 255
    with pytest.raises(DataError, match="'truth' has ignored pixels"):
        cunet.evaluate_isbi(probability, labels)


# Cells


@pytest.fixture
def sequence(tmp_path):
    """A folder of results and one of annotations, and the same as arrays."""
    truth = np.stack([cells(seed) for seed in range(4)])
    result = np.roll(truth, 1, axis=2)
    for folder in ("01_RES", "01_GT/SEG"):
        (tmp_path / folder).mkdir(parents=True)
    for number in range(4):
        tifffile.imwrite(tmp_path / f"01_RES/mask{number:03}.tif", result[number])
        tifffile.imwrite(tmp_path / f"01_GT/SEG/man_seg{number:03}.tif", truth[number])
    return tmp_path / "01_RES", tmp_path / "01_GT", result, truth


@pytest.mark.parametrize("frames", [None, "1-2", [1, 2]])
def test_ctc_of_folders_and_arrays(printed, sequence, frames):
    folder, annotated, result, truth = sequence
    options = [] if frames is None else ["--frames", "1-2"]
    expected = printed("ctc", folder, annotated, *options)
    assert finite(cunet.evaluate_ctc(folder, str(annotated), frames)) == expected
    assert finite(cunet.evaluate_ctc(result, truth, frames)) == expected
    assert 0 < expected["SEG"] < 1
    one = cunet.evaluate_ctc(result[1], truth[1])
    assert one["SEG"] == cunet.evaluate_ctc(result, truth, [1])["SEG"]


def test_ctc_refuses_what_does_not_fit(sequence):
    folder, annotated, result, truth = sequence
    for sources, words in (
        ((folder, truth), "two paths or two arrays"),
        ((result[:3], truth), r"result has 3 frames, truth has 4"),
        ((result[:, 1:], truth), "'result' is 39 x 40 but 'truth' is 40 x 40"),
        ((result.astype(int) - 1, truth), "'result': expected cell numbers from 0 up, found -1"),
        ((result / 2, truth), "'result': expected whole numbers"),
    ):
        with pytest.raises(CunetError, match=words):
            cunet.evaluate_ctc(*sources)
    for frames, words in (([7], "annotated are 0-3"), ("1,x", "expected 92,96-102, found '1,x'")):
        for sources in ((folder, annotated), (result, truth)):
            with pytest.raises(CunetError, match=words):
                cunet.evaluate_ctc(*sources, frames)
    with pytest.warns(UserWarning, match="no frame of 'result' holds more than one object"):
        cunet.evaluate_ctc(result > 0, truth)


def test_objects_of_folders_and_arrays(printed, tmp_path):
    truth = [cells(seed, side) for seed, side in ((0, 40), (1, 30), (2, 40))]
    pred = [np.roll(image, 1, axis=0) for image in truth]
    for folder, images in (("pred", pred), ("truth", truth)):
        (tmp_path / folder).mkdir()
        for number, image in enumerate(images):
            tifffile.imwrite(tmp_path / folder / f"{number}.tif", image)
    paths = tmp_path / "pred", tmp_path / "truth"
    expected = printed("dsb", *paths)
    seen = []
    assert finite(cunet.evaluate_objects(*map(str, paths))) == expected
    found = cunet.evaluate_objects(pred, truth, lambda *done: seen.append(done))
    assert finite(found) == expected and sorted(seen) == [(1, 3), (2, 3), (3, 3)]
    stacks = np.stack(pred[::2]), np.stack(truth[::2])
    assert cunet.evaluate_objects(*stacks)["images"] == 2
    one = cunet.evaluate_objects(pred[1], truth[1])["kaggle_dsb2018_score"]
    assert one == expected["per_image"][1]["kaggle_dsb2018_score"]
    masks = cunet.evaluate_objects(pred[0] > 0, truth[0] > 0)
    assert masks["objects"] > 1
    for sources, words in (
        ((pred, paths[1]), "two paths or two arrays"),
        ((pred[:2], truth), r"pred has 2 images, truth has 3"),
        ((pred[0], truth[1]), "'pred 0' is 40 x 40 but 'truth 0' is 30 x 30"),
        ((pred[0] / 2, truth[0]), "'pred 0': expected whole numbers"),
        ((pred[0].astype(int) - 1, truth[0]), "'pred 0' holds negative numbers"),
        ((tmp_path / "none", paths[1]), "no file or folder"),
    ):
        with pytest.raises(CunetError, match=words):
            cunet.evaluate_objects(*sources)
