"""Scores over thresholds of the IoU: by hand, and against loops over sets with exact fractions."""

import math
from fractions import Fraction

import numpy as np
import pytest
from label_images import noisy, random_labels, row

from cunet.metrics.dsb2018 import KAGGLE_THRESHOLDS, LEVELS, STEPS, THRESHOLDS, Tally, summary


def tally(truth, found):
    return Tally.of(row(truth), row(found))


def test_the_thresholds_are_exact_decimals():
    written = "0.5 0.55 0.6 0.65 0.7 0.75 0.8 0.85 0.9 0.95 1.0"
    assert [str(threshold) for threshold in THRESHOLDS] == written.split()
    assert THRESHOLDS[:KAGGLE_THRESHOLDS][-1] == 0.95


@pytest.mark.parametrize("level", range(8, 21))
@pytest.mark.parametrize("scale", [1, 7, 999])
def test_an_iou_exactly_on_a_threshold_is_a_match(level, scale):
    truth = np.ones((scale, STEPS), np.uint8)
    found = (np.arange(STEPS) < level).astype(np.uint8) * np.ones((scale, 1), np.uint8)
    expected = [int(one <= level) for one in LEVELS]
    assert Tally.of(truth, found).matched.tolist() == expected
    assert Tally.of(found, truth).matched.tolist() == expected
    found[0, 0] = 0  # one pixel less is below it
    expected = [int(one < level) for one in LEVELS]
    assert Tally.of(truth, found).matched.tolist() == expected


@pytest.mark.parametrize(
    "truth,found,at_half,at_one",
    [
        ("1111.22.", "1111.22.", 2, 2),
        ("1111....", "1122....", 1, 0),  # two halves: one of them is the partner
        ("1122....", "3333....", 1, 0),  # one covers two: it has one partner
        ("1111....", ".11.....", 1, 0),
        ("1111....", ".1......", 0, 0),
        ("1122.344", "1122.344", 4, 4),
        ("111222..", "111333..", 2, 2),
        ("1111.222", "1122.222", 2, 0),  # 3/5 goes first and leaves 2/4
        ("12......", "21......", 2, 2),
    ],
)
def test_the_matching_by_hand(truth, found, at_half, at_one):
    for one in (tally(truth, found), tally(found, truth)):
        assert one.matched[0] == at_half and one.matched[-1] == at_one


def test_empty_images():
    nothing, missed, extra = tally("....", "...."), tally("1.22", "...."), tally("....", "1.22")
    assert (nothing.kaggle_score(), nothing.report_score()) == (1, 1)
    assert (missed.kaggle_score(), missed.report_score()) == (0, 0)
    assert (extra.kaggle_score(), extra.report_score()) == (0, 0)
    together = summary([nothing, missed, extra])
    assert together["kaggle_dsb2018_score"] == together["report_mean_average_precision"] == 1 / 3
    only = summary([nothing])["thresholds"][0]
    assert (only["tp"], only["fp"], only["fn"]) == (0, 0, 0)
    assert all(math.isnan(only[key]) for key in ("precision", "recall", "f1"))
    only = summary([missed])["thresholds"][0]
    assert math.isnan(only["precision"]) and only["recall"] == only["f1"] == 0


def test_two_images_by_hand():
    # IoU 3/4 counts at 0.50 ... 0.75, 6 thresholds; then one object found exactly, one missed
    images = [tally("1111....", "111....."), tally("11.22...", "11......")]
    both = summary(images)
    assert both["kaggle_dsb2018_score"] == pytest.approx((6 / 10 + 1 / 2) / 2)
    # what was missed does not count here
    assert both["report_mean_average_precision"] == pytest.approx((6 / 11 + 1) / 2)
    assert [both[key] for key in ("images", "objects", "found")] == [2, 3, 2]
    low, high = both["thresholds"][0], both["thresholds"][6]
    assert low == {
        "threshold": 0.5, "tp": 2, "fp": 0, "fn": 1,
        "precision": 1.0, "recall": 2 / 3, "f1": 4 / 5,
    }  # fmt: skip
    assert (high["threshold"], high["tp"], high["fp"], high["fn"]) == (0.8, 1, 1, 2)
    assert (high["precision"], high["recall"], high["f1"]) == (1 / 2, 1 / 3, 2 / 5)
    assert both["pixel_precision"] == 1 and both["pixel_recall"] == both["pixel_iou"] == 5 / 8
    assert both["pixel_f1"] == 10 / 13


def matched_by_definition(truth, found, threshold):
    """One to one by descending IoU, then truth number, then found number; true positives."""
    pixels = [
        {n: set(zip(*np.nonzero(image == n), strict=True)) for n in set(image.flat) - {0}}
        for image in (truth, found)
    ]
    pairs = []
    for r, a in pixels[0].items():
        for s, b in pixels[1].items():
            iou = Fraction(len(a & b), len(a | b))
            if iou >= threshold:
                pairs.append((-iou, r, s))
    used, tp = set(), 0
    for _, r, s in sorted(pairs):
        if ("truth", r) not in used and ("found", s) not in used:
            used |= {("truth", r), ("found", s)}
            tp += 1
    return tp, len(pixels[0]), len(pixels[1]), len(pairs)


def test_against_the_definition():
    rng, ties, levels = np.random.default_rng(2), 0, set()
    tallies, kaggle, report = [], [], []
    for _ in range(60):
        truth = random_labels(rng)
        found = noisy(rng, truth)
        if rng.random() < 0.3:  # halves, which tie
            found = np.where((np.arange(10) % 2 == 1) & (truth > 0), truth + 20, truth)
        one = Tally.of(truth, found)
        shares, precisions = [], []
        for step, level in enumerate(range(10, 21)):
            tp, objects, all_found, pairs = matched_by_definition(truth, found, Fraction(level, 20))
            assert (one.matched[step], one.truth, one.found) == (tp, objects, all_found)
            ties += pairs > tp
            levels.add((step, tp > 0))
            shares.append(tp / (objects + all_found - tp))
            precisions.append(tp / all_found)
        kaggle.append(np.mean(shares[:10]))
        report.append(np.mean(precisions))
        assert one.kaggle_score() == pytest.approx(kaggle[-1], abs=1e-15)
        assert one.report_score() == pytest.approx(report[-1], abs=1e-15)
        tallies.append(one)
    assert ties > 5 and len(levels) == 22  # every threshold was met and was missed
    both = summary(tallies)
    assert both["kaggle_dsb2018_score"] == pytest.approx(np.mean(kaggle), abs=1e-14)
    assert both["report_mean_average_precision"] == pytest.approx(np.mean(report), abs=1e-14)


def test_a_hundred_objects_of_large_numbers():
    """512 x 512, numbers far apart; shifted by one pixel every square keeps its partner."""
    places = np.arange(512) // 51
    squares = (places[:, None] * 10 + places) * 40_000_003 + 5
    inside = (np.arange(512) % 51 > 0) & (np.arange(512) < 510)
    truth = np.where(inside[:, None] & inside, squares, 0).astype(np.uint32)
    one = Tally.of(truth, np.roll(truth, 1, axis=1))
    assert one.truth == one.found == 100
    # 50 x 49 pixels shared of 50 x 51: an IoU of 0.9608
    assert one.matched.tolist() == [100] * 10 + [0]
