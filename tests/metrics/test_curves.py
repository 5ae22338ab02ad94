"""Scores at one threshold and over all of them, against loops over every threshold and pixel."""

import math

import numpy as np
import pytest
from PIL import Image

from cunet.metrics.curves import MAX_POINTS, Counts, sweep
from cunet.pictures.plots import score_curves

SCORES = ("precision", "recall", "false_positive_rate", "f1", "iou", "accuracy")


def counts_at(pixels, threshold):
    """(TP, FP, FN, TN) of (probability, white) pairs, one after the other."""
    tp = fp = fn = tn = 0
    for probability, white in pixels:
        found = probability > threshold
        tp += found and white
        fp += found and not white
        fn += white and not found
        tn += not white and not found
    return tp, fp, fn, tn


def steps(pixels):
    """(TP, FP) from nothing found to everything found, one step per distinct probability."""
    thresholds = sorted({p for p, _ in pixels}, reverse=True) + [-math.inf]
    return [counts_at(pixels, t)[:2] for t in thresholds]


def ratio(top, bottom):
    return top / bottom if bottom else math.nan


def area_of(pixels):
    points = steps(pixels)
    positives, negatives = points[-1]
    if not positives or not negatives:
        return math.nan
    area = 0.0
    for (tp, fp), (next_tp, next_fp) in zip(points, points[1:], strict=False):
        width = (next_fp - fp) / negatives
        area += width * (next_tp + tp) / positives / 2
    return area


def mann_whitney(pixels):
    """How often a white pixel has the higher probability of a pair; ties count half."""
    whites, blacks = ([p for p, w in pixels if w == white] for white in (True, False))
    wins = sum((a > b) + (a == b) / 2 for a in whites for b in blacks)
    return ratio(wins, len(whites) * len(blacks))


def average_precision_of(pixels):
    points = steps(pixels)
    positives = points[-1][0]
    if not positives:
        return math.nan
    total, before = 0.0, 0.0
    for tp, fp in points[1:]:
        recall = tp / positives
        total += (recall - before) * tp / (tp + fp)
        before = recall
    return total


def random_case(seed, levels, shape=(2, 9, 7), share=0.4):
    """Probabilities on a few levels, so that many are equal, and a truth that follows them."""
    rng = np.random.default_rng(seed)
    truth = rng.random(shape) < share
    mixed = np.clip(0.6 * rng.random(shape) + 0.4 * truth, 0, 1)
    return np.round(mixed * levels) / levels, truth


def cases():
    rng = np.random.default_rng(9)
    smooth, truth = random_case(0, 10**6)
    ties, _ = random_case(0, 7)
    yield "all different", smooth, truth, None
    yield "ties", ties, truth, None
    yield "upside down", 1 - ties, truth, None
    yield "all equal", np.full_like(ties, 0.25), truth, None
    yield "zero and one", np.round(ties), truth, None
    yield "nothing white", ties, np.zeros_like(truth), None
    yield "all white", ties, np.ones_like(truth), None
    yield "ignored", ties, truth, rng.random(truth.shape) < 0.7
    yield "ignored float32", ties.astype("f4"), truth, rng.random(truth.shape) < 0.3
    yield "only white counts", ties, truth, truth
    yield "only black counts", ties, truth, ~truth
    yield "one pixel", ties[:1, :1, :1], truth[:1, :1, :1], None
    yield "float32", ties.astype("f4"), truth, None
    yield "uint8", np.round(255 * ties).astype("u1"), truth, None
    yield "uint16", np.round(65535 * smooth).astype("u2"), truth, None
    yield "bool", ties > 0.5, truth, None


@pytest.fixture(params=cases(), ids=lambda case: case[0])
def case(request):
    """(probability, truth, counted) that cannot be written to, and the pixels that count."""
    _, probability, truth, counted = request.param
    arrays = [a if a is None else a.copy() for a in (probability, truth, counted)]
    for array in arrays:
        if array is not None:
            array.flags.writeable = False
    keep = np.ones(truth.shape, bool) if counted is None else counted
    pixels = list(zip(probability[keep].tolist(), truth[keep].tolist(), strict=True))
    return arrays, [(float(p), w) for p, w in pixels]


