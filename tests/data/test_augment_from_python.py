"""cunet.augment: one augmented sample of arrays, in the words of the command."""

from dataclasses import replace

import numpy as np
import pytest
from augment_scenes import picture

import cunet
from cunet.cli.augment import command
from cunet.data.augment import Augmentation, draw
from cunet.errors import CunetError

ALL = Augmentation()


def test_a_sample_of_arrays_is_one_that_training_draws():
    image, labels = picture()
    weights = np.random.default_rng(1).random(labels.shape).astype(np.float32)
    x, y, w = cunet.augment(image, labels, weights, tile=60, output=20, seed=3, zoom=0.2)
    mean, deviation = image.mean(), image.std()
    normal = ((image - mean) / deviation).astype(np.float32)[..., None]
    how = replace(ALL, zoom=0.2)
    expected = draw(np.random.default_rng(3), normal, labels, weights, 60, 20, how)
    np.testing.assert_allclose(x, expected[0][..., 0] * deviation + mean, rtol=1e-5, atol=1e-3)
    assert np.array_equal(y, expected[1]) and np.array_equal(w, expected[2])
    assert (x.shape, x.dtype, y.shape, y.dtype) == ((60, 60), np.float32, (20, 20), labels.dtype)


def test_without_any_change_the_middle_is_returned():
    image, labels = picture()
    off = {name: 0 for name in ("contrast", "brightness", "curve", "noise")}
    off |= {"elastic": "none", "rotate": False, "mirror": False, "shift": False}
    x, y, w = cunet.augment(image, labels, **off)
    side = min(labels.shape)
    rows, columns = ((length - side) // 2 for length in labels.shape)
    middle = slice(rows, rows + side), slice(columns, columns + side)
    np.testing.assert_allclose(x, image[middle], atol=1e-3)
    assert np.array_equal(y, labels[middle]) and (w == 1).all()
    colour = np.stack([image, image // 2, 0 * image], axis=2)
    x, _, _ = cunet.augment(colour, labels > 0, **off)
    np.testing.assert_allclose(x, colour[middle], atol=1e-3)


def test_seeds_and_generators():
    image, labels = picture()
    first, again, other = (cunet.augment(image, labels, seed=seed)[0] for seed in (1, 1, 2))
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    rng = np.random.default_rng(1)
    assert np.array_equal(cunet.augment(image, labels, seed=rng)[0], first)
    assert not np.array_equal(cunet.augment(image, labels, seed=rng)[0], first)
    ignored = np.where(labels, 255, 0).astype(np.uint8)
    _, y, w = cunet.augment(image, ignored)
    assert (y == 255).any() and np.array_equal(w == 0, y == 255)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"labels": np.zeros((90, 109), np.uint8)}, "one height and width"),
        ({"labels": np.zeros((90, 110))}, "labels: expected whole numbers"),
        ({"image": np.zeros(90)}, "image: expected numbers of shape"),
        ({"tile": 60, "output": 19}, "an even number"),
        ({"tile": 60, "output": 62}, "an output of 1 to 60"),
        (
            {"elastic_sigmas": 3},
            "unknown setting 'elastic_sigmas'; known: elastic, .*",
        ),
        ({"contrast": 2}, "contrast"),
    ],
)
def test_what_cannot_be_augmented_is_refused(change, words):
    image, labels = picture()
    with pytest.raises(CunetError, match=words):
        cunet.augment(**{"image": image, "labels": labels} | change)


def test_the_settings_have_the_names_of_the_command():
    image, labels = picture()
    names = ("elastic_sigma", "zoom", "shear", "blur", "contrast", "brightness", "curve", "noise")
    options = {option for parameter in command.params for option in parameter.opts}
    for name in names:
        assert f"--{name.replace('_', '-')}" in options
        cunet.augment(image, labels, **{name: 0.1})
