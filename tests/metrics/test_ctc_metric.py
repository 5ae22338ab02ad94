"""SEG: by hand, and against the definition written out as loops over sets of pixels."""

import math
from fractions import Fraction

import numpy as np
import pytest
from label_images import noisy, random_labels, row

from cunet.errors import CunetError
from cunet.metrics.ctc import Frame, summary
from cunet.metrics.overlap import Overlap


def scores(truth, found):
    return Frame.of(row(truth), row(found)).scores.tolist()


@pytest.mark.parametrize(
    "truth,found,expected",
    [
        ("11112222.", "11112222.", [1, 1]),
        ("1111.....", "9999.....", [1]),  # numbers need not agree
        ("1111.....", "11.......", [0]),  # exactly half is no match
        ("1111.....", "111......", [3 / 4]),
        ("11111....", "111......", [3 / 5]),
        ("1111.....", "11......1", [0]),
        ("1111.....", "1111111..", [4 / 7]),
        ("11112222.", "33333333.", [4 / 8, 4 / 8]),  # merged: one found object matches both
        ("11111222.", "3333333..", [5 / 7, 0 + 2 / 8]),  # 2 of 3 are over half as well
        ("111111...", "112222...", [4 / 6]),  # split: the larger part matches
        ("111222...", ".........", [0, 0]),
        ("111......", "111.22.33", [1]),  # what is found elsewhere costs nothing
        (".........", "111.22...", []),
        (".........", ".........", []),
        ("z11y.....", "z11y.....", [1, 1, 1]),  # gaps between the numbers
    ],
)
def test_by_hand(truth, found, expected):
    assert scores(truth, found) == pytest.approx(expected, abs=1e-15)


def test_the_mean_is_over_objects_not_over_frames():
    frames = [
        Frame.of(row("11.22.33.44"), row("11.22.33...")),  # 3 of 4
        Frame.of(row("1111"), row("....")),  # 0 of 1
        Frame.of(row("...."), row("7788")),  # nothing annotated
    ]
    together = summary(frames)
    assert together["SEG"] == pytest.approx(3 / 5)
    assert [together[key] for key in ("objects", "matched", "unmatched", "found")] == [5, 3, 2, 5]
    assert together["iou"] == pytest.approx(6 / (8 + 4 + 4))
    empty = summary(frames[2:])
    assert math.isnan(empty["SEG"]) and empty["objects"] == 0 and empty["iou"] == 0
    nothing = summary([Frame.of(row("..."), row("..."))])
    assert math.isnan(nothing["SEG"]) and math.isnan(nothing["iou"])


def seg_by_definition(truth, found):
    """The scores of all reference objects, as fractions."""
    fractions = []
    for r in sorted(set(truth.flat) - {0}):
        reference, best = set(zip(*np.nonzero(truth == r), strict=True)), Fraction(0)
        for s in set(found.flat) - {0}:
            other = set(zip(*np.nonzero(found == s), strict=True))
            if Fraction(len(reference & other), len(reference)) > Fraction(1, 2):
                assert best == 0  # at most one
                best = Fraction(len(reference & other), len(reference | other))
        fractions.append(best)
    return fractions


def test_against_the_definition():
    rng, seen = np.random.default_rng(5), set()
    for _ in range(60):
        truth = random_labels(rng)
        found = noisy(rng, truth)
        expected = seg_by_definition(truth, found)
        frame = Frame.of(truth.astype(np.uint16), found.astype(np.int32))
        assert frame.scores.tolist() == [float(score) for score in expected]
        both, either = (truth > 0) & (found > 0), (truth > 0) | (found > 0)
        assert summary([frame])["iou"] == both.sum() / either.sum()
        assert frame.found == len(set(found.flat) - {0})
        seen |= {0 if score == 0 else 1 if score == 1 else 0.5 for score in expected}
    assert seen == {0, 0.5, 1}


# The table of shared pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.uint32, np.int64, np.uint64])
def test_the_table_against_counting(dtype):
    rng = np.random.default_rng(8)
    numbers = np.array([0, 3, 4, 77, 200], dtype) * dtype(np.iinfo(dtype).max // 200)
    truth, found = rng.choice(numbers, (2, 23, 31))
    overlap = Overlap.of(truth, found)
    assert overlap.truth.tolist() == overlap.found.tolist() == numbers[1:].tolist()
    table = {(int(a), int(b)): 0 for a in numbers[1:] for b in numbers[1:]}
    for a, b in zip(truth.flat, found.flat, strict=True):
        if a and b:
            table[int(a), int(b)] += 1
    pairs = {
        (int(overlap.truth[i]), int(overlap.found[j])): int(n)
        for i, j, n in zip(overlap.rows, overlap.columns, overlap.shared, strict=True)
    }
    assert pairs == table and list(pairs) == sorted(pairs)
    for sizes, image in ((overlap.truth_sizes, truth), (overlap.found_sizes, found)):
        assert sizes.tolist() == [(image == number).sum() for number in numbers[1:]]
    for union, (a, b) in zip(overlap.unions(), pairs, strict=True):
        assert union == ((truth == a) | (found == b)).sum()
    inside = [(truth > 0) & (found > 0), (truth == 0) & (found > 0), (truth > 0) & (found == 0)]
    assert overlap.foreground() == tuple(mask.sum() for mask in inside)


@pytest.mark.parametrize("shape", [(0, 0), (1, 1), (4, 5)])
def test_the_table_of_nothing(shape):
    blank, full = np.zeros(shape, np.uint8), np.ones(shape, np.uint8)
    for truth, found in ((blank, blank), (blank, full), (full, blank)):
        overlap = Overlap.of(truth, found)
        assert len(overlap.shared) == 0 and len(overlap.unions()) == 0
        assert overlap.truth_sizes.tolist() == [truth.size] * bool(truth.any())
        assert overlap.foreground() == (0, found.sum(), truth.sum())


def test_read_only_and_strided_images():
    wide = np.zeros((6, 14), np.uint16)
    wide[1:4, 2:12] = 60_000
    wide.flags.writeable = False
    overlap = Overlap.of(wide[:, ::2], wide[::-1, ::2])
    assert overlap.shared.tolist() == [2 * 5]  # rows 1-3 against rows 2-4


def test_sizes_must_agree():
    with pytest.raises(CunetError, match=r"one size, found \(1, 4\) and \(1, 5\)"):
        Frame.of(row("1111"), row("11111"))