def same(actual, expected):
    assert actual == pytest.approx(expected, rel=1e-12, abs=1e-12, nan_ok=True)


def test_counts_at_any_threshold_are_those_of_the_loops(case):
    arrays, pixels = case
    result = sweep(*arrays)
    levels = sorted({p for p, _ in pixels})
    middles = [(a + b) / 2 for a, b in zip(levels, levels[1:], strict=False)]
    for threshold in [-1.0, *levels[:30], *middles[:30], levels[-1], 0.5, 1e9]:
        tp, fp, fn, tn = counts_at(pixels, threshold)
        counts = result.at(threshold)
        assert counts == Counts(tp, fp, fn, tn), threshold
        expected = [
            ratio(tp, tp + fp),
            ratio(tp, tp + fn),
            ratio(fp, fp + tn),
            ratio(2 * tp, 2 * tp + fp + fn),
            ratio(tp, tp + fp + fn),
            (tp + tn) / len(pixels),
        ]
        same([getattr(counts, name)() for name in SCORES], expected)


def test_the_area_is_that_of_the_trapezoids_and_of_all_pairs(case):
    arrays, pixels = case
    same(sweep(*arrays).auc_roc(), area_of(pixels))
    same(sweep(*arrays).auc_roc(), mann_whitney(pixels))


def test_average_precision_is_the_sum_over_all_thresholds(case):
    arrays, pixels = case
    same(sweep(*arrays).average_precision(), average_precision_of(pixels))


def test_every_point_of_a_curve_is_what_its_threshold_gives(case):
    arrays, pixels = case
    result = sweep(*arrays)
    roc, pr = result.roc_curve(), result.pr_curve()
    assert len(roc) == len({p for p, _ in pixels}) + 1 and len(pr) == len(roc) - 1
    for point in roc:
        tp, fp, fn, tn = counts_at(pixels, point["threshold"])
        same(point["false_positive_rate"], ratio(fp, fp + tn))
        same(point["true_positive_rate"], ratio(tp, tp + fn))
    for point, beside in zip(pr, roc[1:], strict=True):
        tp, fp, fn, tn = counts_at(pixels, point["threshold"])
        assert point["threshold"] == beside["threshold"]
        same(point["precision"], ratio(tp, tp + fp))
        same(point["recall"], ratio(tp, tp + fn))
    assert pr[-1]["threshold"] == -math.inf


def test_the_comparison_is_made_in_float64():
    """The float32 nearest to 0.1 lies above 0.1, the float64 does not."""
    truth = np.ones((1, 1, 1), bool)
    assert sweep(np.full((1, 1, 1), 0.1, "f4"), truth).at(0.1).tp == 1
    assert sweep(np.full((1, 1, 1), 0.1, "f8"), truth).at(0.1).tp == 0
    assert sweep(np.full((1, 1, 1), 51, "u1") / 255, truth).at(0.2).tp == 0


def test_without_a_pixel_everything_is_undefined():
    result = sweep(np.ones((1, 2, 2)), np.ones((1, 2, 2), bool), np.zeros((1, 2, 2), bool))
    assert result.at(0.5) == Counts(0, 0, 0, 0)
    values = [getattr(result.at(0.5), name)() for name in SCORES]
    assert all(map(math.isnan, [*values, result.auc_roc(), result.average_precision()]))
    assert result.pr_curve() == [] and len(result.roc_curve()) == 1


def test_known_areas():
    truth = np.array([True, True, False, False])
    assert sweep(np.array([0.9, 0.8, 0.2, 0.1]), truth).auc_roc() == 1
    assert sweep(np.array([0.1, 0.2, 0.8, 0.9]), truth).auc_roc() == 0
    assert sweep(np.full(4, 0.5), truth).auc_roc() == 0.5
    # by hand: R = 1/2, 1/2, 1; P = 1, 1/2, 2/3
    mixed = sweep(np.array([0.9, 0.4, 0.6, 0.1]), truth)
    assert mixed.average_precision() == pytest.approx(1 / 2 + 1 / 2 * 2 / 3)
    assert mixed.auc_roc() == 0.75


