"""Augmentation of grey values: blur, noise, contrast, brightness and curve."""

from dataclasses import replace

import numpy as np
import pytest
from augment_scenes import scene

from cunet.data.augment import OFF, Augmentation, draw

ALL = Augmentation()


@pytest.mark.parametrize("channels", [1, 3])
def test_blur_is_a_gaussian_mirrored_at_the_tiles_edges(channels):
    image, labels, weights = scene(40, 40, channels)
    sharp = np.sign(image)
    x, y, w = draw(np.random.default_rng(0), sharp, labels, weights, 24, 24, replace(OFF, blur=2.0))
    deviation = np.random.default_rng(0).uniform(0, 2)
    assert deviation > 1
    reach = 12
    bell = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * deviation**2))
    bell /= bell.sum()
    tile = np.pad(sharp[8:32, 8:32], [(reach, reach), (reach, reach), (0, 0)], "reflect")
    expected = np.zeros((24, 24, channels))
    for i in range(2 * reach + 1):
        for j in range(2 * reach + 1):
            expected += bell[i] * bell[j] * tile[i : i + 24, j : j + 24]
    assert x.dtype == np.float32
    # scipy cuts the Gaussian off at four deviations, where 6e-5 of it are left.
    assert np.allclose(x, expected, atol=1e-3)
    assert np.abs(x - sharp[8:32, 8:32]).max() > 0.1
    assert np.array_equal(y, labels[8:32, 8:32]) and np.array_equal(w, weights[8:32, 8:32])


def test_noise_is_not_blurred():
    blank = np.zeros((80, 80))
    how = replace(OFF, blur=5.0, noise=1.0)
    x, _, _ = draw(np.random.default_rng(0), blank[..., None], blank, blank, 80, 80, how)
    assert x.std() > 0.05
    assert abs(np.corrcoef(x[1:].ravel(), x[:-1].ravel())[0, 1]) < 0.05


def test_what_is_off_draws_no_random_number():
    image, labels, weights = scene(40, 40, 3)
    rng, counted = np.random.default_rng(1), np.random.default_rng(1)
    draw(rng, image, labels, weights, 24, 24, OFF)
    counted.random(3 * 3 + 1)  # contrast, curve and brightness of each channel; noise
    assert rng.bit_generator.state == counted.bit_generator.state


def test_grey_values_change_as_documented():
    rng = np.random.default_rng(0)
    ramp = np.linspace(-3, 3, 64 * 64, dtype=np.float32).reshape(64, 64, 1)
    blank = np.zeros((64, 64))
    how = replace(OFF, contrast=0.25, brightness=0.2, curve=0.3)
    slopes, levels = [], []
    for _ in range(300):
        x, _, _ = draw(rng, ramp, blank, blank, 64, 64, how)
        line = x.ravel()
        assert np.all(np.diff(line) > 0)  # the order of grey values stays
        middle = (line[2300] - line[1796]) / (ramp.ravel()[2300] - ramp.ravel()[1796])
        slopes.append(middle)
        levels.append((line[2047] + line[2048]) / 2)
    assert 0.74 < min(slopes) < 0.8 and 1.2 < max(slopes) < 1.26
    assert -0.201 < min(levels) < -0.15 and 0.15 < max(levels) < 0.201
    noisy = [
        draw(rng, ramp, blank, blank, 64, 64, replace(OFF, noise=0.1))[0] - ramp for _ in range(100)
    ]
    deviations = [part.std() for part in noisy]
    assert 0 <= min(deviations) < 0.02 and 0.08 < max(deviations) < 0.104


def test_channels_vary_on_their_own_but_move_together():
    image = np.repeat(scene()[0], 2, axis=2)
    rng, blank = np.random.default_rng(2), np.zeros(image.shape[:2])
    x, _, _ = draw(rng, image, blank, blank, 40, 40, replace(ALL, noise=0))
    assert not np.allclose(x[..., 0], x[..., 1], atol=0.01)
    assert np.corrcoef(x[..., 0].ravel(), x[..., 1].ravel())[0, 1] > 0.98
