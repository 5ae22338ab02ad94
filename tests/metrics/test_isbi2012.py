"""The ISBI 2012 metrics against the organisers' own values, and against definitions counted out."""

import itertools

import numpy as np
import pytest
import tifffile
from golden_cases import CASES, GOLDEN, VALUES, read
from scipy.ndimage import gaussian_filter, label

from cunet.errors import CunetError
from cunet.metrics import isbi2012, warping
from cunet.metrics.contingency import Contingency
from cunet.metrics.pixel import THRESHOLDS, PixelCounts
from cunet.metrics.thinning import thinned
from cunet.threads import set_threads

# ImageJ scales a truth that is white everywhere to black, so that each pixel left over counts as an
# added object there: a quirk, not a definition. Its warping counts are not ours.
EXEMPT = "gt_all_cell_proposal_split"
THEIR_NAMES = {
    "merge": "mergers",
    "split": "splits",
    "hole_addition": "holeAdditions",
    "object_deletion": "objectDeletions",
    "object_addition": "objectAdditions",
    "hole_deletion": "holeDeletions",
}


def close(found, expected):
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("dtype,largest", [("u4", 2**32 - 1), ("i8", 2**62), ("u8", 2**64 - 1)])
def test_numbers_of_any_size_score_as_small_ones(dtype, largest):
    """Without room for the numbers between them, and without an overflow."""
    rng = np.random.default_rng(4)
    truth, found = rng.integers(0, 5, (2, 20, 30))
    far = np.array([0, 7, largest // 3, largest - 1, largest], dtype)
    small, large = Contingency.of(truth, found), Contingency.of(far[truth], far[found])
    assert small.pairs() == large.pairs() and small.singles == large.singles
    assert small.rand_f_score() == large.rand_f_score()
    assert small.information_f_score() == pytest.approx(large.information_f_score(), rel=1e-14)


def test_the_thresholds_are_theirs():
    assert THRESHOLDS.tolist() == VALUES["thresholds"]
    assert len(CASES) == 36


@pytest.mark.parametrize("name", CASES)
def test_every_slice_at_every_threshold(name):
    probability, truth = read(name)
    for i in range(len(truth)):
        expected = CASES[name][f"slice{i}"]
        found = isbi2012.summary([isbi2012.Tally.of(probability[i], truth[i])])
        curves = found["curves"]
        close(1 - np.array(curves["pixel_error"]), expected["pixel_f"])
        close(1 - np.array(curves["rand_error"]), expected["rand_f"])
        close(curves["v_rand"], expected["v_rand_thinned"])
        close(curves["v_info"], expected["v_info_thinned"])
        close(found["v_rand"], expected["v_rand_thinned_max"])
        close(found["v_info"], expected["v_info_thinned_max"])
        if name != EXEMPT:
            close(found["warping_error"], expected["warping_error_radius_-1"])


@pytest.mark.parametrize("radius", [-1, 20, 5])
@pytest.mark.parametrize("name", CASES)
def test_every_error_of_topology(name, radius):
    probability, truth = read(name)
    for i in range(len(truth)):
        expected = CASES[name][f"slice{i}"]
        for k, threshold in enumerate(THRESHOLDS):
            found = probability[i].astype(np.float64) > threshold
            warped = warping.warp(probability[i], truth[i], threshold)
            left = (warped != found).mean()
            close(left, expected["warping_all_mismatches"][k])
            if name == EXEMPT:
                continue
            kinds = warping.count(warping.classify(warped, found, radius))
            theirs = expected[f"warping_counts_radius_{radius}"][k]
            assert {theirs_of: kinds[ours] for ours, theirs_of in THEIR_NAMES.items()} == theirs


@pytest.mark.parametrize("name", [n for n in CASES if (GOLDEN / f"{n}_at0.5_warped.tif").exists()])
def test_the_pictures_at_one_half(name):
    """Warped truth and kinds pixel by pixel; the thinning up to the numbers of its basins."""
    (probability,), (truth,) = read(name)
    found = probability > 0.5
    basins = tifffile.imread(GOLDEN / f"{name}_at0.5_watershed.tif").astype(int)
    ours = thinned(found)
    assert np.array_equal(ours == 0, basins == 0)
    pairs = {*zip(ours.ravel().tolist(), basins.ravel().tolist(), strict=True)}
    assert len(pairs) == len({a for a, _ in pairs}) == len({b for _, b in pairs})
    warped = warping.warp(probability, truth, 0.5)
    assert np.array_equal(warped, tifffile.imread(GOLDEN / f"{name}_at0.5_warped.tif") > 0)
    if name != EXEMPT:
        kinds = tifffile.imread(GOLDEN / f"{name}_at0.5_mismatch.tif")
        assert np.array_equal(warping.classify(warped, found), kinds)


@pytest.mark.parametrize("radius", [-1, 20, 5])
def test_a_stack(radius):
    name = "stack2_merge_and_split"
    probability, truth = read(name)
    expected, found = CASES[name]["stack"], isbi2012.evaluate(probability, truth, radius)
    close(1 - np.array(found["curves"]["pixel_error"]), expected["pixel_f"])
    close(1 - np.array(found["curves"]["rand_error"]), expected["rand_f"])
    close(1 - found["rand_error"], expected["rand_max_f"])
    close(found["v_rand"], expected["v_rand_thinned_max"])
    close(found["v_info"], expected["v_info_thinned_max"])
    close(found["warping_error"], expected[f"warping_error_radius_{radius}"])


# Definitions counted out, independently of the code


@pytest.fixture
def pair():
    """A truth and a proposal (24, 20) bool with a few objects each, unlike each other."""
    rng = np.random.default_rng(3)
    smooth = [gaussian_filter(rng.standard_normal((24, 20)), 1.5) for _ in range(2)]
    return smooth[0] > -0.05, smooth[0] + 0.5 * smooth[1] > -0.02


def test_rand_is_a_count_of_pairs(pair):
    """Each ordered pair (self pairs among them) of pixels inside the truth's objects."""
    truth, found = (label(image)[0] for image in pair)
    a, b = truth[truth > 0], found[truth > 0].copy()
    single = b == 0
    b[single] = 10_000 + np.arange(single.sum())  # objects of their own
    in_truth, in_found = a[:, None] == a, b[:, None] == b
    counts = ((in_truth & in_found), (in_found & ~in_truth), (in_truth & ~in_found))
    tp, fp, fn = (int(np.count_nonzero(c)) for c in counts)
    table = Contingency.of(truth, found)
    assert table.pairs() == (tp, fp, fn)
    assert table.rand_f_score() == pytest.approx(2 * tp / (2 * tp + fp + fn), abs=1e-15)


def test_information_is_mutual_information_over_mean_entropy(pair):
    truth, found = (label(image)[0] for image in pair)
    a, b = truth[truth > 0].tolist(), found[truth > 0].tolist()
    b = [value or 10_000 + i for i, value in enumerate(b)]
    n = len(a)
    joint = {p: sum(q == p for q in zip(a, b, strict=True)) / n for p in zip(a, b, strict=True)}
    pa = {i: a.count(i) / n for i in a}
    pb = {j: b.count(j) / n for j in b}
    mutual = sum(p * np.log(p / (pa[i] * pb[j])) for (i, j), p in joint.items())
    entropies = -sum(p * np.log(p) for d in (pa, pb) for p in d.values())
    expected = 2 * mutual / entropies
    assert Contingency.of(truth, found).information_f_score() == pytest.approx(expected, abs=1e-12)


def topological_numbers(ring):
    """(T4 of the foreground, T8 of the background) of a ring of eight, counted by flooding."""
    places = [(0, 1), (-1, 1), (-1, 0), (-1, -1), (0, -1), (1, -1), (1, 0), (1, 1)]

    def pieces(members, distance):
        members, count = set(members), 0
        while members:
            group, touches = [members.pop()], False
            for place in group:
                touches |= distance(place, (0, 0)) <= 1
                near = [other for other in members if distance(place, other) <= 1]
                members.difference_update(near)
                group += near
            count += touches
        return count

    def city(a, b):
        return abs(a[0] - b[0]) + abs(a[1] - b[1])

    def chess(a, b):
        return max(abs(a[0] - b[0]), abs(a[1] - b[1]))

    white = [p for p, x in zip(places, ring, strict=True) if x]
    black = [p for p, x in zip(places, ring, strict=True) if not x]
    return pieces(white, city), pieces(black, chess)


def test_only_simple_points_are_flipped():
    """All 256 neighbourhoods: a pixel flips if and only if both topological numbers are 1."""
    flips = []
    for ring in itertools.product([False, True], repeat=8):
        truth = np.zeros((3, 3), bool)
        truth[tuple((warping.RING + 1).T)] = ring
        probability = truth.astype(np.float32)
        probability[1, 1] = 1  # only the middle differs
        flipped = bool(warping.warp(probability, truth, 0.5)[1, 1])
        assert flipped == (topological_numbers(ring) == (1, 1)), ring
        flips.append(flipped)
    assert 0 < sum(flips) < 256


def test_warping_keeps_the_number_of_cells_and_holes(pair):
    truth, _ = pair
    probability = np.random.default_rng(0).random(truth.shape)
    warped = warping.warp(probability, truth, 0.5)
    assert (warped != truth).any()
    eight = np.ones((3, 3))
    for image in (truth, warped):
        counts = label(image)[1], label(~np.pad(image, 1), eight)[1]
        assert counts == (label(truth)[1], label(~np.pad(truth, 1), eight)[1])


def test_thinning_grows_every_cell_to_lines_of_one_pixel(pair):
    _, found = pair
    basins = thinned(found)
    cells, count = label(found)
    assert basins.max() == count
    assert np.array_equal(np.unique(basins[found]), np.arange(1, count + 1))
    for number in range(1, count + 1):
        assert len(np.unique(basins[cells == number])) == 1  # no cell is cut or renumbered twice
    for axis in (0, 1):  # no two basins touch: a line is between them
        a, b = np.moveaxis(basins, axis, 0)[:-1], np.moveaxis(basins, axis, 0)[1:]
        assert not ((a != b) & (a > 0) & (b > 0)).any()
    line = np.pad(basins == 0, 1)  # thin: nowhere a block of 3 x 3
    assert not np.all([np.roll(line, s, (0, 1)) for s in itertools.product((-1, 0, 1), repeat=2)],
                      axis=0).any()  # fmt: skip


def test_a_window_and_the_whole_image_may_differ():
    """A ring cut open: seen whole it stays one cell, in a small window it falls into two."""
    (probability,), (truth,) = read("big_ring_cut_radius_matters")
    warped = warping.warp(probability, truth, 0.5)
    kinds = [warping.count(warping.classify(warped, probability > 0.5, r)) for r in (-1, 5)]
    assert kinds[0]["split"] == 0 < kinds[1]["split"]
    assert kinds[0]["hole_deletion"] > kinds[1]["hole_deletion"]


def test_a_white_point_beside_another_cell_at_every_border():
    """A pixel that touches a cell at a corner alone, in the corners of the image as well."""
    for flip in itertools.product((1, -1), repeat=2):
        truth = np.zeros((5, 5), bool)
        truth[0, 0] = truth[1:3, 1:3] = True
        warped, found = truth[:: flip[0], :: flip[1]], np.zeros((5, 5), bool)
        kinds = warping.classify(warped, found)
        assert kinds[:: flip[0], :: flip[1]][0, 0] == warping.HOLE_DELETION


# The whole


def test_scores_do_not_depend_on_threads_or_on_the_kind_of_array(threads_as_before):
    rng = np.random.default_rng(1)
    smooth = gaussian_filter(rng.standard_normal((5, 40, 44)), (0, 2, 2))
    truth = smooth > 0
    probability = (1 / (1 + np.exp(-40 * (smooth + 0.1 * gaussian_filter(
        rng.standard_normal(smooth.shape), (0, 1, 1)))))).astype(np.float32)  # fmt: skip
    reported = []
    set_threads(1)
    alone = isbi2012.evaluate(probability, truth, progress=reported.append)
    set_threads(3)
    probability.flags.writeable = truth.flags.writeable = False
    together = isbi2012.evaluate(np.asfortranarray(probability), truth)
    assert alone == together
    assert reported == [1, 2, 3, 4, 5]
    assert [s["slice"] for s in alone["per_slice"]] == [0, 1, 2, 3, 4]
    for i, one in enumerate(alone["per_slice"]):
        single = isbi2012.evaluate(probability[i : i + 1], truth[i : i + 1])
        assert {key: single[key] for key in isbi2012.KEYS} == {k: one[k] for k in isbi2012.KEYS}
    for key in isbi2012.KEYS:
        curve = alone["curves"][key]
        assert alone[key] == (max(curve) if key.startswith("v_") else min(curve))
        assert alone["thresholds"][key] == THRESHOLDS[curve.index(alone[key])]
    assert len(alone["curves"]["warping_error"]) == 10  # up to 0.9, as on the board


def test_float32_tenths_are_above_the_thresholds():
    """float32(0.1) > 0.1 in float64: NumPy's own comparison of the two would say otherwise."""
    tenths = np.array([[0.1, 0.2, 0.6, 1.0]], np.float32)
    counts = PixelCounts()
    counts.add(tenths, np.ones((1, 4), bool))
    expected = [sum(float(p) > t for p in tenths[0]) for t in THRESHOLDS]
    assert counts.positive.tolist() == expected


@pytest.mark.parametrize(
    "shapes", [((2, 4, 4), (2, 4, 5)), ((2, 4, 4), (3, 4, 4)), ((0, 4, 4),) * 2]
)
def test_other_shapes_are_named(shapes):
    with pytest.raises(CunetError, match="equal in number and shape"):
        isbi2012.evaluate(np.zeros(shapes[0]), np.zeros(shapes[1], bool))


def test_slices_of_unlike_size_are_one_stack():
    """Two golden cases together: sums and means of what each of them has by itself."""
    names = ("random16_1", "random40_4")
    pairs = [[page[0] for page in read(name)] for name in names]
    found = isbi2012.evaluate(*zip(*pairs, strict=True))
    each = [CASES[name]["slice0"] for name in names]
    close(found["curves"]["v_info"], np.mean([e["v_info_thinned"] for e in each], axis=0))
    kinds = [[e["warping_counts_radius_-1"][k] for e in each] for k in range(10)]
    wrong = [sum(kind["mergers"] + kind["splits"] for kind in both) for both in kinds]
    close(found["warping_error"], min(wrong) / (16 * 16 + 40 * 40))


def test_a_radius_of_none():
    with pytest.raises(CunetError, match="radius"):
        isbi2012.evaluate(np.zeros((1, 4, 4)), np.zeros((1, 4, 4), bool), radius=0)