def test_long_curves_are_thinned_evenly_and_the_areas_are_not():
    rng = np.random.default_rng(4)
    truth = rng.random((3, 100, 100)) < 0.8
    # as from trained networks: nearly all close to 0 or to 1
    probability = 1 / (1 + np.exp(-20 * truth + 10 - 6 * rng.normal(size=truth.shape)))
    result = sweep(probability, truth)
    roc, pr = result.roc_curve(), result.pr_curve()
    assert len(result.thresholds) > 20_000 and 150 < len(roc) <= MAX_POINTS
    ends = [[p["false_positive_rate"], p["true_positive_rate"]] for p in (roc[0], roc[-1])]
    assert ends == [[0, 0], [1, 1]]
    assert pr[-1]["recall"] == 1 and pr[-1]["precision"] == pytest.approx(truth.mean())
    sums = np.array([p["false_positive_rate"] + p["true_positive_rate"] for p in roc])
    assert 0 < np.diff(sums).min() and np.diff(sums).max() < 1.1 * 2 / (MAX_POINTS - 1)
    for point in (roc[1], roc[70], roc[-2]):
        counts = result.at(point["threshold"])
        assert counts.recall() == point["true_positive_rate"]
        assert counts.false_positive_rate() == point["false_positive_rate"]
    # ranks give the area too: the Mann-Whitney statistic of numbers that are all different
    ranks = np.empty(truth.size)
    ranks[probability.ravel().argsort()] = np.arange(1, truth.size + 1)
    white, black = int(truth.sum()), int((~truth).sum())
    wins = ranks[truth.ravel()].sum() - white * (white + 1) / 2
    assert result.auc_roc() == pytest.approx(wins / white / black, rel=1e-12)
    assert result.auc_roc() < 1


def test_a_whole_stack_of_equal_numbers_and_strided_views():
    probability, truth = random_case(3, 11, (4, 30, 20))
    turned = sweep(np.swapaxes(probability, 1, 2)[:, ::-1], np.swapaxes(truth, 1, 2)[:, ::-1])
    straight = sweep(probability, truth)
    assert np.array_equal(turned.tp, straight.tp) and np.array_equal(turned.fp, straight.fp)
    assert len(straight.thresholds) == 13


@pytest.mark.parametrize("truth", [np.ones((2, 3), np.uint8), np.ones((3, 2), bool)])
def test_a_truth_of_another_kind_is_refused(truth):
    with pytest.raises(ValueError, match=r"truth is .* expected bool \(2, 3\)"):
        sweep(np.zeros((2, 3)), truth)
    with pytest.raises(ValueError, match=r"counted is .* expected bool \(2, 3\)"):
        sweep(np.zeros((2, 3)), np.ones((2, 3), bool), truth)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_has_no_order_is_refused(value):
    with pytest.raises(ValueError, match="NaN or infinity"):
        sweep(np.array([0.5, value]), np.array([True, False]))


@pytest.mark.parametrize("white, pr, roc", [(0.4, True, True), (0, False, False), (1, True, False)])
def test_the_picture_is_drawn_whatever_is_undefined(tmp_path, white, pr, roc):
    probability, truth = random_case(5, 9, share=white)
    score_curves(sweep(probability, truth), 0.5, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.format == "PNG"
        colours = np.asarray(picture.convert("RGB"))
    for drawn, half in zip((pr, roc), np.array_split(colours, 2, axis=1), strict=True):
        blue, orange = ((half == c).all(axis=2).sum() for c in ((31, 119, 180), (255, 127, 14)))
        assert blue > 300 if drawn else blue == 0
        assert orange > 50  # the threshold's mark: always in the legend
