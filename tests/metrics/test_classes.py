"""The scores of several classes against a count pixel by pixel."""

import math

import numpy as np
import pytest

from cunet.metrics.classes import accuracy, class_scores, confusion, mean_iou


def brute_force(found, truth, counted, classes):
    """Every score from sets of pixels, with no matrix."""
    found, truth, counted = (a.ravel().tolist() for a in (found, truth, counted))
    pixels = [i for i, kept in enumerate(counted) if kept]
    scores = []
    for k in range(classes):
        a = {i for i in pixels if truth[i] == k}
        b = {i for i in pixels if found[i] == k}
        both = len(a & b)
        ratios = [(both, len(b)), (both, len(a)), (2 * both, len(a) + len(b)), (both, len(a | b))]
        values = [top / bottom if bottom else math.nan for top, bottom in ratios]
        scores.append([k, *values, len(a)])
    right = sum(found[i] == truth[i] for i in pixels) / len(pixels)
    defined = [row[4] for row in scores if not math.isnan(row[4])]
    return scores, right, sum(defined) / len(defined)


@pytest.mark.parametrize(("classes", "present"), [(2, 2), (3, 3), (5, 3), (7, 7)])
def test_every_score_is_that_of_a_count(classes, present):
    rng = np.random.default_rng(classes)
    truth = rng.integers(0, present, (3, 11, 13)).astype(np.uint8)
    found = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, present, truth.shape))
    counted = rng.random(truth.shape) < 0.8
    truth[~counted] = 255
    slices = zip(found, truth, counted, strict=True)
    matrix = sum(confusion(a, b, classes, kept) for a, b, kept in slices)
    scores, right, mean = brute_force(found, truth, counted, classes)
    found_scores = class_scores(matrix)
    assert [list(one) for one in found_scores] == [
        ["class", "precision", "recall", "f1", "iou", "pixels"]
    ] * classes
    np.testing.assert_allclose([list(one.values()) for one in found_scores], scores, rtol=1e-14)
    assert accuracy(matrix) == pytest.approx(right, rel=1e-14)
    assert mean_iou(matrix) == pytest.approx(mean, rel=1e-14)
    assert present < classes or not np.isnan([list(one.values()) for one in found_scores]).any()


def test_by_hand():
    truth = np.array([[0, 0, 1, 1, 2, 2]])
    found = np.array([[0, 1, 1, 1, 2, 0]])
    matrix = confusion(found, truth, 4)
    assert matrix.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert matrix.dtype == np.int64
    one = class_scores(matrix)[1]
    assert one == {
        "class": 1, "precision": 2 / 3, "recall": 1.0, "f1": 0.8, "iou": 2 / 3, "pixels": 2,
    }  # fmt: skip
    assert accuracy(matrix) == 4 / 6
    assert mean_iou(matrix) == pytest.approx((1 / 3 + 2 / 3 + 1 / 2) / 3)
    absent = class_scores(matrix)[3]
    assert absent["pixels"] == 0 and math.isnan(absent["recall"]) and math.isnan(absent["iou"])


def test_large_counts_do_not_wrap():
    ids = np.full((300, 300), 60, np.uint8)  # 60 x 61 is more than a byte
    assert confusion(ids, ids, 61)[60, 60] == 90_000


def test_nothing_that_counts():
    nothing = confusion(np.zeros((2, 2), int), np.zeros((2, 2), int), 3, np.zeros((2, 2), bool))
    assert nothing.sum() == 0 and math.isnan(accuracy(nothing)) and math.isnan(mean_iou(nothing))


@pytest.mark.parametrize(
    ("found", "truth", "reason"),
    [
        ([[0, 3]], [[0, 1]], "found holds ids from 0 to 3; expected 0 to 2"),
        ([[0, 1]], [[-1, 1]], "truth holds ids from -1 to 1"),
        ([[0, 1, 1]], [[0, 1]], r"different shapes: \(1, 3\), \(1, 2\)"),
    ],
)
def test_what_does_not_fit_is_refused(found, truth, reason):
    with pytest.raises(ValueError, match=reason):
        confusion(np.array(found), np.array(truth), 3)
