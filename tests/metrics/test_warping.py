"""Warping and its errors against the plain definition, bit for bit, on pictures of every kind."""

import numpy as np
import plain_warping
import pytest
from golden_cases import CASES, read
from scipy.ndimage import gaussian_filter

from cunet.metrics import isbi2012, warping

THRESHOLDS = (0.0, 0.3, 0.5, 0.9)
RADII = (-1, 1, 2, 6, 100)


def same(probability, truth, thresholds=THRESHOLDS, radii=RADII):
    """Compare warping and every kind of error; also of the truth as it is, which was not warped."""
    for threshold in thresholds:
        found = probability.astype(np.float64) > threshold
        warped = warping.warp(probability, truth, threshold)
        assert np.array_equal(warped, plain_warping.warp(probability, truth, threshold))
        for image in (warped, truth):
            for radius in radii:
                kinds = warping.classify(image, found, radius)
                assert np.array_equal(kinds, plain_warping.classify(image, found, radius)), radius


def smooth(rng, shape, sigma):
    values = rng.standard_normal(shape)
    values = gaussian_filter(values, sigma) if sigma else values
    return (values - values.min()) / max(1e-9, np.ptp(values))


@pytest.mark.parametrize("sigma", [0, 0.5, 1, 1.5])
def test_random_pictures_from_one_pixel_up(sigma):
    rng = np.random.default_rng(int(10 * sigma))
    for number in range(60):
        shape = tuple(rng.integers(1, 15, 2))
        truth = smooth(rng, shape, sigma) > rng.choice([0.3, 0.5, 0.6])
        probability = smooth(rng, shape, sigma)
        if number % 3 == 0:
            probability = probability.round(1)  # many are alike: the order of places decides
        same(probability.astype(np.float32), truth, rng.choice(THRESHOLDS, 1), RADII)


def spiral(side):
    """A line one pixel wide wound up, and its pixels from the outer end on."""
    line, places, place, step = np.zeros((side, side), bool), [(0, 0)], (0, 0), (0, 1)

    def free(y, x):
        return not (0 <= y < side and 0 <= x < side) or not line[y, x]

    line[0, 0] = True
    turned = 0
    while turned < 2:
        y, x = place[0] + step[0], place[1] + step[1]
        inside = 0 <= y < side and 0 <= x < side
        if inside and not line[y, x] and free(y + step[0], x + step[1]):
            line[y, x], place, turned = True, (y, x), 0
            places.append(place)
        else:
            step, turned = (step[1], -step[0]), turned + 1
    return line, places


def adversarial():
    """name -> probability, truth."""
    rng = np.random.default_rng(5)
    side = 21
    noise, line, everything = rng.random((side, side)), spiral(side)[0], np.ones((side, side), bool)
    checks = np.indices((side, side)).sum(0) % 2 == 0
    mesh = np.zeros((side, side), bool)
    mesh[::4], mesh[:, ::4] = True, True
    loop = np.zeros((side, side), bool)  # a ring wider than the windows
    loop[2:-2, 2:-2], loop[3:-3, 3:-3] = True, False
    corners = np.zeros((side, side), bool)
    corners[::2, ::2] = corners[1::4, 1::4] = True
    truths = {"noise": rng.random((side, side)) > 0.4, "checks": checks, "spiral": line,
              "mesh": mesh, "ring": loop, "corners": corners, "all": everything,
              "nothing": ~everything}  # fmt: skip
    found = {"noise": noise, "nothing": 0 * noise, "all": 1 + 0 * noise, "checks": 1.0 * ~checks}
    return {
        f"{name} of {other}": (found[name], truths[other]) for name in found for other in truths
    }


@pytest.mark.parametrize("name", adversarial())
def test_adversarial_pictures(name):
    same(*adversarial()[name], thresholds=(0.5,), radii=(-1, 3))


@pytest.mark.parametrize("outwards", [False, True])
def test_a_line_that_grows_against_the_order_of_visits(outwards):
    """Every sweep flips one pixel: the one beside what the sweep before has flipped."""
    line, places = spiral(19)
    truth = np.zeros(line.shape, bool)
    truth[places[0]] = True
    probability = np.zeros(line.shape)
    for number, place in enumerate(places):
        probability[place] = 0.6 + 0.3 * (number if outwards else -number + 1) / len(places)
    probability[places[0]] = 1
    same(probability, truth, (0.1, 0.5), (-1,))
    assert np.array_equal(warping.warp(probability, truth, 0.1), line)


@pytest.mark.parametrize("name", [n for n in CASES if CASES[n] and "random" in n])
def test_golden_cases_at_every_threshold(name):
    probability, truth = read(name)
    same(probability[0], truth[0], radii=(-1, 4))


def test_noise_as_a_poor_network_gives_it():
    """Thousands of cells, with thousands of pixels of which each is asked whether it cuts one."""
    rng = np.random.default_rng(2)
    truth, probability = rng.random((160, 160)) > 0.41, rng.random((160, 160))
    tally = isbi2012.Tally.of(probability, truth)
    warped = plain_warping.warp(probability, truth, 0.5)
    plain = plain_warping.classify(warped, probability > 0.5)
    assert tally.kinds[5] == warping.count(plain)
    assert tally.kinds[5]["split"] > 1000
